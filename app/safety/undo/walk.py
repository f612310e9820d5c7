"""Looks through a project for what a state has to hold: by open folders, never through a link, within limits."""

from __future__ import annotations

import fnmatch
import os
import stat
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from app.core import texts_undo as texts
from app.core.errors import CheckpointError
from app.safety.paths import BY_DESCRIPTOR, SAFE

MAX_FILES = 60_000
MAX_BYTES = 1_000_000_000
MAX_FILE = 32_000_000  # bytes
MAX_GIT_FILE = 256_000_000  # git's packs: without them a repository cannot be brought back
HEAVY_FILES, HEAVY_BYTES = 1_000, 20_000_000  # what of a folder that can be made again is still kept
MAX_DEPTH = 90
_REMADE = frozenset(
    {
        "node_modules", ".venv", "venv", "target", "dist", "build", ".tox", ".nox", ".mypy_cache", ".pytest_cache",
        ".ruff_cache", "__pycache__", ".next", ".nuxt", ".gradle", ".cache", "vendor", "coverage", ".terraform",
        "Pods", ".eggs", "bower_components", ".parcel-cache", ".turbo", ".svelte-kit",
    }
)  # fmt: skip
_FOLDER = SAFE | os.O_RDONLY | getattr(os, "O_DIRECTORY", 0)


@dataclass(frozen=True, slots=True)
class Ground:
    """What is looked through: all below `top`, only what lies directly in it (`flat`), or only `names` of that."""

    top: Path
    flat: bool = False
    names: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        return f"{self.top}{'|flat' if self.flat else ''}{'|'.join(('', *self.names))}"


