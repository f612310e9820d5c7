"""What every SessionManager of a process shares for one data folder: its lock, its writer, its open journals."""

from __future__ import annotations

import contextlib
import os
import threading
import time
import weakref
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar

from loguru import logger

from app.cloud.committer import Committer
from app.cloud.journal import Journal
from app.cloud.redo import RedoLog
from app.core import texts
from app.core.context import chat_of
from app.core.errors import StorageError
from app.core.events import ApprovalGivenLine, CommandLine, Line, UserLine

KEY_SECONDS = 48 * 3600  # Telegram's update ids restart at random after a quiet week: an older equal id is another
_JOURNALS_IN_MEMORY = 256


class Storage:
    """Blocking; called in threads. Raises StorageError."""

    _shared: ClassVar[dict[Path, Storage]] = {}
    _guard = threading.Lock()

    @classmethod
    def shared(cls, folder: Path, clock: Callable[[], float] = time.time) -> Storage:
        folder = folder.resolve()  # however it is written, one folder has one writer
        with cls._guard:
            if folder not in cls._shared:
                cls._shared[folder] = cls(folder, clock)
            return cls._shared[folder]

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time) -> None:
        self.folder = folder
        self.clock = clock
        self._redo = RedoLog(folder.parent / "redo.log")
        self.committer = Committer(self._redo, clock)
        self._recent: OrderedDict[str, Journal] = OrderedDict()  # kept in memory
        self._alive: weakref.WeakValueDictionary[str, Journal] = weakref.WeakValueDictionary()  # or held by a write
        self._keys: dict[str, dict[str, float]] = {}
        self._lock = threading.RLock()
        self._process_lock: int | None = None
        self._clean_mark = folder.parent / ".left"
        self.left_cleanly = True  # whoever had the folder before went by itself

    def open(self, wait: float = 40.0) -> None:
        """Makes the folder and takes the process lock. Another process may need `wait` seconds to leave."""
        with self._lock:
            if self._process_lock is None:
                descriptor = self._take_folder(wait)
                try:
                    self._redo.open(self.folder)
                except StorageError:
                    os.close(descriptor)
                    raise
                self._process_lock = descriptor
                self.left_cleanly = self._clean_mark.exists() or not any(self.folder.iterdir())
                self._clean_mark.unlink(missing_ok=True)

    def _take_folder(self, wait: float) -> int:
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(self.folder.parent / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise StorageError(texts.cannot_write(error.strerror or "")) from error
        deadline = time.monotonic() + wait
        waiting = False
        while not _try_lock(descriptor):
            if time.monotonic() > deadline:
                os.close(descriptor)
                raise StorageError(texts.folder_in_use(self.folder.parent))
            if not waiting:
                logger.info("waiting for another process to leave {}", self.folder.parent)
            waiting = True
            time.sleep(0.2)
        return descriptor

    def close(self) -> None:
        """Writes what waits, then gives the folder back; the next use takes it again."""
        self.committer.drain()
        try:
            self.committer.settle()
        except StorageError as error:  # the next start puts it back
            logger.error("sessions not synced: {}", error)
        with self._lock:
            self._redo.close()
            if self._process_lock is not None:
                with contextlib.suppress(OSError):
                    self._clean_mark.touch()
                os.close(self._process_lock)
                self._process_lock = None
            for journal in list(self._alive.values()):
                journal.distrust()
            self._recent.clear()
            self._keys.clear()

    def path(self, session_id: str) -> Path:
        return self.folder / f"{session_id}.jsonl"

    def journal(self, session_id: str) -> Journal:
        """The journal, loaded."""
        self.open()
        with self._lock:
            journal = self._alive.get(session_id) or Journal(
                self.path(session_id), partial(self._remember, chat_of(session_id)), proven=self.left_cleanly
            )
            self._alive[session_id] = self._recent[session_id] = journal
            self._recent.move_to_end(session_id)
            if len(self._recent) > _JOURNALS_IN_MEMORY:
                self._recent.popitem(last=False)
        with journal.lock:
            journal.load(self.clock() - KEY_SECONDS)
        return journal

    def ready(self, session_id: str) -> Journal | None:
        """The journal when using it needs no disk: the way of every turn but a session's first."""
        journal = self._recent.get(session_id)
        return journal if journal is not None and journal.loaded and self._process_lock is not None else None

    def remove(
        self, session_id: str, unless: Callable[[Sequence[Line]], bool], before: Callable[[Path], None] = lambda _: None
    ) -> bool:
        """Removes a log, to which nobody can be writing meanwhile; False when `unless` holds for its lines."""
        journal = self.journal(session_id)
        self.committer.settle()  # nothing may put it back
        with journal.lock:
            journal.load(self.clock() - KEY_SECONDS)
            if unless(journal.lines):
                return False
            before(self.path(session_id))
            self.path(session_id).unlink(missing_ok=True)
            journal.distrust()
            return True

    def keys(self, chat: str) -> dict[str, float]:
        """The table of delivery keys that the chat's sessions have seen in the last 48 h; later ones are added."""
        known = self._keys.get(chat)
        if known is None:
            found = self._keys_on_disk(chat)  # takes the journals' locks, so it must not hold ours
            with self._lock:
                known = self._keys.setdefault(chat, found)
        return known

    def known_keys(self, chat: str) -> dict[str, float] | None:
        """keys() when it needs no disk."""
        return self._keys.get(chat)

    def admission(self, table: dict[str, float]) -> Admission:
        return Admission(table, self.clock, self._lock)

    def _remember(self, chat: str, lines: Sequence[Line]) -> None:
        """A log that was read (again) may hold what was refused, and landed after all."""
        with self._lock:
            table = self._keys.get(chat)
            if table is not None:
                table.update({key: line.ts for line in lines if (key := key_of(line))})

    def _keys_on_disk(self, chat: str) -> dict[str, float]:
        since = self.clock() - KEY_SECONDS
        found: dict[str, float] = {}
        for path in [self.path(chat), *self.folder.glob(f"{chat}_*.jsonl")]:
            if path.exists() and path.stat().st_mtime >= since:
                lines = self.journal(path.stem).lines
                found |= {key: line.ts for line in lines if (key := key_of(line)) and line.ts >= since}
        return found


class Admission:
    """Lets the lines of one write in whose delivery key the chat has not seen. A refused write never was."""

    def __init__(self, table: dict[str, float], clock: Callable[[], float], lock: threading.RLock) -> None:
        self._table = table
        self._clock = clock
        self._lock = lock  # two sessions of a chat are written at the same time
        self._added: list[str] = []

    def keep(self, line: Line) -> bool:
        key, now = key_of(line), self._clock()
        if key is None:
            return True
        with self._lock:
            if self._table.get(key, 0) >= now - KEY_SECONDS:
                return False
            self._table[key] = now
        self._added.append(key)
        return True

    def refused(self) -> None:
        with self._lock:
            for key in self._added:
                self._table.pop(key, None)


def key_of(line: Line) -> str | None:
    return line.key if isinstance(line, UserLine | CommandLine | ApprovalGivenLine) else None


def _try_lock(descriptor: int) -> bool:
    with contextlib.suppress(OSError):
        if os.name == "nt":
            import msvcrt

            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False
