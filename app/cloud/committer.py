"""Group commit: one writer thread a data folder; whatever waits when it is free is written and synced together.

Lines of one session are synced in its file; those of several by one sync of the redo log.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass, field

from loguru import logger

from app.cloud.journal import Journal, Written
from app.cloud.redo import Append, RedoLog
from app.core import texts
from app.core.errors import SessionConflict, StorageError
from app.core.events import Line

_TOGETHER = 64  # sessions in a batch: each waits for the slowest
_QUIET = 2.0  # s without a line; then the sessions are synced, one after another


@dataclass
class Job:
    """`keep` decides at writing time which lines go in (a repeated delivery does not); `refused` takes that back.

    `expected`: the seq of the line that must be the last one now; anything else is a SessionConflict.
    """

    journal: Journal
    lines: Sequence[Line]
    keep: Callable[[Line], bool]
    refused: Callable[[], None] = lambda: None
    expected: int | None = None
    done: Future[Sequence[Line]] = field(default_factory=Future[Sequence[Line]])


@dataclass
class _Share:
    """What one journal has in a batch. `results`: the lines of each job, None for one that came too late."""

    journal: Journal
    jobs: Sequence[Job]
    results: Sequence[Sequence[Line] | None] = ()
    written: Written | None = None

    @property
    def lines(self) -> list[Line]:
        return [line for lines in self.results for line in lines or ()]


class Committer:
    """`settle()` waits until every session is synced in its own file."""

    def __init__(self, redo: RedoLog, clock: Callable[[], float] = time.time) -> None:
        self._redo = redo
        self._clock = clock
        self._jobs: list[Job] = []
        self._settling: list[Future[None]] = []
        self._busy = False
        self._quiet = False
        self._wake = threading.Condition()
        threading.Thread(target=self._run, name="committer", daemon=True).start()

    def submit(self, job: Job) -> Future[Sequence[Line]]:
        job.done.set_running_or_notify_cancel()  # whoever waits may be cancelled, the write cannot
        with self._wake:
            self._jobs.append(job)
            self._wake.notify_all()
        return job.done

    def drain(self) -> None:
        """Returns when everything submitted so far is written, or refused."""
        with self._wake:
            self._wake.wait_for(lambda: not self._jobs and not self._busy)

    def settle(self) -> None:
        """The redo log is empty when it returns. Raises StorageError."""
        done: Future[None] = Future()
        with self._wake:
            self._settling.append(done)
            self._wake.notify_all()
        done.result()

    def _run(self) -> None:
        while True:
            with self._wake:
                self._busy = False
                self._wake.notify_all()
                self._wake.wait_for(lambda: self._jobs or self._settling, timeout=self._patience())
                jobs, self._jobs = self._jobs, []
                settling, self._settling = self._settling, []
                self._busy = True
            by_journal: dict[Journal, list[Job]] = {}
            for job in jobs:
                by_journal.setdefault(job.journal, []).append(job)
            shares = [_Share(*item) for item in by_journal.items()]
            for first in range(0, len(shares), _TOGETHER):
                self._commit(shares[first : first + _TOGETHER])
            self._quiet = not jobs
            self._tidy(settling)

    def _patience(self) -> float | None:
        if not self._redo.holds_any:
            return None
        return 0 if self._quiet else _QUIET

    def _commit(self, shares: Sequence[_Share]) -> None:
        """One write a journal, one sync for all, then their futures."""
        with ExitStack() as locks:
            for share in shares:
                locks.enter_context(share.journal.lock)
            together = len(shares) > 1 and self._redo.usable
            written = [share for share in shares if self._succeeds(share, lambda s: self._write(s, sync=not together))]
            if together and not self._add(written):
                written = [share for share in written if self._succeeds(share, _sync_alone)]
            for share in written:
                if lines := share.lines:
                    share.journal.accept(lines)
                for job, result in zip(share.jobs, share.results, strict=True):
                    _settle(job, result)

    def _write(self, share: _Share, *, sync: bool) -> None:
        journal = share.journal
        journal.load(since=0)
        seq, last, now = journal.seq, journal.last, self._clock()
        results: list[Sequence[Line] | None] = []
        for job in share.jobs:
            lines = None
            if job.expected in (None, last):
                lines = journal.stamp([line for line in job.lines if job.keep(line)], seq, now)
                seq, last = (lines[-1].seq, lines[-1].seq) if lines else (seq, last)
            results.append(lines)
        share.results = results
        if lines := share.lines:
            share.written = journal.write(lines, sync=sync)

    def _add(self, shares: Sequence[_Share]) -> bool:
        """Whether the redo log has them on disk."""
        appends = [(s.journal, Append(s.journal.path.stem, *s.written)) for s in shares if s.written]
        try:
            if appends:
                self._redo.add(appends)
        except OSError as error:
            logger.error("the redo log is not used for now: {}", error.strerror)
            return False
        return True

    def _succeeds(self, share: _Share, step: Callable[[_Share], None]) -> bool:
        try:
            step(share)
        except StorageError as error:
            _refuse(share.jobs, error)
            return False
        except Exception as error:  # noqa: BLE001  boundary: the writer thread must outlive any surprise
            logger.exception("commit of {} failed", share.journal.path.name)
            share.journal.distrust()
            _refuse(share.jobs, StorageError(texts.cannot_write(type(error).__name__)))
            return False
        return True

    def _tidy(self, settling: Sequence[Future[None]]) -> None:
        """Sessions are synced by themselves when it is quiet, when the redo log is large, or for who waits for it."""
        whole = settling or self._redo.large or not self._redo.usable
        try:
            if whole or self._quiet:
                self._redo.settle(None if whole else 1)
        except StorageError as error:
            self._quiet = False  # not at once again
            for done in settling:
                done.set_exception(error)
        else:
            for done in settling:
                done.set_result(None)


def _sync_alone(share: _Share) -> None:
    if share.written:
        share.journal.sync(share.written.at)


def _refuse(jobs: Sequence[Job], error: StorageError) -> None:
    """Before anything else is written: a second delivery that waits in the queue is then the first."""
    for job in jobs:
        job.refused()
    for job in jobs:
        job.done.set_exception(error)


def _settle(job: Job, lines: Sequence[Line] | None) -> None:
    if lines is None:
        job.done.set_exception(SessionConflict(texts.session_moved_on(job.journal.path.stem)))
    else:
        job.done.set_result(lines)
