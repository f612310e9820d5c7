"""Somebody exchanges what is inside for a way out, without end, while files are read, written, edited and listed."""

from __future__ import annotations

import asyncio
import ctypes
import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from app.core.errors import WorkspaceError
from app.safety.workspace import Workspace
from tests.security.paths import naive

SECRET = "CANARIO: fuera"
INSIDE = "dentro, y bien"
_EXCHANGE, _HERE = 2, -100
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Race:
    """`one` (with its content) and `bait` change places; `path` then leads to a secret or inside. All below the top.

    `kind`: bait is a link to `target`, a hard link of it, a FIFO, or the folder `target` itself. `twice`: a hard link
    moves from one folder to the next, to be counted in both.
    """

    name: str
    one: str
    bait: str
    kind: str
    target: str
    path: str
    seconds: float = 0.5


LONG = 3.0
RACES = [
    Race("a folder and a link", "raíz/a", "raíz/cebo", "link", "fuera", "a/f.txt", LONG),
    Race("a file and a link", "raíz/a/f.txt", "raíz/cebo", "link", "fuera/f.txt", "a/f.txt", LONG),
    Race("a folder far above and a link", "raíz/a", "raíz/cebo", "link", "fuera", "a/b/c/f.txt"),
    Race("a folder far above and a link to Nanobot", "raíz/a", "raíz/cebo", "link", "raíz/nanobot", "a/b/c/f.txt"),
    Race("the root and a link", "raíz", "cebo", "link", "fuera", "f.txt"),
    Race("a file and a hard link", "raíz/a/f.txt", "raíz/cebo", "hard", "fuera/f.txt", "a/f.txt"),
    Race("a hard link in two places", "raíz/a/f.txt", "raíz/a/b/f.txt", "twice", "fuera/f.txt", "a/f.txt"),
    Race("a folder that leaves, then up", "raíz/a/b", "fuera/b", "folder", "fuera/b", "a/b/../f.txt"),
    Race("a file and a FIFO", "raíz/a/f.txt", "raíz/cebo", "fifo", "", "a/f.txt"),
]  # fmt: skip


def run(race: Race, top: Path, seconds: float) -> dict[str, object]:
    """Blocks. `done`: how often each operation found a moment to work; `escapes`; whether the control lost."""
    _arrange(race, top)
    workspace_of = lambda: Workspace([top / "raíz"], hidden=[top / "raíz/nanobot"])  # noqa: E731
    workspace = workspace_of()
    with _swapping(race, top):
        done, escapes, slowest = asyncio.run(_attack(workspace, race, top, seconds))
        lost = race.kind == "fifo" or _check_then_open_loses(race, top, seconds=20)
    harm = _harm(top)
    workspace._threads.shutdown()
    return {"name": race.name, "done": done, "escapes": escapes, "harm": harm, "control": lost, "slowest": slowest}


def _arrange(race: Race, top: Path) -> None:
    for folder in top.iterdir():
        shutil.rmtree(folder) if folder.is_dir() and not folder.is_symlink() else folder.unlink()
    for folder, text in (("raíz", INSIDE), ("raíz/nanobot", SECRET), ("fuera", SECRET)):
        for below in ("", "a/", "a/b/", "a/b/c/") if folder == "raíz" else ("", "b/", "b/c/"):
            file = top / folder / below / "f.txt"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        if folder != "raíz":
            (top / folder / "CANARIO").touch()
            (top / folder / "b/c/CANARIO").touch()
    _put_bait(race, top)


def _put_bait(race: Race, top: Path) -> None:
    bait, target = top / race.bait, top / race.target
    if race.kind == "link":
        bait.symlink_to(target)
    elif race.kind in {"hard", "twice"}:
        bait.unlink(missing_ok=True)
        os.link(target, bait)
    elif race.kind == "fifo":
        os.mkfifo(bait)


