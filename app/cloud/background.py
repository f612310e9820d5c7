"""What the brain does while nobody waits: it loads SDKs ahead of their first call and asks which models there are."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import contextmanager, suppress

from loguru import logger

from app.cloud.base import ModelProvider

WATCH_SECONDS = 3600.0
SOON_SECONDS, IDLE_SECONDS = 2.0, 30.0


class Activity:
    """Whether calls are running. `trouble` is set when a provider has failed: the next one will be needed."""

    def __init__(self) -> None:
        self.trouble = asyncio.Event()
        self._running = 0
        self._ended = 0.0  # loop.time()

    @contextmanager
    def call(self) -> Generator[None]:
        self._running += 1
        try:
            yield
        finally:
            self._running -= 1
            self._ended = asyncio.get_running_loop().time()

    async def quiet(self, seconds: float) -> None:
        """Until nothing has run for so long, or there is trouble."""
        now = asyncio.get_running_loop().time
        self._ended = max(self._ended, now())
        while not self.trouble.is_set() and (self._running or now() < self._ended + seconds):
            wait = seconds if self._running else self._ended + seconds - now()
            with suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self.trouble.wait()


async def warm_up(provider: ModelProvider) -> None:
    try:
        await provider.warm_up()
    except Exception as error:  # noqa: BLE001  boundary: the first call will meet the same failure, and tell
        logger.warning("{} cannot be loaded ahead: {}", provider.name, type(error).__name__)
