"""One call of the brain: from the first model asked to a whole reply, or the error that says why there is none."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING

from loguru import logger

from app.cloud.failures import UNSTATED_REST
from app.cloud.retrying import RETRIES
from app.cloud.routing import FAIR_OUTPUT, MIN_OUTPUT, Route
from app.cloud.streaming import build_reply
from app.cloud.tool_repair import repaired_calls, retry_note
from app.core import texts
from app.core.contracts import (
    CallOptions,
    LiveEvent,
    ModelRequest,
    StreamEnd,
    StreamItem,
    TextDelta,
    ToolCallDelta,
)
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
from app.core.messages import Message, Reply, ToolCall, Usage
from app.core.usage import count_message, count_request, count_text, price

if TYPE_CHECKING:
    from app.cloud.providers import ProviderManager


class Completion:
    def __init__(self, manager: ProviderManager, request: ModelRequest, options: CallOptions) -> None:
        self._manager = manager
        self._request = request
        self._options = options
        self._raw_tokens = count_request(request)
        self._deadline = manager.clock() + options.deadline - asyncio.get_running_loop().time()
        self._attempts: list[ProviderError] = []
        self._hopeless: set[Route] = set()
        self._may_pay: bool | None = None

    async def run(self) -> Reply:
        while True:
            if reply := await self._ask_everyone():
                return reply
            waiting = self._first_back()
            if waiting is None or waiting.resting_until >= self._deadline:
                raise self._verdict(waiting)
            await self._pause(waiting)

    # ------------------------------------------------------------ who is asked

    async def _ask_everyone(self) -> Reply | None:
        need = self._raw_tokens + min(self._request.max_tokens, FAIR_OUTPUT)
        queue = deque(self._manager.router.order(self._request.model, need))
        while queue:
            route = queue.popleft()
            if route in self._hopeless:
                continue
            try:
                return await self._ask(route)
            except ProviderError as error:
                self._attempts.append(error)
                logger.warning("{} {} failed: {} ({})", error.provider, error.model, type(error).__name__, error)
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
        retries = RETRIES if route.breaker.closed else 0
        return await self._manager.retry_logic(
            lambda: self._attempt(route, notes), retries=retries, until=self._deadline
        )

    async def _allow_cost(self, route: Route) -> None:
        if not route.provider.paid:
            return
        budget = self._manager.settings.daily_budget_usd
        if self._manager.ledger.today() >= budget:
            raise OverBudget(texts.over_budget(budget), **route.origin.blame)
        if self._may_pay is None and self._manager.settings.ask_before_paid:
            asked = self._manager.clock()
            self._may_pay = await self._options.may_pay(route.provider.name)
            self._deadline += self._manager.clock() - asked  # a person's time to answer is not the models'
        if self._may_pay is False:
            raise RequestRefused(texts.PAY_DECLINED, **route.origin.blame)

    def _learn_from(self, error: ProviderError, route: Route, queue: deque[Route]) -> None:
        name, now = route.provider.name, self._manager.clock()
        match error:
            case RateLimited():
                route.rest(now + (UNSTATED_REST if error.retry_after is None else error.retry_after))
            case TooLarge():
                self._learn_limit(error, route, queue)
            case ModelGone():
                route.gone = True
                self._manager.notice_gone(route)
            case CredentialRejected():
                self._manager.router.reject(name)
                self._manager.notice(f"key:{name}", str(error))
                self._drop(name, queue)
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
            if self._prompt_tokens(route) + MIN_OUTPUT <= error.limit:
                queue.appendleft(route)  # it was the room asked for the answer that did not fit
                return
        self._hopeless.add(route)

    def _drop(self, provider: str, queue: deque[Route]) -> None:
        self._hopeless |= {route for route in self._manager.router.all if route.provider.name == provider}
        kept = [route for route in queue if route.provider.name != provider]
        queue.clear()
        queue.extend(kept)

    # ------------------------------------------------------------ one attempt

    async def _attempt(self, route: Route, notes: tuple[Message, ...]) -> Reply:
        request = self._sized(route, notes)
        text: list[str] = []
        calls: list[ToolCall] = []
        route.breaker.probe(self._manager.clock())
        try:
            async with aclosing(self._stream(route, request)) as items:
                async for item in items:
                    match item:
                        case TextDelta(piece):
                            text.append(piece)
                            self._options.emit(LiveEvent("delta", piece))
                        case ToolCallDelta(call):
                            calls.append(call)
                        case StreamEnd():
                            return self._finish(route, build_reply("".join(text), calls, item, route.origin))
            raise route.origin.broken()
        except (ProviderError, asyncio.CancelledError) as error:
            await self._discard(route, error, "".join(text))
            raise

    async def _stream(self, route: Route, request: ModelRequest) -> AsyncGenerator[StreamItem, None]:
        """The provider's stream, which must begin before the turn's deadline."""
        async with aclosing(route.provider.stream(request)) as stream:
            try:
                async with asyncio.timeout(max(0.0, self._deadline - self._manager.clock())):
                    first = await anext(stream, None)
            except TimeoutError:
                raise route.origin.unreachable() from None
            if first is not None:
                yield first
            async for item in stream:
                yield item

    def _prompt_tokens(self, route: Route, notes: tuple[Message, ...] = ()) -> int:
        return self._manager.meter.estimate(route.model, self._raw_tokens + sum(map(count_message, notes)))

    def _sized(self, route: Route, notes: tuple[Message, ...]) -> ModelRequest:
        prompt = self._prompt_tokens(route, notes)
        room = route.size(prompt, self._request.max_tokens, self._manager.clock())
        messages = [*self._request.messages, *notes] if notes else self._request.messages
        return replace(self._request, model=route.model, messages=messages, max_tokens=room)

    def _finish(self, route: Route, reply: Reply) -> Reply:
        route.breaker.record(True, self._manager.clock())
        self._manager.meter.learn(route.model, self._raw_tokens, reply.usage.input)
        self._manager.ledger.add(reply.usage)
        return reply

    async def _discard(self, route: Route, error: BaseException, text: str) -> None:
        """Nothing of a broken attempt stays: what was shown is taken back, what it cost is not forgotten."""
        name = route.provider.name
        if isinstance(error, Unreachable | BrokenReply):
            route.breaker.record(False, self._manager.clock())
        elif isinstance(error, ProviderError):
            route.breaker.record(True, self._manager.clock())
        if text:
            self._options.emit(LiveEvent("reset"))
            usage = Usage(input=self._prompt_tokens(route), output=count_text(text))
            usd = price(name, route.model, usage) if route.provider.paid else 0.0
            usage = usage.model_copy(update={"usd": usd})
            self._manager.ledger.add(usage)
            await self._options.spent(name, route.model, usage)

    # ------------------------------------------------------------ when nobody answers

    def _first_back(self) -> Route | None:
        """The resting model that comes back first and can take this request."""
        fitting = (r for r in self._manager.router.resting() if r not in self._hopeless)
        return next((r for r in fitting if self._prompt_tokens(r) + MIN_OUTPUT <= r.limit()), None)

    async def _pause(self, route: Route) -> None:
        seconds = route.resting_until - self._manager.clock()
        self._options.emit(LiveEvent("status", texts.provider_paused(route.provider.name, seconds)))
        await self._manager.sleep(seconds)
        self._options.emit(LiveEvent("status", ""))

    def _verdict(self, waiting: Route | None) -> NanobotError:
        transient = any(isinstance(error, Unreachable | BrokenReply) for error in self._attempts)
        if waiting is not None and not transient:  # a provider that is only down now may be tried again by hand
            seconds = waiting.resting_until - self._manager.clock()
            message = texts.turn_postponed(waiting.provider.name, seconds)
            return TurnPostponed(message, waiting.resting_until)
        if not self._manager.router.all:
            return NoProvider(texts.NO_PROVIDER)
        too_large = [error for error in self._attempts if isinstance(error, TooLarge)]
        if too_large:
            return max(too_large, key=lambda error: error.limit or 0)
        if self._attempts and all(isinstance(error, OverBudget) for error in self._attempts):
            return self._attempts[0]
        reasons = [str(error) for error in self._attempts] or [s.reason for s in self._manager.routes() if s.reason]
        return AllFailed(texts.all_failed(reasons), self._attempts)


def _to_the_end(provider: str, queue: deque[Route]) -> None:
    others = [route for route in queue if route.provider.name != provider]
    same = [route for route in queue if route.provider.name == provider]
    queue.clear()
    queue.extend(others + same)
