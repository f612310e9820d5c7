"""The session files as a folder: what there is, which may hold open work, what is old enough to be put away."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from loguru import logger
from pydantic import TypeAdapter

from app.cloud.idle import surely_idle
from app.cloud.journal import sync_folder
from app.cloud.storage import Storage
from app.core import texts
from app.core.context import SESSION_ID, fold
from app.core.contracts import SessionInfo
from app.core.errors import StorageError
from app.core.events import Line, UserLine, parse_line

Mark = list[int]  # size and time of a file: it has not changed since
_TITLE = 400  # characters; who shows it redacts it first, and then cuts it
_QUICK_LOOK = 1_000_000  # bytes; of a longer log only the end is read
_NOTES: TypeAdapter[dict[str, Mark]] = TypeAdapter(dict[str, Mark])


class Shelf:
    """Blocking; called in threads. Raises StorageError."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._titles: dict[str, str] = {}
        data = storage.folder.parent
        self._archive = data / "archive"
        self._idle_notes = data / "idle.json"

    def list(self) -> list[SessionInfo]:
        """Newest first."""
        infos = [
            SessionInfo(path.stem, path.stem.partition("_")[0], stat.st_mtime, stat.st_size, self._title(path))
            for path, stat in self._logs()
        ]
        return sorted(infos, key=lambda info: info.updated, reverse=True)

    def touched_since(self, since: float) -> list[str]:
        return [path.stem for path, stat in self._logs() if stat.st_mtime >= since]

    def busy(self) -> list[str]:
        """Those in which something is open, the one longest untouched first.

        Files that have not changed since they were found idle are not read again: ten thousand cost their names only.
        The notes about that are no truth: without them everything is read.
        """
        noted, idle, busy = self._read_notes(), dict[str, Mark](), list[tuple[float, str]]()
        for path, stat in self._logs():
            mark = [stat.st_size, stat.st_mtime_ns]
            if noted.get(path.stem) == mark or not self._may_be_busy(path, stat.st_size):
                idle[path.stem] = mark
            else:
                busy.append((stat.st_mtime, path.stem))
        self._write_notes(idle)
        return [name for _, name in sorted(busy)]

    def put_away(self, days: int) -> int:
        """Archives (gzip) the sessions without open work that nobody touched for `days`, and removes archives as old.

        Returns how many sessions were archived.
        """
        limit, count = self._storage.clock() - days * 86_400, 0
        for archived in self._archive.glob("*.gz"):
            if archived.stat().st_mtime < limit:
                archived.unlink()
        for path, stat in list(self._logs()):
            if stat.st_mtime < limit:
                count += self._storage.remove(path.stem, unless=partial(_is_busy, path.stem), before=self._keep)
        return count

    def forget(self, session_id: str) -> None:
        """Removes the log, what was unreadable in it, and its archives."""
        self._storage.remove(session_id, unless=lambda lines: False)
        self._titles.pop(session_id, None)
        for path in [self._storage.path(session_id).with_suffix(".corrupt"), *self._archive.glob(f"{session_id}.*.gz")]:
            path.unlink(missing_ok=True)

    def _keep(self, path: Path) -> None:
        """In the archive before it leaves the folder."""
        try:
            self._archive.mkdir(mode=0o700, exist_ok=True)
            target = self._archive / f"{path.stem}.{int(self._storage.clock())}.jsonl.gz"
            descriptor, name = tempfile.mkstemp(dir=self._archive, prefix=".new-")
            with os.fdopen(descriptor, "wb") as file:
                with path.open("rb") as log, gzip.GzipFile(fileobj=file, mode="wb") as packed:
                    shutil.copyfileobj(log, packed)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(target)
            sync_folder(self._archive)
        except OSError as error:
            raise StorageError(texts.cannot_write(error.strerror or "")) from error

    def _logs(self) -> Iterator[tuple[Path, os.stat_result]]:
        self._storage.open()
        for entry in os.scandir(self._storage.folder):
            stem, dot, kind = entry.name.partition(".")
            if dot + kind == ".jsonl" and SESSION_ID.fullmatch(stem):
                try:
                    yield Path(entry.path), entry.stat()
                except FileNotFoundError:
                    continue  # removed meanwhile

    def _may_be_busy(self, path: Path, size: int) -> bool:
        """What cannot be read is looked at by whoever goes on with it."""
        try:
            if size < _QUICK_LOOK and surely_idle(path.read_bytes()):
                return False
            return _is_busy(path.stem, self._storage.journal(path.stem).lines)
        except (OSError, StorageError) as error:
            logger.error("{}: {}", path.stem, error)
            return True

    def _title(self, path: Path) -> str:
        """The beginning of the first message, from the first 16 kB alone; it never changes."""
        title = self._titles.get(path.stem)
        if title is None:
            title = self._titles[path.stem] = _read_title(path)
        return title

    def _read_notes(self) -> dict[str, Mark]:
        try:
            return _NOTES.validate_json(self._idle_notes.read_bytes())
        except (OSError, ValueError):
            return {}

    def _write_notes(self, idle: dict[str, Mark]) -> None:
        temporary = self._idle_notes.with_suffix(".new")
        try:
            temporary.write_text(json.dumps(idle))
            temporary.replace(self._idle_notes)
        except OSError as error:
            logger.warning("notes about idle sessions not kept: {}", error.strerror)


def _is_busy(session_id: str, lines: Sequence[Line]) -> bool:
    return fold(session_id, lines).is_busy


def _read_title(path: Path) -> str:
    try:
        with path.open("rb") as file:
            head = file.read(16_384)
    except OSError as error:
        logger.warning("{} cannot be read: {}", path.name, error.strerror)
        return ""
    for raw in head.split(b"\n"):
        try:
            line = parse_line(raw)
        except ValueError:
            continue
        if isinstance(line, UserLine):
            return " ".join(line.content.split())[:_TITLE]
    return ""
