"""One model of one provider: whether it may be asked now, and how large a request may be."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from app.cloud.base import ModelProvider
from app.cloud.failures import UNSTATED_REST, Origin
from app.cloud.retrying import RETRIES

MIN_OUTPUT = 256  # tokens: with less room for the answer the model rests instead
FAIR_OUTPUT = 1024  # tokens: with less room another model of the same provider goes first
LONGEST_GUESS = 900.0  # seconds: the longest rest that nobody asked for
_LONGEST_REST = 2 * 86_400.0  # seconds: what a stranger's header may ask for


class Breaker:
    """Opens after some failures in a row; then lets one probe through at a time, and closes when it succeeds."""

    FAILURES = 3
    OPEN_SECONDS = 30.0

    def __init__(self) -> None:
        self._failures = 0
        self._open_until = 0.0

    def record(self, alive: bool, now: float) -> None:
        self._failures = 0 if alive else self._failures + 1
        if self._failures >= self.FAILURES:
            self._open_until = now + self.OPEN_SECONDS

    @property
    def closed(self) -> bool:
        return self._failures < self.FAILURES

    def blocks(self, now: float) -> bool:
        return not self.closed and now < self._open_until

    def probe(self, now: float) -> None:
        """Whoever probes keeps the others away until it knows."""
        if not self.closed:
            self._open_until = now + self.OPEN_SECONDS

    @property
    def open_until(self) -> float:
        return 0.0 if self.closed else self._open_until


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a whole provider is left alone for so long: nothing that a wait within a turn would change."""

    until: float
    state: Literal["resting", "rejected"]
    reason: str


@dataclass(eq=False, slots=True)
class Route:
    """Times in clock (UNIX) seconds. `sleepers`: turns that wait for this model."""

    provider: ModelProvider
    model: str
    breaker: Breaker = field(repr=False)
    resting_until: float = 0.0
    refusal: Refusal | None = None
    gone_until: float = 0.0
    learned_limit: int | None = None
    sleepers: int = 0
    _strikes: int = 0  # 429s in a row
    _last_strike: float = 0.0

    @property
    def origin(self) -> Origin:
        return self.provider.origin(self.model)

    def limit(self) -> int:
        """Tokens (prompt + answer) of the largest request that this model takes, as far as is known."""
        limits = self.provider.limits.get(self.model)
        per_minute = int(limits.tokens_limit) if limits and limits.tokens_limit else None
        known = [self.provider.window(self.model), self.learned_limit, per_minute]
        return min(limit for limit in known if limit)

    def rest(self, until: float) -> None:
        self.resting_until = max(self.resting_until, until)

    def strike(self, sent: float, now: float) -> None:
        """A 429. When the request left before the last one came, it tells nothing new."""
        if sent > self._last_strike:
            self._strikes += 1
            self._last_strike = now

    def succeeded(self) -> None:
        self._strikes = 0

    def rest_seconds(self, stated: float | None) -> float:
        """How long to rest after a 429: as stated; unstated, or stated in vain again and again, longer every time."""
        in_vain = self._strikes if stated is None else self._strikes - (RETRIES + 1)
        guess = min(UNSTATED_REST * 2 ** min(in_vain - 1, 20), LONGEST_GUESS) if in_vain > 0 else 0.0
        return min(max(stated or 0.0, guess), _LONGEST_REST)

    def refused(self, now: float) -> Refusal | None:
        return self.refusal if self.refusal and now < self.refusal.until else None

    def gone(self, now: float) -> bool:
        return now < self.gone_until

    def returns(self, now: float) -> bool:
        """It rests, and comes back by itself."""
        return now < self.resting_until and not self.gone(now) and not self.refused(now)

    def ready(self, now: float) -> bool:
        return now >= self.resting_until and not self.gone(now) and not self.refused(now)

    def cramped(self, tokens: int, now: float) -> bool:
        limits = self.provider.limits.get(self.model)
        available = limits.tokens_at(now) if limits else None
        return available is not None and available < tokens

    def size(self, prompt: int, wanted: int, now: float) -> int:
        """max_tokens for a prompt of so many tokens. Raises TooLarge, or RateLimited when it does not fit yet."""
        limit = self.limit()
        if prompt + MIN_OUTPUT > limit:
            raise self.origin.too_large(limit)
        room = min(wanted, limit - prompt)
        if limits := self.provider.limits.get(self.model):
            if wait := limits.wait_for(prompt + MIN_OUTPUT, now):
                raise self.origin.rate_limited(wait)
            available = limits.tokens_at(now)
            room = room if available is None else min(room, int(available) - prompt)
            limits.spend(prompt + room, now)
        return room
