"""Which model is asked next: the order, who rests until when, who is gone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from app.cloud.base import ModelProvider
from app.cloud.retrying import Clock
from app.cloud.route import Breaker, Refusal, Route
from app.core import texts
from app.core.contracts import RouteState

State = Literal["ready", "resting", "rejected", "gone"]


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
        return sorted((r for r in self.all if r.returns(now)), key=lambda r: r.resting_until)

    def refuse(self, provider: str, refusal: Refusal) -> None:
        for route in self.all:
            if route.provider.name == provider:
                route.refusal = refusal

    def window(self) -> int:
        usable = self.order() or self.resting() or self.all
        return usable[0].limit() if usable else ModelProvider.default_window

    def set_aside(self, gone: Route) -> None:
        gone.gone_until = self._clock() + gone.provider.gone_seconds

    def substitute(self, gone: Route) -> str:
        """The model that takes the place of one that is gone, of the same provider; '' when there is none."""
        now = self._clock()
        same = (r for r in self.all if r.provider is gone.provider and r is not gone and not r.gone(now))
        return next((route.model for route in same), "")

    def apply_listing(self, provider: ModelProvider, known: Mapping[str, int]) -> list[Route]:
        """Marks what the provider's own list says is gone or back; returns the routes that are newly gone.

        A list with none of our models (a proxy's, an emulator's) proves nothing: then the calls will tell.
        """
        routes = [route for route in self.all if route.provider is provider]
        if not any(route.model in known for route in routes):
            return []
        provider.windows.update({r.model: known[r.model] for r in routes if known.get(r.model)})
        now = self._clock()
        missing = [r for r in routes if r.model not in known]
        newly = [r for r in missing if not r.gone(now)]
        for route in routes:
            route.gone_until = 0.0
        for route in missing:
            self.set_aside(route)
        return newly

    def states(self) -> list[RouteState]:
        now = self._clock()
        return [RouteState(r.provider.name, r.model, r.provider.paid, *_state(r, now)) for r in self.all]


def _state(route: Route, now: float) -> tuple[State, float, str]:
    """(state, until when, why)"""
    name = route.provider.name
    if route.gone(now):
        return "gone", 0.0, texts.model_gone(name, route.model)
    if refusal := route.refused(now):
        return refusal.state, refusal.until, refusal.reason
    if now < route.resting_until:
        return "resting", route.resting_until, texts.provider_paused(name, route.resting_until - now)
    if route.breaker.blocks(now):
        return "resting", route.breaker.open_until, texts.provider_unreachable(name)
    return "ready", 0.0, ""
