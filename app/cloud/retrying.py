"""The one retry policy: exponential backoff with full jitter, a short retry-after obeyed while it fits."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from app.core.errors import BrokenReply, ProviderError, RateLimited, Unreachable

T = TypeVar("T")
Clock = Callable[[], float]
Sleep = Callable[[float], Awaitable[None]]

RETRIES = 2
SHORT_WAIT = 5.0  # seconds: a longer retry-after is a rest, not a retry
_BASE, _CAP = 0.5, 8.0  # seconds


def backoff(attempt: int) -> float:
    """Seconds before retry number `attempt` (from 0): anything up to 0.5, 1, 2… 8."""
    return random.uniform(0, min(_CAP, _BASE * 2**attempt))


def pause_before_retry(error: ProviderError, attempt: int) -> float | None:
    """Seconds, or None when trying the same provider again would not help."""
    if isinstance(error, RateLimited) and error.retry_after is None:
        return None
    if isinstance(error, RateLimited | Unreachable) and error.retry_after is not None:
        return error.retry_after + backoff(0) / 5 if error.retry_after <= SHORT_WAIT else None
    return backoff(attempt) if isinstance(error, Unreachable | BrokenReply) else None


def always() -> bool:
    return True


async def retry(
    operation: Callable[[], Awaitable[T]],
    *,
    retries: int,
    until: float,
    clock: Clock,
    sleep: Sleep,
    hopeful: Callable[[], bool] = always,
) -> T:
    """`until` in `clock` seconds: no wait goes beyond it. `hopeful` is asked before each wait and after it.

    Raises the last ProviderError.
    """
    attempt = 0
    while True:
        try:
            return await operation()
        except ProviderError as error:
            pause = pause_before_retry(error, attempt)
            if attempt >= retries or pause is None or clock() + pause >= until or not hopeful():
                raise
            await sleep(pause)
            if not hopeful():  # others have found out meanwhile
                raise
        attempt += 1
