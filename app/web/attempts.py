"""Against guessing: a limit on attempts, and the one-time code of the set-up page."""

from __future__ import annotations

import hmac
import secrets
import time
from collections import deque
from collections.abc import Callable

from loguru import logger

_ALPHABET = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"  # nothing that looks like something else
_CODE_LENGTH = 10
_TRIES = 5


class Attempts:
    """At most `most` attempts in any `seconds`, over the whole process: who guesses shares one budget."""

    def __init__(self, most: int = 5, seconds: float = 60.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._seconds = seconds
        self._clock = clock
        self._when: deque[float] = deque()

    def wait(self) -> float:
        """Counts an attempt and returns 0, or refuses it and returns the seconds until the next one."""
        now = self._clock()
        while self._when and self._when[0] <= now - self._seconds:
            self._when.popleft()
        if len(self._when) >= self._most:
            return self._when[0] + self._seconds - now
        self._when.append(now)
        return 0.0


class OneTimeCode:
    """Shown in the log alone: whoever can read it owns the machine. A few wrong tries make another."""

    def __init__(self) -> None:
        self._code = ""
        self._left = 0
        self._renew()

    def check(self, given: str) -> bool:
        said = "".join(given.upper().split()).replace("-", "")
        if hmac.compare_digest(said.encode(), self._code.encode()):
            return True
        self._left -= 1
        if self._left <= 0:
            self._renew()
        return False

    def _renew(self) -> None:
        self._code = "".join(secrets.choice(_ALPHABET) for _ in range(_CODE_LENGTH))
        self._left = _TRIES
        half = _CODE_LENGTH // 2
        logger.warning(
            "no DASHBOARD_PASSWORD: the dashboard asks for this one-time code to choose one: {}-{}",
            self._code[:half],
            self._code[half:],
        )