@dataclass(frozen=True, slots=True)
class Masks:
    """What is never touched: by name, and by device and inode."""

    hides: Callable[[Path], bool]
    ids: frozenset[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Found:
    """A file or link; `folder` is open while it is looked at (None: no openat here, `name` is the whole path)."""

    path: str
    name: str
    folder: int | None
    info: os.stat_result

    @contextmanager
    def opened(self) -> Generator[BinaryIO]:
        with os.fdopen(os.open(self.name, os.O_RDONLY | SAFE, dir_fd=self.folder), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise OSError(texts.TOO_LATE)
            yield file

    def target(self) -> bytes:
        return os.fsencode(os.readlink(self.name, dir_fd=self.folder))


@dataclass
class Walk:
    """Iterate once; then `folders` (path → permissions) and `skipped` (paths) are filled. Raises CheckpointError."""

    ground: Ground
    masks: Masks
    deadline: float
    folders: dict[str, int] = field(default_factory=dict[str, int])
    skipped: list[str] = field(default_factory=list[str])
    _files: int = 0
    _bytes: int = 0
    _remade: frozenset[str] = _REMADE

    def __iter__(self) -> Iterator[Found]:
        try:
            top = os.open(self.ground.top, _FOLDER) if BY_DESCRIPTOR else None
        except OSError:  # it is not there, or no folder: an empty state
            return
        if top is None and not self.ground.top.is_dir():
            return
        try:
            self._remade = _REMADE | _ignored(self.ground.top)
            self.folders[""] = _permissions(self.ground.top.stat() if top is None else os.fstat(top))
            yield from self._folder("", top, 0)
        finally:
            if top is not None:
                os.close(top)

    def _folder(self, path: str, folder: int | None, depth: int) -> Iterator[Found]:
        if time.monotonic() > self.deadline:
            raise CheckpointError(texts.TOO_LATE)
        inner: list[tuple[str, str, os.stat_result]] = []
        for name, info in self._entries(path, folder):
            inside = f"{path}/{name}" if path else name
            if stat.S_ISDIR(info.st_mode):
                inner.append((inside, name, info))
            elif (stat.S_ISREG(info.st_mode) or stat.S_ISLNK(info.st_mode)) and self._fits(inside, info):
                yield Found(inside, name if folder is not None else str(self.ground.top / inside), folder, info)
        for inside, name, info in [] if self.ground.flat or self.ground.names else sorted(inner):
            with self._entered(inside, name, folder) as below:
                if below is not False and not self._is_too_much(inside, name, below, depth):
                    self.folders[inside] = _permissions(info)
                    yield from self._folder(inside, below, depth + 1)

    def _entries(self, path: str, folder: int | None) -> Iterator[tuple[str, os.stat_result]]:
        place = folder if folder is not None else self.ground.top / path
        with suppress(OSError), os.scandir(place) as entries:
            for entry in entries:
                with suppress(OSError):
                    info = entry.stat(follow_symlinks=False)
                    wanted = not self.ground.names or entry.name in self.ground.names
                    hidden = (info.st_dev, info.st_ino) in self.masks.ids
                    if wanted and not hidden and not self.masks.hides(self.ground.top / path / entry.name):
                        yield entry.name, info

    @contextmanager
    def _entered(self, path: str, name: str, folder: int | None) -> Generator[int | bool | None]:
        """False when it cannot be entered."""
        if folder is None:
            yield None
            return
        try:
            below = os.open(name, _FOLDER, dir_fd=folder)
        except OSError:
            self.skipped.append(path)
            yield False
            return
        try:
            yield below
        finally:
            os.close(below)

    def _fits(self, path: str, info: os.stat_result) -> bool:
        in_git = ".git" in path.split("/")
        if in_git and path.endswith(".lock"):
            return False
        fits = info.st_size <= (MAX_GIT_FILE if in_git else MAX_FILE) and self._files < MAX_FILES
        if not fits or self._bytes + info.st_size > MAX_BYTES:
            self.skipped.append(path)
            return False
        self._files += 1
        self._bytes += info.st_size
        return True

    def _is_too_much(self, path: str, name: str, folder: int | None, depth: int) -> bool:
        heavy = (
            name in self._remade and ".git" not in path.split("/") and _Weight().exceeds(folder, self.ground.top / path)
        )
        if heavy or depth >= MAX_DEPTH or self._files >= MAX_FILES:
            self.skipped.append(path)
            return True
        return False


class _Weight:
    """Counts no further than it has to."""

    def __init__(self) -> None:
        self._files = 0
        self._bytes = 0

    def exceeds(self, folder: int | None, path: Path, depth: int = 0) -> bool:
        with suppress(OSError), os.scandir(folder if folder is not None else path) as entries:
            for entry in entries:
                info = entry.stat(follow_symlinks=False)
                self._files += 1
                self._bytes += 0 if stat.S_ISDIR(info.st_mode) else info.st_size
                if self._files > HEAVY_FILES or self._bytes > HEAVY_BYTES or depth > MAX_DEPTH:
                    return True
                if stat.S_ISDIR(info.st_mode) and self._below(folder, path, entry.name, depth):
                    return True
        return False

    def _below(self, folder: int | None, path: Path, name: str, depth: int) -> bool:
        if folder is None:
            return self.exceeds(None, path / name, depth + 1)
        below = os.open(name, _FOLDER, dir_fd=folder)
        try:
            return self.exceeds(below, path / name, depth + 1)
        finally:
            os.close(below)


def _ignored(top: Path) -> frozenset[str]:
    """Plain folder names of the project's .gitignore: there too only what is small is kept."""
    try:
        descriptor = os.open(top / ".gitignore", os.O_RDONLY | SAFE)
    except OSError:
        return frozenset()
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            return frozenset()
        lines = file.read(65_536).decode("utf-8", "replace").splitlines()
    names = (line.strip().strip("/") for line in lines if not line.startswith(("#", "!")))
    return frozenset(name for name in names if name and "/" not in name and not fnmatch.translate(name).count(".*"))


def _permissions(info: os.stat_result) -> int:
    return stat.S_IMODE(info.st_mode) & 0o777
