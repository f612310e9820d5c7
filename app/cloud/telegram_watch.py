"""keep_running: what receives from Telegram is started again when it ends, and when it gives no sign of life."""

from __future__ import annotations

import asyncio
from typing import Protocol

from loguru import logger

RESTART_SECONDS = 1.0
LOOK_SECONDS = 5.0  # between two looks at whether it still lives
_DEATH_SECONDS = 5.0  # to be gone after it was cancelled


class Receiver(Protocol):
    """`due`: loop time at which its next sign of life is overdue. `state` is a Spanish sentence; `ready`: it works."""

    due: float

    @property
    def state(self) -> str: ...

    @property
    def ready(self) -> bool: ...

    async def run(self) -> None:
        """Returns only when somebody else shall receive."""
        ...


async def keep_running(receiver: Receiver) -> None:
    """Until it returns by itself. It survives all that it can foresee; this is for the rest."""
    loop = asyncio.get_running_loop()
    while True:
        receiver.due = loop.time() + LOOK_SECONDS
        task = asyncio.create_task(receiver.run(), name="telegram-receiver")
        silent = False
        try:
            while not task.done() and not silent:
                await asyncio.wait([task], timeout=LOOK_SECONDS)
                silent = loop.time() > receiver.due
        finally:
            task.cancel()  # nothing, to one that has ended
            await asyncio.wait([task], timeout=_DEATH_SECONDS)
        if task.done() and not task.cancelled() and task.exception() is None:
            return
        why = "no sign of life" if silent else _end_of(task)
        logger.error("Telegram: receiving ended ({}); it begins again", why)
        await asyncio.sleep(RESTART_SECONDS)


def _end_of(task: asyncio.Task[None]) -> str:
    return "cancelled" if task.cancelled() else type(task.exception()).__name__
