"""Which folders of the workspace were cloned by the agent, in DATA_DIR/cloned.json: no tool reaches that file.

A folder is known by its path and by its number on the disk, so that another name does not wash it clean.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import threading
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from loguru import logger
from pydantic import TypeAdapter

from app.core import texts_taint as texts

_DEPTH = 3  # folders below a root, and below where the command ran
_MOST_FOLDERS = 5_000
_SKIPPED = frozenset({".git", "node_modules", ".venv", "venv", "__pycache__"})


@dataclass
class _Notes:
    """`cloned`: path → number on the disk. `before`: the repositories there were when each command under way began."""

    cloned: dict[str, str] = field(default_factory=dict[str, str])
    before: dict[str, list[str]] = field(default_factory=dict[str, list[str]])


_stored = TypeAdapter(_Notes)


class CloneNotes:
    """Implements Clones. `others`: folders whose files are somebody else's, and whose."""

    def __init__(self, path: Path, roots: Sequence[Path], others: Mapping[Path, str] | None = None) -> None:
        self._path = path
        self._roots = roots
        self._others = {os.path.realpath(folder): name for folder, name in (others or {}).items()}
        self._notes: _Notes | None = None
        self._lock = threading.Lock()

    async def origin(self, paths: Sequence[Path], *, around: bool = False) -> str:
        return await asyncio.to_thread(self._origin, paths, around)

    @asynccontextmanager
    async def watching(self, folder: Path) -> AsyncGenerator[None]:
        """What is there before is on the disk before anything starts: a crash in the middle forgets nothing."""
        began = secrets.token_hex(4)
        await asyncio.to_thread(self._begin, folder, began)
        try:
            yield
        finally:
            await asyncio.shield(asyncio.to_thread(self._end, folder, began))

    def _origin(self, paths: Sequence[Path], around: bool) -> str:
        notes = self._read()
        if not notes.cloned and not self._others:
            return ""
        for path in dict.fromkeys(os.path.realpath(path) for path in paths):
            for place in (path, *map(str, Path(path).parents)):
                if place in self._others:
                    return self._others[place]
                if place in notes.cloned or ((number := _number(place)) and number in notes.cloned.values()):
                    return texts.cloned(Path(place).name)
            below = path.rstrip(os.sep) + os.sep
            found = next((known for known in notes.cloned if around and known.startswith(below)), "")
            if found and Path(found).is_dir():
                return texts.cloned(Path(found).name)
        return ""

    def _begin(self, folder: Path, began: str) -> None:
        before = sorted(self._repositories(folder))
        with self._lock:
            notes = self._read()
            self._write(_Notes(notes.cloned, notes.before | {began: before}))

    def _end(self, folder: Path, began: str) -> None:
        now = self._repositories(folder)
        with self._lock:
            notes = self._read()
            others = {name: before for name, before in notes.before.items() if name != began}
            self._write(_Notes(notes.cloned | _numbered(now - set(notes.before.get(began, now))), others))

    def _repositories(self, folder: Path) -> set[str]:
        starts = [(root, False) for root in self._roots] + [(folder, True)]
        return {found for start, deeper in starts for found in _repositories(os.path.realpath(start), deeper)}

    def _read(self) -> _Notes:
        if self._notes is None:
            try:
                self._notes = _stored.validate_json(self._path.read_bytes())
            except FileNotFoundError:
                self._notes = _Notes()
            except (OSError, ValueError) as error:
                logger.error("{} cannot be read: {}", self._path.name, type(error).__name__)
                self._notes = _Notes()
            self._recover(self._notes)
        return self._notes

    def _recover(self, notes: _Notes) -> None:
        """A process died while a command brought something: whatever is new since was brought."""
        for before in notes.before.values():
            notes.cloned |= _numbered(self._repositories(self._roots[0]) - set(before))
        notes.before = {}

    def _write(self, notes: _Notes) -> None:
        self._notes = notes
        temporary = self._path.with_suffix(".new")
        try:
            with temporary.open("wb") as file:
                file.write(_stored.dump_json(notes))
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self._path)
        except OSError as error:
            logger.error("{} cannot be written: {}", self._path.name, error.strerror)


def _repositories(start: str, deeper: bool) -> Iterator[str]:
    """Folders with a .git in them, `start` too. `deeper`: look inside repositories as well."""
    left, pending = _MOST_FOLDERS, [(start, 0)]
    while pending and left:
        left -= 1
        place, depth = pending.pop(0)
        try:
            entries = list(os.scandir(place))
        except OSError:
            continue
        is_repository = any(entry.name == ".git" for entry in entries) or _is_bare(entries)
        if is_repository:
            yield place
        if depth < _DEPTH and (deeper or not is_repository):
            folders = (e for e in entries if e.name not in _SKIPPED and e.is_dir(follow_symlinks=False))
            pending += [(entry.path, depth + 1) for entry in folders]


def _is_bare(entries: Sequence[os.DirEntry[str]]) -> bool:
    return {"HEAD", "objects", "refs"} <= {entry.name for entry in entries}


def _numbered(paths: Iterable[str]) -> dict[str, str]:
    return {path: _number(path) for path in paths}


def _number(path: str) -> str:
    """Of the folder and of git's in it together: one alone is given out again when the folder is gone."""
    try:
        folder, inner = Path(path).lstat(), Path(path, ".git").lstat()
    except OSError:
        return ""
    return f"{folder.st_dev}:{folder.st_ino}:{inner.st_ino}"
