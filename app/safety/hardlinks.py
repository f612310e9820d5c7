"""Files with several names. No system tells the other ones: unless they are found, one of them may lie outside.

A file is ordinary when all its names lie in the granted folders (copies with `cp -l`, cargo), or when it is a file of
a package cache, from which uv, pnpm and bun link into a project.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from app.core import texts_safety as texts
from app.core.errors import WorkspaceError
from app.safety.bounds import Bounds
from app.safety.paths import FOLDER, Place, open_root

MAX_LOOKED = 30_000  # entries
MAX_HASHED = 20_000_000  # bytes
_MAX_DEPTH = 60
_SETTLED_NS = 30_000_000  # clocks of file systems tick every 10 ms at worst


class HardLinks:
    """`homes`, besides the user's own, may hold package caches."""

    def __init__(self, bounds: Bounds, homes: Sequence[Path]) -> None:
        self._bounds = bounds
        self._homes = list(homes)
        with suppress(RuntimeError):  # a number without a user, and no HOME
            self._homes.append(Path.home())

    def check(self, place: Place, file: BinaryIO) -> None:
        """Raises WorkspaceError when the open file may also lie outside."""
        info = os.fstat(file.fileno())
        if info.st_nlink > 1 and not self._in_cache(place.real, file) and not self._all_inside(place, file):
            raise WorkspaceError(texts.several_names(str(place.real)))

    def _all_inside(self, place: Place, file: BinaryIO) -> bool:
        """A name that moves while they are counted could be counted twice; but then the file's ctime moves."""
        info = os.fstat(file.fileno())
        if time.time_ns() - info.st_ctime_ns < _SETTLED_NS:
            time.sleep(_SETTLED_NS / 1e9)
        if not 0 <= info.st_ctime_ns < time.time_ns() - _SETTLED_NS // 2:
            return False
        count = _Count(info, place.ids, self._bounds)
        for folder in self._searched(place):
            count.below(folder)
        now = os.fstat(file.fileno())
        return count.complete and (now.st_ctime_ns, now.st_nlink) == (info.st_ctime_ns, info.st_nlink)

    def _searched(self, place: Place) -> Iterator[Path]:
        """The project first."""
        for root in self._bounds.roots:
            if root in place.real.parents:
                yield root / place.real.relative_to(root).parts[0]
        yield from self._bounds.roots

    def _in_cache(self, real: Path, file: BinaryIO) -> bool:
        info = os.fstat(file.fileno())
        for candidate in self._candidates(real, file, info):
            with suppress(OSError):
                other = candidate.lstat()
                if (other.st_dev, other.st_ino) == (info.st_dev, info.st_ino):
                    return True
        return False

    def _candidates(self, real: Path, file: BinaryIO, info: os.stat_result) -> Iterator[Path]:
        parts = real.parts
        for home in self._homes:
            if "site-packages" in parts:
                inner = Path(*parts[_after_last(parts, "site-packages") :])
                for cache in (home / ".cache/uv", home / "Library/Caches/uv"):
                    yield from (package / inner for package in _folders(cache / "archive-v0"))
            if "node_modules" in parts:
                yield from _of_bun(home / ".bun/install/cache", parts[_after_last(parts, "node_modules") :])
                for store in (home / ".local/share/pnpm/store", home / "Library/pnpm/store", home / ".pnpm-store"):
                    if (versions := list(_folders(store))) and info.st_size <= MAX_HASHED:
                        yield from _of_pnpm(versions, file)


class _Count:
    """How many names of one file are seen; each once, through whatever mount it is seen."""

    def __init__(self, info: os.stat_result, masked: frozenset[tuple[int, int]], bounds: Bounds) -> None:
        self._info = info
        self._masked = masked
        self._bounds = bounds
        self._found: set[tuple[int, str]] = set()
        self._looked = 0

    @property
    def complete(self) -> bool:
        return len(self._found) >= self._info.st_nlink

    def below(self, real: Path) -> None:
        with suppress(OSError, WorkspaceError):
            self._folder(open_root(real), real, 0)

    def _folder(self, descriptor: int, real: Path, depth: int) -> None:
        try:
            info = os.fstat(descriptor)
            if (info.st_dev, info.st_ino) in self._masked or self._bounds.hides(real) or depth > _MAX_DEPTH:
                return
            inner = self._look(descriptor, info)
            for name in inner:
                if self.complete or self._looked > MAX_LOOKED:
                    return
                with suppress(OSError):
                    self._folder(os.open(name, FOLDER, dir_fd=descriptor), real / name, depth + 1)
        finally:
            os.close(descriptor)

    def _look(self, descriptor: int, folder: os.stat_result) -> list[str]:
        """Counts the names here; returns the folders."""
        inner: list[str] = []
        listed = os.open(".", FOLDER, dir_fd=descriptor)
        try:
            with os.scandir(listed) as entries:
                for entry in entries:
                    self._looked += 1
                    if self._looked > MAX_LOOKED:
                        break
                    if entry.is_dir(follow_symlinks=False):
                        inner.append(entry.name)
                    elif entry.inode() == self._info.st_ino and folder.st_dev == self._info.st_dev:
                        self._found.add((folder.st_ino, entry.name))
        finally:
            os.close(listed)
        return inner


def _after_last(parts: Sequence[str], name: str) -> int:
    return len(parts) - list(reversed(parts)).index(name)


def _folders(path: Path) -> Iterator[Path]:
    try:
        with os.scandir(path) as entries:
            for entry, _ in zip(entries, range(MAX_LOOKED), strict=False):
                if entry.is_dir(follow_symlinks=False):
                    yield Path(entry.path)
    except OSError:
        return


def _of_bun(cache: Path, parts: Sequence[str]) -> Iterator[Path]:
    """`cache/name@version@@@1/file`, or below the scope."""
    taken = 2 if parts[0].startswith("@") else 1
    above, name, inner = cache.joinpath(*parts[: taken - 1]), parts[taken - 1 : taken], parts[taken:]
    for package in _folders(above):
        if name and package.name.startswith(f"{name[0]}@"):
            yield package.joinpath(*inner)


def _of_pnpm(versions: Sequence[Path], file: BinaryIO) -> Iterator[Path]:
    """By content: `store/v10/files/ab/cdef…`, those that can be executed with `-exec`."""
    file.seek(0)
    digest = hashlib.sha512(file.read(MAX_HASHED)).hexdigest()
    file.seek(0)
    for version in versions:
        for ending in ("", "-exec"):
            yield version / "files" / digest[:2] / (digest[2:] + ending)
