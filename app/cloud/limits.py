"""What a provider's x-ratelimit-* headers say is left for one model.

Groq's `tokens` are per minute and refill steadily; its `requests` are per day. `reset` is the time until full again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite

_DURATION = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m(?!s))?(?:([\d.]+)s)?(?:([\d.]+)ms)?")
_WEIGHTS = (86_400.0, 3_600.0, 60.0, 1.0, 0.001)


def parse_duration(text: str) -> float | None:
    """Seconds of '2m59.56s', '7.66s', '120ms', '1h2m' or '30'; None when it is none of these."""
    text = text.strip()
    try:
        seconds = float(text)
        return max(0.0, seconds) if isfinite(seconds) else None
    except ValueError:
        match = _DURATION.fullmatch(text)
        if match is None or not any(match.groups()):
            return None
        return sum(float(part) * weight for part, weight in zip(match.groups(), _WEIGHTS, strict=True) if part)


def _number(headers: Mapping[str, str], name: str) -> float | None:
    try:
        value = float(headers[name])
    except (KeyError, ValueError):
        return None
    return value if isfinite(value) else None


@dataclass(slots=True)
class RateLimits:
    """`at` is when the headers came (clock seconds); the other times are seconds after it."""

    at: float
    tokens_limit: float | None
    tokens_left: float | None
    tokens_reset: float
    requests_left: float | None
    requests_reset: float

    @classmethod
    def from_headers(cls, headers: Mapping[str, str], now: float) -> RateLimits | None:
        """None when the headers say nothing about limits."""
        left = _number(headers, "x-ratelimit-remaining-tokens")
        requests = _number(headers, "x-ratelimit-remaining-requests")
        if left is None and requests is None:
            return None
        return cls(
            at=now,
            tokens_limit=_number(headers, "x-ratelimit-limit-tokens"),
            tokens_left=left,
            tokens_reset=parse_duration(headers.get("x-ratelimit-reset-tokens", "")) or 0.0,
            requests_left=requests,
            requests_reset=parse_duration(headers.get("x-ratelimit-reset-requests", "")) or 0.0,
        )

    def tokens_at(self, now: float) -> float | None:
        """Tokens that may be asked for at `now`; None when unknown."""
        if self.tokens_left is None or self.tokens_limit is None:
            return self.tokens_left if now < self.at + self.tokens_reset else None
        if self.tokens_reset <= 0:
            return self.tokens_left if now <= self.at else self.tokens_limit
        refilled = (self.tokens_limit - self.tokens_left) * (now - self.at) / self.tokens_reset
        return min(self.tokens_limit, self.tokens_left + max(0.0, refilled))

    def wait_for(self, tokens: float, now: float) -> float:
        """Seconds until a request of `tokens` may be sent; 0 when it may be sent now."""
        wait = 0.0
        if self.requests_left is not None and self.requests_left < 1:
            wait = max(0.0, self.at + self.requests_reset - now)
        available = self.tokens_at(now)
        if available is None or available >= tokens:
            return wait
        full = self.at + self.tokens_reset
        if self.tokens_limit is None or self.tokens_left is None or self.tokens_limit <= self.tokens_left:
            return max(wait, full - now)
        rate = (self.tokens_limit - self.tokens_left) / max(self.tokens_reset, 0.001)
        return max(wait, min((tokens - available) / rate, max(0.0, full - now)))

    def spend(self, tokens: float, now: float) -> None:
        """Books a request that is about to leave, so that calls at the same time see it."""
        available = self.tokens_at(now)
        if available is None:
            return
        if self.tokens_limit is not None and self.tokens_reset > 0 and self.tokens_limit > (self.tokens_left or 0.0):
            rate = (self.tokens_limit - (self.tokens_left or 0.0)) / self.tokens_reset
            self.tokens_reset = (self.tokens_limit - available + tokens) / rate
        self.tokens_left = max(0.0, available - tokens)
        self.at = now
