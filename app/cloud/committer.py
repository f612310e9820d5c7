"""Group commit: one writer thread a data folder; whatever waits when it is free is written and synced together."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from loguru import logger

from app.cloud.journal import Journal
from app.core import texts
from app.core.errors import SessionConflict, StorageError
from app.core.events import Line

_SYNCS_AT_ONCE = 8


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


class Committer:
    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._jobs: list[Job] = []
        self._busy = False
        self._wake = threading.Condition()
        self._pool = ThreadPoolExecutor(_SYNCS_AT_ONCE, thread_name_prefix="sync")
        self.syncs = 0  # for the benchmark: how many fsyncs the lines cost
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

    def _run(self) -> None:
        while True:
            with self._wake:
                self._busy = False
                self._wake.notify_all()
                self._wake.wait_for(lambda: self._jobs)
                jobs, self._jobs = self._jobs, []
                self._busy = True
            by_journal: dict[Journal, list[Job]] = {}
            for job in jobs:
                by_journal.setdefault(job.journal, []).append(job)
            if len(by_journal) == 1:
                self._commit(*by_journal.popitem())
            else:
                list(self._pool.map(self._commit, by_journal, by_journal.values()))

    def _commit(self, journal: Journal, jobs: Sequence[Job]) -> None:
        """All jobs of one journal: one write, one sync, then their futures."""
        with journal.lock:
            try:
                results = self._write(journal, jobs)
            except StorageError as error:
                _refuse(jobs, error)
            except Exception as error:  # noqa: BLE001  boundary: the writer thread must outlive any surprise
                logger.exception("commit of {} failed", journal.path.name)
                journal.distrust()
                _refuse(jobs, StorageError(texts.cannot_write(type(error).__name__)))
            else:
                for job, lines in zip(jobs, results, strict=True):
                    _settle(job, lines)

    def _write(self, journal: Journal, jobs: Sequence[Job]) -> list[Sequence[Line] | None]:
        """The written lines of each job; None for one that came too late."""
        journal.load(since=0)
        seq, last, now = journal.seq, journal.last, self._clock()
        results: list[Sequence[Line] | None] = []
        for job in jobs:
            lines = None
            if job.expected in (None, last):
                lines = journal.stamp([line for line in job.lines if job.keep(line)], seq, now)
                seq, last = (lines[-1].seq, lines[-1].seq) if lines else (seq, last)
            results.append(lines)
        if flat := [line for lines in results for line in lines or ()]:
            journal.write(flat)
            self.syncs += 1
            journal.accept(flat)
        return results


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
