"""Exchanges at the worst moment, each time: between what is looked at and what is opened."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.core.errors import WorkspaceError
from app.safety.workspace import Workspace

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/proc/self/fd says what was opened")
SECRET = "CANARIO"


class Moment:
    """When `name` is about to be opened, `exchange` takes place once. Remembers where each opened thing really lies."""

    def __init__(self, name: str, exchange: Callable[[], object]) -> None:
        self.name = name
        self.exchange = exchange
        self.came = False
        self.opened: list[str] = []
        self._open = os.open

    def __call__(self, path: Any, flags: int, *arguments: Any, **named: Any) -> int:
        if path == self.name and not self.came:
            self.came = True
            self.exchange()
        descriptor = self._open(path, flags, *arguments, **named)
        self.opened.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        return descriptor


@pytest.fixture(params=["openat2", "walk"])
def root(tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Path:
    if request.param == "walk":
        monkeypatch.setattr("app.safety.openat2.works", lambda: False)
    for folder in ("raíz/a", "fuera", "raíz/nanobot"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "f.txt").write_text("dentro" if folder == "raíz/a" else SECRET)
    return tmp_path / "raíz"


def _instead(path: Path, make: Callable[[Path], object]) -> Callable[[], object]:
    def exchange() -> None:
        path.rename(f"{path}.antes")
        make(path)

    return exchange


FILES: dict[str, Callable[[Path], object]] = {
    "a link": lambda p: p.symlink_to("../../fuera/f.txt"),
    "a link to Nanobot": lambda p: p.symlink_to("../nanobot/f.txt"),
    "a hard link": lambda p: os.link(p.parents[2] / "fuera/f.txt", p),
    "a FIFO": lambda p: os.mkfifo(p),
    "a folder": lambda p: p.mkdir(),
    "another file": lambda p: p.write_text("otro"),
}


@pytest.mark.parametrize("what", FILES)
async def test_a_file_is_exchanged_before_it_is_opened(root: Path, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    workspace = Workspace([root], hidden=[root / "nanobot"])
    file = root / "a/f.txt"
    for act in (
        lambda: workspace.read("a/f.txt", root),
        lambda: workspace.write("a/f.txt", root, "mío"),
        lambda: workspace.edit("a/f.txt", root, SECRET, "mío"),
    ):
        moment = Moment("f.txt", _instead(file, FILES[what]))
        monkeypatch.setattr(os, "open", moment)
        ended = threading.Timer(30, lambda: os.close(os.open(file, os.O_RDWR)))  # would free who waits for a writer
        ended.start()
        with pytest.raises(WorkspaceError):
            await act()
        assert ended.is_alive(), "nobody waited"
        ended.cancel()
        monkeypatch.undo()
        assert moment.came
        assert not any("fuera/" in opened or "nanobot/" in opened for opened in moment.opened if what != "a hard link")
        file.rmdir() if file.is_dir() and not file.is_symlink() else file.unlink()
        Path(f"{file}.antes").rename(file)
    assert (root / "../fuera/f.txt").read_text() == SECRET
    assert file.read_text() == "dentro"
    assert sorted(os.listdir(root / "a")) == ["f.txt"]


@pytest.mark.parametrize("to", ["../fuera", "nanobot"])
async def test_a_folder_is_exchanged_before_it_is_listed(root: Path, monkeypatch: pytest.MonkeyPatch, to: str) -> None:
    workspace = Workspace([root], hidden=[root / "nanobot"])
    moment = Moment("a", _instead(root / "a", lambda p: p.symlink_to(to)))
    monkeypatch.setattr(os, "open", moment)
    with pytest.raises(WorkspaceError):
        await workspace.list_dir("a", root)
    assert moment.came
    assert not any(opened.endswith(("fuera", "nanobot")) for opened in moment.opened)


async def test_another_folder_than_the_one_looked_at_is_not_listed(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even where no name says so: Nanobot's folder stands in its place."""
    workspace = Workspace([root], hidden=[root / "nanobot"])
    moment = Moment("a", _instead(root / "a", lambda p: (root / "nanobot").rename(p)))
    monkeypatch.setattr(os, "open", moment)
    with pytest.raises(WorkspaceError):
        await workspace.list_dir("a", root)
    assert moment.came


async def test_a_file_that_moves_while_its_names_are_counted_is_not_believed(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One name outside, one inside that is seen in two folders one after the other."""
    (root / "a/b").mkdir()
    (root / "a/f.txt").unlink()
    os.link(root / "../fuera/f.txt", root / "a/f.txt")
    workspace = Workspace([root], hidden=[root / "nanobot"])
    moment = Moment("b", lambda: (root / "a/f.txt").rename(root / "a/b/f.txt"))
    monkeypatch.setattr(os, "open", moment)
    with pytest.raises(WorkspaceError, match="enlace duro"):
        await workspace.read("a/f.txt", root)
    assert moment.came


async def test_a_folder_of_the_way_is_exchanged_while_it_is_made(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = Workspace([root], hidden=[root / "nanobot"])
    make = os.mkdir

    def quicker(name: Any, *arguments: Any, **named: Any) -> None:
        if name == "nueva":
            (root / "nueva").symlink_to("../fuera")
        make(name, *arguments, **named)

    monkeypatch.setattr(os, "mkdir", quicker)
    with pytest.raises(WorkspaceError):
        await workspace.write("nueva/x.txt", root, "mío")
    assert os.listdir(root / "../fuera") == ["f.txt"]


async def test_a_folder_that_somebody_else_made_first_is_used(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make = os.mkdir

    def quicker(name: Any, *arguments: Any, **named: Any) -> None:
        make(name, *arguments, **named)
        make(name, *arguments, **named)

    monkeypatch.setattr(os, "mkdir", quicker)
    assert await Workspace([root]).write("nueva/más/x.txt", root, "mío") == "creado"
    assert (root / "nueva/más/x.txt").read_text() == "mío"


async def test_a_write_lands_in_the_folder_that_was_checked(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its folder becomes a link to the outside while the new text is synced."""
    workspace = Workspace([root], hidden=[root / "nanobot"])
    sync, done = os.fsync, False

    def exchanging(descriptor: int) -> None:
        nonlocal done
        if not done:
            done = True
            _instead(root / "a", lambda p: p.symlink_to("../fuera"))()
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", exchanging)
    assert await workspace.write("a/f.txt", root, "mío") == "reemplazado"
    assert (root / "../fuera/f.txt").read_text() == SECRET
    assert (root / "a.antes/f.txt").read_text() == "mío"
    assert os.listdir(root / "../fuera") == ["f.txt"]
