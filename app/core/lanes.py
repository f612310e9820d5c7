"""Lanes: for each key at most one piece of work at a time; keys run side by side."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from loguru import logger

_RETRY_SECONDS = 30.0


class Lanes:
    """`work(key)` does whatever is open for that key and returns. A wake during work makes it look again.

    Work that fails is logged and tried again half a minute later: what is open stays open in the log.
    """

    def __init__(self, name: str, work: Callable[[str], Awaitable[None]]) -> None:
        self._name = name
        self._work = work
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._again: set[str] = set()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._closed = False

    @property
    def busy(self) -> frozenset[str]:
        return frozenset(self._tasks)

    def wake(self, key: str) -> None:
        if self._closed:
            return
        if timer := self._timers.pop(key, None):
            timer.cancel()
        if key in self._tasks:
            self._again.add(key)
        else:
            task = asyncio.create_task(self._run(key), name=f"{self._name}:{key}")
            self._tasks[key] = task
            task.add_done_callback(lambda _: self._ended(key))

    def wake_at(self, key: str, when: float) -> None:
        """`when` is a UNIX time; an earlier wake replaces it."""
        if self._closed:
            return
        if timer := self._timers.pop(key, None):
            timer.cancel()
        delay = max(0.0, when - time.time())
        self._timers[key] = asyncio.get_running_loop().call_later(delay, self.wake, key)

    async def cancel(self, key: str) -> bool:
        """Ends the work on this key now; False when there was none."""
        task = self._tasks.get(key)
        if task is None:
            return False
        self._again.discard(key)
        task.cancel()
        await asyncio.wait([task])
        return True

    async def close(self, patience: float) -> None:
        """No new work; what runs has `patience` seconds to come to an end."""
        self._closed = True
        for timer in self._timers.values():
            timer.cancel()
        if tasks := list(self._tasks.values()):
            _, late = await asyncio.wait(tasks, timeout=patience)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)

    async def idle(self) -> None:
        """Until nothing runs (for tests and benchmarks)."""
        while self._tasks:
            await asyncio.wait(list(self._tasks.values()))
            await asyncio.sleep(0)

    async def _run(self, key: str) -> None:
        while True:
            self._again.discard(key)
            try:
                await self._work(key)
            except Exception:  # noqa: BLE001  boundary: a lane outlives whatever happens to one piece of work
                logger.exception("{} lane {} failed; trying again in {:.0f} s", self._name, key, _RETRY_SECONDS)
                self.wake_at(key, time.time() + _RETRY_SECONDS)
                return
            if key not in self._again or self._closed:
                return

    def _ended(self, key: str) -> None:
        del self._tasks[key]
        if key in self._again:
            self.wake(key)
