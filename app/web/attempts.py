"""Against guessing: budgets of wrong guesses, and the one-time code of the set-up page."""

from __future__ import annotations

import hmac
import secrets
import time
from collections import OrderedDict, deque
from collections.abc import Callable

from loguru import logger

_ALPHABET = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"  # nothing that looks like something else
_CODE_LENGTH = 10
_TRIES = 1_000


class _Budget:
    def __init__(self, most: int, seconds: float) -> None:
        self._most = most
        self._seconds = seconds
        self._when: deque[float] = deque()

    def wait(self, now: float) -> float:
        """Seconds until the next guess; 0: now."""
        while self._when and self._when[0] <= now - self._seconds:
            self._when.popleft()
        return self._when[0] + self._seconds - now if len(self._when) >= self._most else 0.0

    def take(self, now: float) -> None:
        self._when.append(now)


class Attempts:
    """At most `each` guesses in any `seconds` for one guesser, and `together` for all guessers of one kind.

    Nobody can use up somebody else's budget, except strangers that of all strangers: each guess costs 50 ms of a core.
    """

    def __init__(
        self, each: int = 5, together: int = 60, seconds: float = 60.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._each = each
        self._seconds = seconds
        self._clock = clock
        self._guessers: OrderedDict[str, _Budget] = OrderedDict()
        self._strangers = _Budget(together, seconds)

    def wait(self, guesser: str, *, stranger: bool) -> float:
        """Counts a guess and returns 0, or refuses it and returns the seconds until the next one."""
        now = self._clock()
        budgets = [self._of(guesser), self._strangers] if stranger else [self._of(guesser)]
        if wait := max(budget.wait(now) for budget in budgets):
            return wait
        for budget in budgets:
            budget.take(now)
        return 0.0

    def forgive(self, guesser: str) -> None:
        """The guess was right: the wrong ones before it no longer count."""
        self._guessers.pop(guesser, None)

    def _of(self, guesser: str) -> _Budget:
        budget = self._guessers.setdefault(guesser, _Budget(self._each, self._seconds))
        self._guessers.move_to_end(guesser)
        if len(self._guessers) > 1_000:
            self._guessers.popitem(last=False)
        return budget


class OneTimeCode:
    """Shown in the log alone: whoever can read it owns the machine.

    It has 49 bits, so it needs no limit on guesses. Strangers can neither make it change under the owner's hands
    nor use up tries: the right one always opens.
    """

    def __init__(self) -> None:
        self._code = ""
        self._left = 0
        self._renew()

    def matches(self, given: str) -> bool:
        said = "".join(given.upper().split()).replace("-", "")
        return hmac.compare_digest(said.encode(errors="replace"), self._code.encode())

    def missed(self, guesser: str) -> None:
        logger.warning("wrong one-time code from {}", guesser)
        self._left -= 1
        if self._left <= 0:
            self._renew()

    def _renew(self) -> None:
        self._code = "".join(secrets.choice(_ALPHABET) for _ in range(_CODE_LENGTH))
        self._left = _TRIES
        half = _CODE_LENGTH // 2
        logger.warning(
            "no DASHBOARD_PASSWORD: the dashboard asks for this one-time code to choose one: {}-{}",
            self._code[:half],
            self._code[half:],
        )
