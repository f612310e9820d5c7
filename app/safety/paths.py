"""Where a path really leads, resolved once from an open folder.

What was checked is what is used: an operation takes `folder` and `name` of a Place, never a path that the
system would resolve again. Plain folders are passed in one call where the kernel has openat2, else one name at
a time; links are read and followed by hand, and enter the bounds anew.

Weaker without openat (Windows): there a path is resolved and checked, and then opened by its name. Nothing is
promised there against somebody who exchanges a folder for a link in between.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections import deque
from collections.abc import Generator, Iterable
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from app.core import texts_safety as texts
from app.core.errors import WorkspaceError
from app.safety import names, openat2
from app.safety.bounds import Bounds

BY_DESCRIPTOR = os.open in os.supports_dir_fd and hasattr(os, "O_NOFOLLOW")
MAX_LINKS = 40
MAX_DEPTH = 128  # names; each may hold a descriptor
_NOT_ASKED = {errno.EACCES, errno.EINVAL, errno.ENOTSUP}  # a folder that may not be listed; shared and network disks
_FLAGS = ("O_CLOEXEC", "O_NOFOLLOW", "O_NONBLOCK", "O_NOCTTY", "O_BINARY")
SAFE = sum(getattr(os, name, 0) for name in _FLAGS)
FOLDER = SAFE | getattr(os, "O_DIRECTORY", 0) | os.O_RDONLY
_PASSAGE = FOLDER | getattr(os, "O_PATH", 0)  # passing through needs no permission to list


class MissingPathError(WorkspaceError):
    """A folder on the way is not there."""


@dataclass(frozen=True, slots=True)
class Place:
    """`name` in the open `folder`; without openat (Windows) `folder` is None and `name` the whole real path.

    Valid inside its `with`. `info` is what stood there (never a link), None for nothing. `ids` are masked.
    """

    folder: int | None
    name: str
    real: Path
    info: os.stat_result | None
    ids: frozenset[tuple[int, int]]

    def look(self) -> os.stat_result | None:
        return lstat(self.name, self.folder)

    def open(self, flags: int, mode: int = 0o600, *, name: str | None = None) -> int:
        return os.open(name or self.name, flags | SAFE, mode, dir_fd=self.folder)

    def open_folder(self) -> int:
        """To list it. Raises NotADirectoryError."""
        return os.open(self.name, FOLDER, dir_fd=self.folder)

    def beside(self, name: str) -> str:
        """What to call another file of the same folder."""
        return name if self.folder is not None else str(Path(self.name).with_name(name))


@contextmanager
def locate(bounds: Bounds, path: str, base: Path, *, create: bool = False) -> Generator[Place, None, None]:
    """`create` makes the missing folders on the way. Raises WorkspaceError and OSError."""
    names.check_path(path)
    walk = _Walk(bounds, path, create) if BY_DESCRIPTOR else _RealPath(bounds, path, create)
    try:
        yield walk.go(Path(base, path))
    finally:
        walk.close()


class _Resolution:
    def __init__(self, bounds: Bounds, asked: str, create: bool) -> None:
        self.bounds = bounds
        self.asked = asked
        self.create = create
        self.ids = bounds.hidden_ids()

    def check_visible(self, real: Path, info: os.stat_result | None) -> None:
        if info is not None:
            self.check_identity(info)
        if self.bounds.hides(real):
            raise WorkspaceError(texts.hidden_path(self.asked))

    def check_identity(self, info: os.stat_result) -> None:
        if (info.st_dev, info.st_ino) in self.ids:
            raise WorkspaceError(texts.hidden_path(self.asked))

    def enter_bounds(self, parts: Iterable[str]) -> tuple[Path, deque[str]]:
        anchored = self.bounds.anchor(parts)
        if anchored is None:
            raise WorkspaceError(texts.outside_workspace(self.asked, [str(r) for r in self.bounds.roots]))
        return anchored

    def close(self) -> None:
        pass


class _Walk(_Resolution):
    """openat, one name after another; only the last descriptors and names say where we are."""

    def __init__(self, bounds: Bounds, asked: str, create: bool) -> None:
        super().__init__(bounds, asked, create)
        self.root = Path()
        self.names: list[str] = []
        self.folders: list[int] = []
        self.links = 0

    @property
    def real(self) -> Path:
        return self.root.joinpath(*self.names)

    def close(self) -> None:
        while self.folders:
            os.close(self.folders.pop())

    def go(self, path: Path) -> Place:
        pending = self.start(path.parts)
        while pending:
            name = pending.popleft()
            if name == "..":
                pending = self.leave(pending)
            elif (info := lstat(name, self.folders[-1])) and stat.S_ISLNK(info.st_mode):
                pending = self.follow(name, pending)
            elif pending:
                self.enter(name, info, pending)
            else:
                self.check_visible(self.real / name, info)
                return Place(self.folders[-1], name, self.real / name, info, self.ids)
        self.check_visible(self.real, os.fstat(self.folders[-1]))
        return Place(self.folders[-1], ".", self.real, lstat(".", self.folders[-1]), self.ids)

    def start(self, parts: tuple[str, ...]) -> deque[str]:
        """From the granted folder again: for the path as asked and for every link and `..` that leaves it."""
        self.close()
        self.root, pending = self.enter_bounds(parts)
        if len(pending) > MAX_DEPTH:
            raise WorkspaceError(texts.bad_path(self.asked))
        self.names = []
        self.folders.append(open_root(self.root))
        return self.leap(pending)

    def leap(self, pending: deque[str]) -> deque[str]:
        """Into the last folder in one call, when no link and nothing else special is on the way."""
        *way, last = pending or ("..",)
        if not way or ".." in (*way, last) or not openat2.works():
            return pending
        if (folder := openat2.beneath(self.folders[-1], "/".join(way))) is None:
            return pending  # the walk finds out why
        self.folders.append(folder)
        self.names = way
        above = "."
        for _ in way if self.ids else ():  # whatever they were called, none of these folders is masked
            self.check_identity(os.stat(above, dir_fd=folder, follow_symlinks=False))
            above += "/.."
        return deque([last])

    def leave(self, pending: deque[str]) -> deque[str]:
        if not self.names:
            return self.start((*self.root.parent.parts, *pending))
        self.names.pop()
        os.close(self.folders.pop())
        return pending

    def follow(self, name: str, pending: deque[str]) -> deque[str]:
        self.links += 1
        if self.links > MAX_LINKS:
            raise WorkspaceError(texts.too_many_links(self.asked))
        target = os.readlink(name, dir_fd=self.folders[-1])
        return self.start((*(self.real / target).parts, *pending))

    def enter(self, name: str, info: os.stat_result | None, pending: Iterable[str]) -> None:
        here = self.folders[-1]
        if info is None and self.create:
            self.check_visible(self.real / name, None)
            for new in (name, *pending):
                names.check_new(new)
            with suppress(FileExistsError):  # somebody else was quicker: what it is, is seen when it is opened
                os.mkdir(name, dir_fd=here)
            sync_folder(here)
        elif info is None:
            raise MissingPathError(texts.no_such_file(self.asked, self.close_names(name)))
        elif not stat.S_ISDIR(info.st_mode):
            raise WorkspaceError(texts.not_a_folder(str(self.real / name)))
        self.folders.append(os.open(name, _PASSAGE, dir_fd=here))
        self.names.append(name)
        self.check_visible(self.real, os.fstat(self.folders[-1]))

    def close_names(self, name: str) -> list[str]:
        return close_names(Place(self.folders[-1], ".", self.real, None, self.ids), name)


class _RealPath(_Resolution):
    """Where there is no openat: the system's own resolution, checked once."""

    def go(self, path: Path) -> Place:
        real = Path(os.path.realpath(path))
        self.enter_bounds(real.parts)
        for step in (*reversed(real.parents), real):
            self.check_visible(step, lstat(str(step), None))
        if self.create:
            missing = [step for step in reversed(real.parents) if not step.exists()]
            for step in (*missing, real) if missing else ():
                names.check_new(step.name)
            for step in missing:
                step.mkdir(exist_ok=True)
        return Place(None, str(real), real, lstat(str(real), None), self.ids)


