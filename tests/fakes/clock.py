"""A clock that only moves when somebody sleeps on it, so that waiting costs a test nothing."""

from __future__ import annotations

import asyncio


class FakeClock:
    """Call it for the UNIX time; pass `sleep` where asyncio.sleep would go. `slept`: every pause, in seconds."""

    def __init__(self, now: float = 1_795_000_000.0) -> None:
        self.now = now
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)
