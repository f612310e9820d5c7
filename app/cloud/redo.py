"""One sync for many sessions: what a crowd writes together is made durable in one file, and by session later.

`redo.log` holds the bytes of each append and their place; a session's own file has them too, only not yet synced.
It is empty while no crowd writes, and is no second truth: after a power failure it puts back what a file lost.

    {"redo": "telegram_42", "at": 1280, "size": 310, "crc": 2868173061}
    the 310 bytes
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from loguru import logger

from app.cloud.journal import Journal, keep_bad_lines, sync_folder, write_whole
from app.core import texts
from app.core.context import SESSION_ID
from app.core.errors import StorageError
from app.core.events import parse_line

LARGE = 8_000_000  # bytes; then the sessions are synced, though more is waiting
_HEAD = b'{"redo": '


@dataclass(frozen=True, slots=True)
class Append:
    """`data` as it was appended to a session's file at byte `at`."""

    session_id: str
    at: int
    data: bytes

    @property
    def record(self) -> bytes:
        head = {"redo": self.session_id, "at": self.at, "size": len(self.data), "crc": zlib.crc32(self.data)}
        return json.dumps(head).encode() + b"\n" + self.data


class RedoLog:
    """Once open, used by the writer's thread alone."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None
        self._named = False  # the folder surely knows the file
        self._size = 0
        self._failed = False
        self._unsynced: dict[str, Journal] = {}

    def open(self, sessions: Path) -> None:
        """Puts back what the files in that folder have lost, before anybody reads them. Raises StorageError."""
        try:
            data = self._path.read_bytes() if self._path.exists() else b""
            if data:
                _put_back_all(data, sessions)
                self._empty()
            self._size, self._failed, self._unsynced = 0, False, {}
        except OSError as error:
            raise StorageError(texts.cannot_write(error.strerror or "")) from error

    @property
    def usable(self) -> bool:
        """Not after a failure, until every session is synced by itself."""
        return not self._failed

    @property
    def large(self) -> bool:
        return self._size > LARGE

    @property
    def holds_any(self) -> bool:
        return bool(self._size)

    def add(self, appends: Iterable[tuple[Journal, Append]]) -> None:
        """On disk when it returns, with one sync. Raises OSError: then each session has to be synced by itself."""
        appends = list(appends)
        data = b"".join(append.record for _, append in appends)
        try:
            descriptor = self._open()
            write_whole(descriptor, data)
            os.fsync(descriptor)
        except OSError:
            self._failed = True
            self._take_back()
            raise
        self._size += len(data)
        self._unsynced |= {append.session_id: journal for journal, append in appends}

    def settle(self, most: int | None = None) -> None:
        """Syncs the sessions (`most` of them); when none is left the log is emptied. Raises StorageError."""
        for session_id, journal in list(self._unsynced.items())[:most]:
            with journal.lock:
                journal.sync()
            del self._unsynced[session_id]
        if not self._unsynced and (self._size or self._failed):
            self._empty()

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _open(self) -> int:
        if self._descriptor is None:
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0)
            self._descriptor = os.open(self._path, flags, 0o600)
        if not self._named:
            sync_folder(self._path.parent)
            self._named = True
        return self._descriptor

    def _take_back(self) -> None:
        """What nobody was promised should not come back; what comes back all the same is what its file has."""
        with suppress(OSError):
            if self._descriptor is not None:
                os.ftruncate(self._descriptor, self._size)

    def _empty(self) -> None:
        """Synced: a session that is removed next must not be put back."""
        try:
            descriptor = self._open()
            os.ftruncate(descriptor, 0)
            os.fsync(descriptor)
        except OSError as error:
            self._failed = True
            raise StorageError(texts.cannot_write(error.strerror or "")) from error
        self._size, self._failed = 0, False


def _put_back_all(data: bytes, folder: Path) -> None:
    appends = list(read_records(data))
    paths = [folder / f"{append.session_id}.jsonl" for append in appends]
    changed = sum(map(_put_back, paths, appends))
    for path in set(paths):
        _sync(path)
    sync_folder(folder)
    if changed:
        logger.warning("{} append(s) that had not reached their session were put back", changed)


def read_records(data: bytes) -> Iterator[Append]:
    """Every whole record; what is torn or broken was promised to nobody, or is looked over."""
    position = 0
    while (position := data.find(_HEAD, position)) >= 0:
        append = _parse(data, position)
        position += len(append.record) if append else 1
        if append:
            yield append


def _parse(data: bytes, position: int) -> Append | None:
    end = data.find(b"\n", position)
    try:
        head = json.loads(data[position:end])
        append = Append(str(head["redo"]), int(head["at"]), data[end + 1 : end + 1 + int(head["size"])])
    except (ValueError, KeyError, TypeError):
        return None
    if not SESSION_ID.fullmatch(append.session_id):
        return None
    return append if append.record == data[position : position + len(append.record)] else None


def _put_back(path: Path, append: Append) -> bool:
    """Whether anything was missing. What somebody else has written there since is left alone."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o600)
    with os.fdopen(descriptor, "r+b") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(append.at)
        there = file.read(len(append.data))
        if there == append.data:
            return False
        if not there.endswith(b"\n"):
            there += file.readline()
        if size < append.at or _has_other_lines(there, append.data):
            logger.error("{} is not as it was at byte {}: nothing is put back there", path.name, append.at)
            keep_bad_lines(path, append.data.splitlines())
            return False
        file.seek(append.at)
        file.write(append.data)
        return True


def _has_other_lines(there: bytes, expected: bytes) -> bool:
    return any(_is_line(raw) for raw in set(there.split(b"\n")) - set(expected.split(b"\n")))


def _is_line(raw: bytes) -> bool:
    try:
        parse_line(raw)
    except ValueError:
        return False
    return True


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
