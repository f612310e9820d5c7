"""Each way of resolving finds the same: openat2, the walk, and what realpath says of a tree that stands still."""

from __future__ import annotations

import errno
import os
import random
import sys
from pathlib import Path
from typing import Any

import pytest

from app.core.errors import WorkspaceError
from app.safety import openat2, paths
from app.safety.workspace import Workspace

posix = pytest.mark.skipif(os.name == "nt", reason="POSIX files")
linux = pytest.mark.skipif(sys.platform != "linux", reason="openat2")
NAMES = ["a", "b", "c", "é", "x y"]


def _tree(top: Path, chance: random.Random) -> list[str]:
    """Folders, files and links that lead anywhere; returns words to make paths of."""
    folders = [top / "raíz"]
    for folder in (top / "raíz/oculto", top / "fuera"):
        folder.mkdir(parents=True)
    for _ in range(60):
        new = chance.choice(folders) / chance.choice(NAMES)
        if os.path.lexists(new):
            continue
        kind = chance.random()
        if kind < 0.45:
            new.mkdir()
            folders.append(new)
        elif kind < 0.6:
            new.write_text("x")
        else:
            to = chance.choice(folders) / chance.choice([*NAMES, "..", ".", "../../fuera", "../oculto"])
            new.symlink_to(to if chance.random() < 0.4 else os.path.relpath(to, new.parent))
    return [*NAMES, *NAMES, "..", ".", "oculto", "raíz", "fuera"]


def _resolved(workspace: Workspace, path: str, base: Path) -> Path | None:
    try:
        return workspace.resolve(path, base)
    except WorkspaceError:
        return None


@linux
def test_all_ways_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert openat2.works()
    compared = inside = 0
    for seed in range(40):
        chance = random.Random(seed)
        top = tmp_path / str(seed)
        words = _tree(top, chance)
        root = top / "raíz"
        workspace = Workspace([root], hidden=[root / "oculto"])
        for _ in range(40):
            path = "/".join(chance.choices(words, k=chance.randint(1, 5)))
            monkeypatch.undo()
            fast = _resolved(workspace, path, root)
            monkeypatch.setattr(openat2, "works", lambda: False)
            slow = _resolved(workspace, path, root)
            assert fast == slow, (seed, path)
            compared += 1
            if fast is not None:
                inside += 1
                assert str(fast) == os.path.realpath(root / path), (seed, path)
                assert fast == root or root in fast.parents
                assert root / "oculto" not in (fast, *fast.parents)
    assert compared == 1_600
    assert inside > 300


@linux
def test_openat2_stops_at_links_and_at_the_top(tmp_path: Path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "l").symlink_to("a")
    folder = os.open(tmp_path / "a", os.O_RDONLY)
    try:
        found = openat2.beneath(folder, "b")
        assert found is not None
        assert os.path.samestat(os.fstat(found), (tmp_path / "a/b").stat())
        os.close(found)
        for way in ("..", "b/../..", "../a/b", str(tmp_path / "a/b"), "/", "../l/b", "nada", "b/nada"):
            assert openat2.beneath(folder, way) is None, way
    finally:
        os.close(folder)
    with pytest.raises(OSError) as error:
        openat2.absolute(str(tmp_path / "l/b"))
    assert error.value.errno == errno.ELOOP


@linux
@pytest.mark.parametrize("code", [errno.ENOSYS, errno.EPERM])
async def test_without_openat2_the_walk_does_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """Old kernels do not have it, old container profiles refuse it."""

    def refuse(*_: object) -> int:
        raise OSError(code, "")

    monkeypatch.setattr("app.safety.confine.syscalls.call", refuse)
    openat2.works.cache_clear()
    try:
        assert not openat2.works()
        workspace = Workspace([tmp_path])
        assert await workspace.write("a/b/c.txt", tmp_path, "x") == "creado"
        assert (await workspace.read("a/b/c.txt", tmp_path)).text == "x"
    finally:
        openat2.works.cache_clear()


@linux
@pytest.mark.parametrize("way", ["openat2", "walk"])
async def test_a_masked_folder_is_known_on_the_way_whatever_it_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """As on a disk that calls it NANOBO~1: the name says nothing, device and inode say it."""
    if way == "walk":
        monkeypatch.setattr(openat2, "works", lambda: False)
    (tmp_path / "nanobot/app/deep").mkdir(parents=True)
    (tmp_path / "nanobot/app/deep/x.py").write_text("x")
    workspace = Workspace([tmp_path], hidden=[tmp_path / "nanobot"])
    monkeypatch.setattr(workspace.bounds, "hides", lambda _: False)
    for path in ("nanobot/app/deep/x.py", "nanobot/app/deep", "nanobot/app/nuevo.py", "nanobot"):
        with pytest.raises(WorkspaceError, match="Nanobot"):
            await workspace.read(path, tmp_path)
        with pytest.raises(WorkspaceError, match="Nanobot"):
            await workspace.list_dir(path, tmp_path)
        with pytest.raises(WorkspaceError, match="Nanobot"):
            await workspace.write(path, tmp_path, "x")
    entries, _ = await workspace.list_dir(".", tmp_path)
    assert entries == []


@linux
@pytest.mark.parametrize("way", ["openat2", "walk"])
async def test_a_deep_path_does_not_eat_up_the_servers_descriptors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    if way == "walk":
        monkeypatch.setattr(openat2, "works", lambda: False)
    workspace = Workspace([tmp_path])
    deepest = "d/" * (paths.MAX_DEPTH - 1) + "f.txt"
    assert await workspace.write(deepest, tmp_path, "x") == "creado"
    assert (await workspace.read(deepest, tmp_path)).text == "x"
    (tmp_path / "l").symlink_to("d/" * 100)
    for path in ("d/" + deepest, "d/d/../" + deepest, "l/" * 3 + "f.txt", "l/" + "d/" * 60):
        with pytest.raises(WorkspaceError):
            await workspace.read(path, tmp_path)
        with pytest.raises(WorkspaceError):
            await workspace.list_dir(path, tmp_path)
    opened = 0
    real = os.open

    def counting(*arguments: Any, **named: Any) -> int:
        nonlocal opened
        opened += 1
        return real(*arguments, **named)

    monkeypatch.setattr(os, "open", counting)
    with pytest.raises(WorkspaceError):
        await workspace.read("d/" * 2_000 + "f.txt", tmp_path)
    assert opened == 0


@posix
async def test_proc_is_masked_even_where_everything_is_granted() -> None:
    workspace = Workspace([Path("/")])
    for path in (f"/proc/{os.getpid()}/status", "/proc/self/environ", "/proc/self/root/etc/hostname"):
        with pytest.raises(WorkspaceError):
            await workspace.read(path, Path("/"))


def test_a_user_without_a_home_has_a_workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown() -> Path:
        raise RuntimeError

    monkeypatch.setattr(Path, "home", unknown)
    assert Workspace([tmp_path]).resolve("x", tmp_path) == tmp_path / "x"