def open_root(root: Path) -> int:
    """A granted folder, if it still is where it was: since then a link may have been put on the way. Raises OSError."""
    if openat2.works():
        return openat2.absolute(str(root))
    if sys.platform == "darwin":
        return os.open(root, _PASSAGE & ~os.O_NOFOLLOW | os.O_NOFOLLOW_ANY)
    folder = os.open(root.anchor, _PASSAGE)
    for name in root.parts[1:]:
        try:
            below = os.open(name, _PASSAGE, dir_fd=folder)
        finally:
            os.close(folder)
        folder = below
    return folder


def sync_folder(folder: int | None) -> None:
    """What was made or renamed in it survives a power cut. Where that cannot be asked for, it is not."""
    if folder is None:
        return
    try:
        descriptor = os.open(".", os.O_RDONLY | SAFE, dir_fd=folder)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno not in _NOT_ASKED:
            raise


def lstat(name: str, folder: int | None) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None


def close_names(folder: Place, wanted: str, limit: int = 5_000) -> list[str]:
    """Names like `wanted` that exist in the folder."""
    found: list[str] = []
    try:
        descriptor = folder.open_folder() if folder.folder is not None else None
        try:
            with os.scandir(folder.name if descriptor is None else descriptor) as entries:
                for entry, _ in zip(entries, range(limit), strict=False):
                    known = any(inode == entry.inode() for _, inode in folder.ids)
                    if not known and not names.is_temporary(entry.name):
                        found.append(entry.name)
        finally:
            if descriptor is not None:
                os.close(descriptor)
    except OSError:
        return []
    by_folded = {name.casefold(): name for name in found}
    return [by_folded[match] for match in get_close_matches(wanted.casefold(), by_folded, n=3)]


def code_of(error: OSError) -> str:
    return errno.errorcode.get(error.errno or 0, "")
