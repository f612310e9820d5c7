"""Chores: the small things that nothing waits for — answering a press, greeting a stranger, the menu."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from loguru import logger
from telegram.error import TelegramError

_MOST = 64
_SECONDS = 30.0


class Chores:
    """At most `most` at a time, `seconds` each; what fails, or finds no place, is let go with a line in the log."""

    def __init__(self, most: int = _MOST, seconds: float = _SECONDS) -> None:
        self._most = most
        self._seconds = seconds
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, name: str, work: Awaitable[object]) -> None:
        if len(self._tasks) >= self._most:
            logger.warning("Telegram: no room to {}", name)
            getattr(work, "close", lambda: None)()  # else Python warns of a coroutine never awaited
            return
        task = asyncio.create_task(self._do(name, work), name=f"telegram-chore:{name}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _do(self, name: str, work: Awaitable[object]) -> None:
        try:
            async with asyncio.timeout(self._seconds):
                await work
        except TelegramError as error:
            logger.debug("Telegram: could not {}: {}", name, error.message)
        except Exception as error:  # noqa: BLE001  boundary: a chore is best effort, whatever happens to it
            logger.warning("Telegram: could not {}: {}", name, type(error).__name__)