@contextmanager
def _swapping(race: Race, top: Path) -> Iterator[None]:
    child = os.fork()
    if not child:
        try:
            _swap(race, top)
        finally:
            os._exit(1)
    try:
        yield
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def _swap(race: Race, top: Path) -> None:
    one, other = os.fsencode(top / race.one), os.fsencode(top / race.bait)
    pause = 0
    while True:
        for _ in range(100):
            _libc.renameat2(_HERE, one, _HERE, other, _EXCHANGE)
            for _ in range(pause):
                pass
        pause = (pause + 37) % 2_000  # no rhythm suits all that is attacked
        with suppress(OSError):
            _mend(race, top)


def _mend(race: Race, top: Path) -> None:
    """A write may have replaced the bait: the attacker puts another one."""
    here = [top / race.one, top / race.bait]
    if (
        (race.kind == "link" and not any(path.is_symlink() for path in here))
        or (race.kind in {"hard", "twice"} and all(path.stat().st_nlink == 1 for path in here))
        or (race.kind == "fifo" and not any(path.is_fifo() for path in here))
    ):
        here[1].unlink(missing_ok=True)
    else:
        return
    _put_bait(race, top)


async def _attack(
    workspace: Workspace, race: Race, top: Path, seconds: float
) -> tuple[dict[str, int], list[str], float]:
    root = top / "raíz"
    folder = race.path.rpartition("/")[0] or "."
    done: dict[str, int] = {"read": 0, "write": 0, "edit": 0, "list": 0}
    escapes: list[str] = []
    slowest = 0.0
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        for name, act in (
            ("read", workspace.read(race.path, root)),
            ("list", workspace.list_dir(folder, root)),
            ("write", workspace.write(race.path, root, INSIDE)),
            ("edit", workspace.edit(race.path, root, ", y", "; y")),
            ("edit", workspace.edit(race.path, root, "; y", ", y")),
        ):
            began = time.monotonic()
            with suppress(WorkspaceError):
                said = str(await act)
                done[name] += 1
                if "CANARIO" in said or (name == "read" and "dentro" not in said):
                    escapes.append(f"{name}: {said[:200]}")
            slowest = max(slowest, time.monotonic() - began)
    return done, escapes, slowest


def _harm(top: Path) -> list[str]:
    """What is not as it was outside; the swapped folder may be on either side."""
    bad: list[str] = []
    for folder in (top / "fuera", top / "raíz/nanobot", top / "cebo/nanobot"):
        for path in folder.rglob("*"):
            expected = {"f.txt", "CANARIO", "b", "c"}
            inside = path.is_file() and path.read_text() == INSIDE and "b" in path.parts  # the folder that left
            if path.name not in expected or (path.name == "f.txt" and path.read_text() != SECRET and not inside):
                bad.append(str(path))
    return bad


def _check_then_open_loses(race: Race, top: Path, seconds: float) -> bool:
    root, hidden = str(top / "raíz"), [str(top / "raíz/nanobot")]
    path = f"{root}/{race.path}"
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        with suppress(OSError):
            if race.kind in {"folder", "twice"}:
                if "CANARIO" in (_up_from_open_folder(path) if race.kind == "folder" else _counted(path, root)):
                    return True
            elif naive.checked(path, root, hidden) and "CANARIO" in naive.read(Path(root), path):
                return True
    return False


def _up_from_open_folder(path: str) -> str:
    """A walk by descriptors that leaves `..` to the system."""
    folder, name = path.split("/../")
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with os.fdopen(os.open(f"../{name}", os.O_RDONLY, dir_fd=descriptor)) as file:
            return file.read()
    finally:
        os.close(descriptor)


def _counted(path: str, root: str) -> str:
    """All names of an open file are looked for, one after the other."""
    with open(path) as file:
        info = os.fstat(file.fileno())
        with os.scandir(f"{root}/a") as one, os.scandir(f"{root}/a/b") as other:
            found = sum(entry.inode() == info.st_ino for entries in (one, other) for entry in entries)
        return file.read() if found >= info.st_nlink else ""
