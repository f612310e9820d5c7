"""One call of the brain: from the first model asked to a whole reply, or the error that says why there is none."""

from __future__ import annotations

import random
from collections import deque
from typing import TYPE_CHECKING

from loguru import logger

from app.cloud.attempt import Attempts
from app.cloud.failures import Declined, SpendLimitReached
from app.cloud.retrying import RETRIES
from app.cloud.route import FAIR_OUTPUT, MIN_OUTPUT, Refusal, Route
from app.cloud.streaming import build_reply
from app.cloud.tool_repair import repaired_calls, retry_note
from app.core import texts
from app.core.contracts import CallOptions, LiveEvent, ModelRequest, StreamEnd
from app.core.errors import (
    AllFailed,
    BadToolCall,
    BrokenReply,
    CredentialRejected,
    ModelGone,
    NanobotError,
    NoProvider,
    OverBudget,
    ProviderError,
    RateLimited,
    RequestRefused,
    TooLarge,
    TurnPostponed,
    Unreachable,
)
from app.core.messages import Message, Reply
from app.core.usage import count_request

if TYPE_CHECKING:
    from app.cloud.providers import ProviderManager

REJECTED_SECONDS = 600.0  # before a rejected key is tried again
SPEND_LIMIT_SECONDS = 3 * 3600.0  # before an account that has spent its limit is tried again
_SPREAD_SECONDS, _MOST_SPREAD = 0.1, 5.0  # per turn that waits for the same model, and in all


