"""Setbacks: trouble while receiving — what to say of it, what to log, how long to wait."""

from __future__ import annotations

from loguru import logger
from telegram.error import InvalidToken, RetryAfter

from app.cloud.telegram_errors import polling_trouble, seconds_of
from app.core.errors import StorageError

FIRST_PAUSE = 1.0  # seconds after a failure; doubles up to a minute
STORAGE_PAUSE = 3.0  # the other chats wait it out as well
TOKEN_PAUSE = 300.0  # a token that never worked: it needs somebody
LOST_TOKEN_PAUSE = 60.0  # one that did work: Telegram itself answers 401 and 404 in its bad hours
_LONGEST_PAUSE = 60.0


class Setbacks:
    """Counts failures in a row. `token_works`: Telegram has accepted it before."""

    def __init__(self) -> None:
        self._failures = 0
        self._token_told = False

    def over(self) -> None:
        self._failures = 0
        self._token_told = False

    def meet(self, error: Exception, *, token_works: bool) -> tuple[str, float]:
        """(a Spanish sentence, seconds to wait)."""
        self._failures += 1
        self._log(error)
        return polling_trouble(error, token_works), self._seconds(error, token_works)

    def _seconds(self, error: Exception, token_works: bool) -> float:
        match error:
            case StorageError():
                return STORAGE_PAUSE
            case InvalidToken():
                return LOST_TOKEN_PAUSE if token_works else TOKEN_PAUSE
            case RetryAfter():
                return seconds_of(error.retry_after)
            case _:
                return growing(self._failures)

    def _log(self, error: Exception) -> None:
        if not isinstance(error, InvalidToken):
            logger.warning("Telegram: {}: {}", type(error).__name__, error)
        elif not self._token_told:
            self._token_told = True
            logger.error("Telegram rejects the token; trying again from time to time")


def growing(times: int) -> float:
    """1, 2, 4… seconds, a minute at most."""
    return min(_LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(max(times, 1) - 1, 6))
