"""One session's file: append-only JSON lines that survive torn tails, bad bytes, full disks and short writes.

Everything here blocks; callers run it in a thread. A journal is used under its `lock`.
"""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from loguru import logger

from app.core import texts
from app.core.errors import StorageError
from app.core.events import Line, SummaryLine, dump_line, parse_line

_BLOCK = 256 * 1024
_WRITTEN_BACK = 3600  # s; by then the system has written a file by itself


class Written(NamedTuple):
    """`data` was appended at byte `at`."""

    at: int
    data: bytes


class Journal:
    """`lines` is the window in memory: what a fold needs. `seq` is the last one given out.

    `proven` is false when a process that died may have left bytes that only the system's memory has.
    """

    def __init__(
        self, path: Path, on_load: Callable[[Sequence[Line]], None] = lambda _: None, *, proven: bool = True
    ) -> None:
        self.path = path
        self._on_load = on_load
        self.lock = threading.Lock()
        self.lines: list[Line] = []
        self.seq = 0
        self.loaded = False
        self._torn = False
        self._doubtful = False
        self._unnamed = False  # the folder does not surely know the file yet
        self._unsynced = False
        self._proven = proven

    def load(self, since: float) -> None:
        """Reads back to the last summary, and to lines older than `since` (UNIX seconds), once."""
        if self.loaded:
            return
        try:
            if self._doubtful:
                self._write_anew()
            elif not self._proven:
                self._prove()
            window, bad, self._torn = read_window(self.path, since)
            if bad:
                keep_bad_lines(self.path, bad)
        except OSError as error:
            raise StorageError(texts.cannot_read(self.path.name, error.strerror or "")) from error
        self.lines = window
        self.seq = (window[-1].seq if window else 0) + len(bad)  # a bad line may have owned a number
        self.loaded = True
        self._on_load(window)

    @property
    def last(self) -> int:
        """seq of the last line. `seq` is beyond it when unreadable lines follow: each may have owned a number."""
        return self.lines[-1].seq if self.lines else 0

    def newer(self, after: int) -> list[Line]:
        """The lines in memory after `after`; cheap for a reader who is nearly up to date."""
        lines = self.lines  # the writer may put another list in its place meanwhile
        start = len(lines)
        while start and lines[start - 1].seq > after:
            start -= 1
        return lines[start:]

    @staticmethod
    def stamp(lines: Iterable[Line], seq: int, now: float) -> list[Line]:
        """The lines as they follow number `seq`."""
        return [line.model_copy(update={"seq": n, "ts": round(now, 3)}) for n, line in enumerate(lines, seq + 1)]

    def write(self, lines: Sequence[Line], *, sync: bool = True) -> Written:
        """On disk when it returns, or with `sync()`. A short or unsynced write is taken back. Raises StorageError."""
        data = (b"\n" if self._torn else b"") + b"".join(map(dump_line, lines))
        try:
            descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o600)
        except OSError as error:
            raise self._refused(error) from error
        size = os.fstat(descriptor).st_size
        self._unnamed |= size == 0  # new, or left empty by a write that was taken back
        try:
            write_whole(descriptor, data)
            if sync:
                self._sync(descriptor)
            else:
                self._unsynced = True
        except OSError as error:
            self._take_back(descriptor, size)
            raise self._refused(error) from error
        finally:
            os.close(descriptor)
        self._torn = False
        return Written(size, data)

    def sync(self, back_to: int | None = None) -> None:
        """For what was written without. A failed sync takes back what follows that size. Raises StorageError."""
        try:
            if self._doubtful:
                self._write_anew()
            elif self.path.exists():  # else somebody has removed it
                descriptor = os.open(self.path, os.O_WRONLY | getattr(os, "O_BINARY", 0))
                try:
                    self._sync(descriptor)
                except OSError:
                    self._take_back(descriptor, back_to)
                    raise
                finally:
                    os.close(descriptor)
        except OSError as error:
            raise self._refused(error) from error

    def accept(self, lines: Sequence[Line]) -> None:
        """The lines are on disk: readers may see them."""
        self.seq = lines[-1].seq  # before the lines: no reader may be ahead of it
        self.lines.extend(lines)
        if isinstance(summary := lines[-1], SummaryLine):
            self.lines = [line for line in self.lines if line.seq > summary.upto]

    def distrust(self) -> None:
        """Nobody knows what is on disk: read it again before the next use."""
        self.loaded = False

    def _sync(self, descriptor: int) -> None:
        try:
            os.fsync(descriptor)
        except OSError:
            self._doubtful = self._unsynced  # then older bytes are lost as well, and the system may call them clean
            raise
        if self._unnamed:
            sync_folder(self.path.parent)
        self._unnamed = self._unsynced = False

    def _prove(self) -> None:
        """Nothing is built on a line that a power cut would still take."""
        if self.path.exists() and time.time() - self.path.stat().st_mtime < _WRITTEN_BACK:
            descriptor = os.open(self.path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
            self._unsynced = self._unnamed = True
            try:
                self._sync(descriptor)
            finally:
                os.close(descriptor)
        self._proven = True

    def _take_back(self, descriptor: int, size: int | None) -> None:
        self.distrust()
        if size is None or not _truncated(descriptor, size):
            self._doubtful = True

    def _write_anew(self) -> None:
        """After a failed sync the system may call clean what never reached the disk: only new bytes surely do."""
        if self.path.exists():
            _replace(self.path, self.path.read_bytes())
        self._doubtful = self._unnamed = self._unsynced = False

    def _refused(self, error: OSError) -> StorageError:
        logger.error("cannot write {}: {}", self.path.name, error.strerror)
        return StorageError(texts.cannot_write(error.strerror or ""))


def read_window(path: Path, since: float) -> tuple[list[Line], list[bytes], bool]:
    """(lines, bad lines, whether the last line lacks its newline). Reads from the end in blocks."""
    if not path.exists():
        return [], [], False
    lines: list[Line] = []
    bad: list[bytes] = []
    upto: int | None = None
    with path.open("rb") as file:
        position = file.seek(0, os.SEEK_END)
        torn = position > 0 and _last_byte(file.fileno(), position) != b"\n"
        rest = b""
        while position > 0 or rest:
            size = min(_BLOCK, position)
            position = file.seek(position - size)
            head, *raws = (file.read(size) + rest).split(b"\n")
            rest = head if position else b""
            for raw in reversed(raws if position else [head, *raws]):
                line = _parse(raw, bad)
                if line is None:
                    continue
                lines.append(line)
                if isinstance(line, SummaryLine) and upto is None:
                    upto = line.upto
                if upto is not None and line.seq <= upto and line.ts < since:
                    return _in_order(lines[::-1], bad), bad, torn
    return _in_order(lines[::-1], bad), bad, torn


def read_all(path: Path) -> list[Line]:
    """Every readable line, oldest first: for transcripts, not for turns."""
    if not path.exists():
        return []
    bad: list[bytes] = []
    parsed = [_parse(raw, bad) for raw in path.read_bytes().split(b"\n")]
    return _in_order([line for line in parsed if line], bad)


def sync_folder(folder: Path) -> None:
    """Makes a new or renamed file's name durable. Windows has no such call and needs none."""
    if os.name != "nt":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _parse(raw: bytes, bad: list[bytes]) -> Line | None:
    if not raw.strip():
        return None
    try:
        return parse_line(raw)
    except ValueError:
        bad.append(raw)
        return None


def _in_order(lines: list[Line], bad: list[bytes]) -> list[Line]:
    """A flipped digit can give a line a number of its own: it alone goes, not those behind it."""
    kept: list[Line] = []
    for index, line in enumerate(lines):
        previous = kept[-1].seq if kept else 0
        following = lines[index + 1].seq if index + 1 < len(lines) else line.seq + 1
        fits = line.seq < following or following <= previous or line.seq == following == previous + 1
        if previous < line.seq and fits:
            kept.append(line)
        else:
            bad.append(dump_line(line).rstrip(b"\n"))
    return kept


def keep_bad_lines(path: Path, bad: Sequence[bytes]) -> None:
    """Copies what cannot be read to <name>.corrupt, once; the log itself is never rewritten."""
    corrupt = path.with_suffix(".corrupt")
    known = set(corrupt.read_bytes().split(b"\n")) if corrupt.exists() else set[bytes]()
    fresh = [raw for raw in bad if raw not in known]
    if fresh:
        logger.error("{}: {} unreadable line(s) kept in {}", path.name, len(fresh), corrupt.name)
        with os.fdopen(os.open(corrupt, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "ab") as file:
            file.write(b"\n".join(fresh) + b"\n")


def _last_byte(descriptor: int, size: int) -> bytes:
    os.lseek(descriptor, size - 1, os.SEEK_SET)
    return os.read(descriptor, 1)


def write_whole(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _truncated(descriptor: int, size: int) -> bool:
    try:
        os.ftruncate(descriptor, size)
    except OSError as error:
        logger.error("cannot take a failed write back: {}", error.strerror)
        return False
    return True


def _replace(path: Path, data: bytes) -> None:
    """Synced, with its name."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".anew-")
    try:
        write_whole(descriptor, data)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    Path(name).replace(path)
    sync_folder(path.parent)