class Completion:
    def __init__(self, manager: ProviderManager, request: ModelRequest, options: CallOptions) -> None:
        self._manager = manager
        self._request = request
        self._options = options
        self._attempts = Attempts(manager, request, options)
        self._failures: list[ProviderError] = []
        self._outgrown: list[TooLarge] = []
        self._hopeless: set[Route] = set()
        self._may_pay: bool | None = None

    async def run(self) -> Reply:
        while True:
            if reply := await self._ask_everyone():
                return reply
            resting = self._resting()
            route = next(filter(self._worth_waiting_for, resting), None)
            if route is None or self._outgrown:  # a shorter conversation helps at once
                raise self._verdict(resting[0] if resting else None)
            await self._pause(route)

    # ------------------------------------------------------------ who is asked

    async def _ask_everyone(self) -> Reply | None:
        need = count_request(self._request) + min(self._request.max_tokens, FAIR_OUTPUT)
        queue = deque(self._manager.router.order(self._request.model, need))
        while queue:
            route = queue.popleft()
            if route in self._hopeless:
                continue
            try:
                return await self._ask(route)
            except ProviderError as error:
                logger.warning("{} {} failed: {} ({})", error.provider, error.model, type(error).__name__, error)
                self._failures.append(error)
                self._manager.activity.trouble.set()
                self._learn_from(error, route, queue)
        return None

    async def _ask(self, route: Route) -> Reply:
        await self._allow_cost(route)
        try:
            return await self._with_retries(route, ())
        except BadToolCall as error:
            offered = () if self._request.tool_choice == "none" else self._request.tools
            if calls := repaired_calls(error.failed_generation, offered):
                logger.info("{} {}: repaired a badly written tool call", error.provider, error.model)
                return build_reply("", calls, StreamEnd("tool_calls"), route.origin)
            return await self._with_retries(route, (retry_note(error),))

    async def _with_retries(self, route: Route, notes: tuple[Message, ...]) -> Reply:
        return await self._manager.retry_logic(
            lambda: self._attempts.ask(route, notes),
            retries=RETRIES if route.breaker.closed else 0,
            until=self._attempts.deadline,
            hopeful=lambda: route.breaker.closed and self._bears_waiting(route),
        )

    def _bears_waiting(self, route: Route) -> bool:
        """A limit that comes back again and again is no short one, whatever `retry-after` says."""
        return self._attempts.limited[route] <= RETRIES

    async def _allow_cost(self, route: Route) -> None:
        if not route.provider.paid:
            return
        self._attempts.check_budget(route)
        if self._may_pay is None and self._manager.settings.ask_before_paid:
            asked = self._manager.clock()
            self._may_pay = await self._options.may_pay(route.provider.name)
            self._attempts.deadline += self._manager.clock() - asked  # a person's time to answer is not the models'
        if self._may_pay is False:
            raise RequestRefused(texts.PAY_DECLINED, **route.origin.blame)

    # ------------------------------------------------------------ what a failure teaches

    def _learn_from(self, error: ProviderError, route: Route, queue: deque[Route]) -> None:
        name, now = route.provider.name, self._manager.clock()
        match error:
            case RateLimited():
                seconds = route.rest_seconds(error.retry_after)
                route.rest(now + seconds)
                self._failures[-1] = route.origin.rate_limited(seconds)
            case TooLarge():
                self._learn_limit(error, route, queue)
            case ModelGone():
                self._manager.router.set_aside(route)
                self._manager.notice_gone(route)
            case CredentialRejected():
                self._leave_alone(Refusal(now + REJECTED_SECONDS, "rejected", str(error)), route, queue)
            case SpendLimitReached():
                self._leave_alone(Refusal(now + SPEND_LIMIT_SECONDS, "resting", str(error)), route, queue)
            case OverBudget():
                self._drop(name, queue)
            case Unreachable() | BrokenReply():
                _to_the_end(name, queue)
            case _:  # refused, or twice a bad tool call: the provider's other models come after the other providers
                self._hopeless.add(route)
                _to_the_end(name, queue)

    def _learn_limit(self, error: TooLarge, route: Route, queue: deque[Route]) -> None:
        before = route.limit()
        if error.limit and error.limit < before:
            route.learned_limit = error.limit
            if self._fits(route):
                queue.appendleft(route)  # it was the room asked for the answer that did not fit
                return
        self._hopeless.add(route)
        self._outgrown.append(error)

    def _leave_alone(self, refusal: Refusal, route: Route, queue: deque[Route]) -> None:
        self._manager.leave_alone(route.provider.name, refusal)
        self._drop(route.provider.name, queue)

    def _drop(self, provider: str, queue: deque[Route]) -> None:
        self._hopeless |= {route for route in self._manager.router.all if route.provider.name == provider}
        kept = [route for route in queue if route.provider.name != provider]
        queue.clear()
        queue.extend(kept)

    # ------------------------------------------------------------ when nobody answers

    def _fits(self, route: Route) -> bool:
        return self._attempts.prompt_tokens(route) + MIN_OUTPUT <= route.limit()

    def _resting(self) -> list[Route]:
        """The resting models that can take this request, the one that comes back first in front."""
        return [r for r in self._manager.router.resting() if r not in self._hopeless and self._fits(r)]

    def _worth_waiting_for(self, route: Route) -> bool:
        return route.resting_until < self._attempts.deadline and self._bears_waiting(route)

    async def _pause(self, route: Route) -> None:
        """Those who wait for the same model do not all wake at the same moment."""
        now = self._manager.clock()
        spread = random.uniform(0, min(_SPREAD_SECONDS * route.sleepers, _MOST_SPREAD))
        seconds = min(route.resting_until + spread, self._attempts.deadline) - now
        self._options.emit(LiveEvent("status", texts.provider_paused(route.provider.name, seconds)))
        route.sleepers += 1
        try:
            await self._manager.sleep(seconds)
        finally:
            route.sleepers -= 1
        self._options.emit(LiveEvent("status", ""))

    def _verdict(self, waiting: Route | None) -> NanobotError:
        if not self._manager.router.all:
            return NoProvider(texts.NO_PROVIDER)
        if self._outgrown:
            return max(self._outgrown, key=lambda error: error.limit or 0)
        if waiting is not None and not self._another_is_only_down(waiting):
            seconds = waiting.resting_until - self._manager.clock()
            name = waiting.provider.name
            also = [str(e) for e in self._failures if e.provider != name and not isinstance(e, RateLimited)]
            return TurnPostponed(texts.turn_postponed(name, seconds, also), waiting.resting_until)
        for kind in (OverBudget, Declined):
            if self._failures and all(isinstance(error, kind) for error in self._failures):
                return self._failures[0]
        reasons = [str(error) for error in self._failures] or [s.reason for s in self._manager.routes() if s.reason]
        return AllFailed(texts.all_failed(reasons), self._failures)

    def _another_is_only_down(self, waiting: Route) -> bool:
        """A provider that is down now may answer in a minute: better asked by hand than a limit waited out."""
        return any(
            isinstance(error, Unreachable | BrokenReply) and error.provider != waiting.provider.name
            for error in self._failures
        )


def _to_the_end(provider: str, queue: deque[Route]) -> None:
    others = [route for route in queue if route.provider.name != provider]
    same = [route for route in queue if route.provider.name == provider]
    queue.clear()
    queue.extend(others + same)
