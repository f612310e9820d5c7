"""Which model is asked next: the order, who rests until when, who is gone, and how large a request may be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from app.cloud.base import ModelProvider
from app.cloud.failures import Origin
from app.cloud.retrying import Clock
from app.core import texts
from app.core.contracts import RouteState

MIN_OUTPUT = 256  # tokens: with less room for the answer the model rests instead
FAIR_OUTPUT = 1024  # tokens: with less room another model of the same provider goes first
REJECTED_SECONDS = 600.0  # before a rejected key is tried again


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


@dataclass(eq=False, slots=True)
class Route:
    """One model of one provider. Times in clock (UNIX) seconds."""

    provider: ModelProvider
    model: str
    breaker: Breaker = field(repr=False)
    resting_until: float = 0.0
    rejected_until: float = 0.0
    gone: bool = False
    learned_limit: int | None = None

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

    def ready(self, now: float) -> bool:
        return not self.gone and now >= self.resting_until and now >= self.rejected_until

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


class Router:
    def __init__(self, providers: Sequence[ModelProvider], clock: Clock) -> None:
        breakers = {provider.name: Breaker() for provider in providers}
        self.all = [Route(p, model, breakers[p.name]) for p in providers for model in p.models]
        self._clock = clock

    def order(self, preferred: str = "", tokens: int = 0) -> list[Route]:
        """Whom to ask now for so many `tokens`. Who keeps failing comes last: better a probe than no answer."""
        now = self._clock()
        rank = {
            provider: position for position, provider in enumerate(dict.fromkeys(r.provider.name for r in self.all))
        }

        def place(route: Route) -> tuple[bool, bool, int, bool]:
            wanted = route.model == preferred
            return route.breaker.blocks(now), not wanted, rank[route.provider.name], route.cramped(tokens, now)

        return sorted((route for route in self.all if route.ready(now)), key=place)

    def resting(self) -> list[Route]:
        """Those that come back by themselves, the first one first."""
        now = self._clock()
        waiting = [r for r in self.all if not r.gone and now < r.resting_until and now >= r.rejected_until]
        return sorted(waiting, key=lambda r: r.resting_until)

    def reject(self, provider: str) -> None:
        for route in self.all:
            if route.provider.name == provider:
                route.rejected_until = self._clock() + REJECTED_SECONDS

    def window(self) -> int:
        usable = self.order() or self.resting() or self.all
        return usable[0].limit() if usable else ModelProvider.default_window

    def substitute(self, gone: Route) -> str:
        """The model that takes the place of one that is gone, of the same provider; '' when there is none."""
        same = (r for r in self.all if r.provider is gone.provider and r is not gone and not r.gone)
        return next((route.model for route in same), "")

    def apply_listing(self, provider: ModelProvider, known: Mapping[str, int]) -> list[Route]:
        """Marks what the provider's own list says is gone or back; returns the routes that are newly gone.

        A list with none of our models (a proxy's, an emulator's) proves nothing: then the calls will tell.
        """
        routes = [route for route in self.all if route.provider is provider]
        if not any(route.model in known for route in routes):
            return []
        provider.windows.update({r.model: known[r.model] for r in routes if known.get(r.model)})
        newly = [r for r in routes if r.model not in known and not r.gone]
        for route in routes:
            route.gone = route.model not in known
        return newly

    def states(self) -> list[RouteState]:
        return [self._state(route) for route in self.all]

    def _state(self, route: Route) -> RouteState:
        now = self._clock()
        name, origin = route.provider.name, route.origin
        state: Literal["ready", "resting", "rejected", "gone"] = "ready"
        until, reason = 0.0, ""
        if route.gone:
            state, reason = "gone", texts.model_gone(name, route.model)
        elif now < route.rejected_until:
            state, until = "rejected", route.rejected_until
            reason = texts.credential_rejected(name, origin.variable)
        elif now < route.resting_until:
            state, until = "resting", route.resting_until
            reason = texts.provider_paused(name, until - now)
        elif route.breaker.blocks(now):
            state, until, reason = "resting", route.breaker.open_until, texts.provider_unreachable(name)
        return RouteState(name, route.model, route.provider.paid, state, until, reason)
