"""One model asked once: a whole reply, or nothing of it stays but what it cost."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Generator
from contextlib import aclosing, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from app.cloud.route import FAIR_OUTPUT, Route
from app.cloud.streaming import Progress, build_reply
from app.core import texts
from app.core.contracts import CallOptions, LiveEvent, ModelRequest, StreamEnd, TextDelta, ToolCallDelta
from app.core.errors import BrokenReply, OverBudget, ProviderError, RateLimited, Unreachable
from app.core.messages import Message, Reply, ToolCall, Usage
from app.core.usage import count_message, count_request, load_prices, price

if TYPE_CHECKING:
    from app.cloud.providers import ProviderManager

GRACE_SECONDS = 300.0  # beyond the turn's deadline, for an answer that has begun


class Attempts:
    """The attempts of one completion. `limited`: how often each model has answered 429. `deadline` in clock seconds."""

    def __init__(self, manager: ProviderManager, request: ModelRequest, options: CallOptions) -> None:
        self._manager = manager
        self._request = request
        self._options = options
        self._raw_tokens = count_request(request)
        self.limited: Counter[Route] = Counter()
        self.deadline = manager.clock() + options.deadline - asyncio.get_running_loop().time()

    def prompt_tokens(self, route: Route, notes: tuple[Message, ...] = ()) -> int:
        return self._manager.meter.estimate(route.model, self._raw_tokens + sum(map(count_message, notes)))

    def check_budget(self, route: Route) -> None:
        budget = self._manager.settings.daily_budget_usd
        if route.provider.paid and self._manager.ledger.committed() >= budget:
            raise OverBudget(texts.over_budget(budget), **route.origin.blame)
        own = self._options.user_budget_usd
        if route.provider.paid and own is not None and self._manager.ledger.committed(self._options.user) >= own:
            raise OverBudget(texts.over_own_budget(own), **route.origin.blame)

    async def ask(self, route: Route, notes: tuple[Message, ...] = ()) -> Reply:
        """`notes` are added to the request. Raises a ProviderError, after taking back what was shown."""
        if route.provider.paid:
            await load_prices()
        request = self._sized(route, notes)
        sent = self._manager.clock()
        route.breaker.probe(sent)
        progress = Progress()
        with self._paid_for(route, request):
            try:
                reply = await self._listen(route, request, progress)
                if reply.stop_reason == "refusal":
                    raise route.origin.declined()
            except (ProviderError, asyncio.CancelledError) as error:
                self._judge(route, error, sent)
                await self._take_back(route, progress)
                raise
            return self._accept(route, reply)

    def _sized(self, route: Route, notes: tuple[Message, ...]) -> ModelRequest:
        prompt = self.prompt_tokens(route, notes)
        room = route.size(prompt, self._request.max_tokens, self._manager.clock())
        messages = [*self._request.messages, *notes] if notes else self._request.messages
        return replace(self._request, model=route.model, messages=messages, max_tokens=room)

    @contextmanager
    def _paid_for(self, route: Route, request: ModelRequest) -> Generator[None]:
        """Holds back what the call will probably cost, so that calls at the same time keep to the budget together."""
        self.check_budget(route)
        usage = Usage(input=self.prompt_tokens(route), output=min(request.max_tokens, FAIR_OUTPUT))
        with self._manager.ledger.reserved(self._price(route, usage), self._options.user):
            yield

    async def _listen(self, route: Route, request: ModelRequest, progress: Progress) -> Reply:
        """The provider's stream, which must begin before the turn's deadline and may not go on for ever."""
        text: list[str] = []
        calls: list[ToolCall] = []
        left = max(0.0, self.deadline - self._manager.clock())
        end_by = asyncio.get_running_loop().time() + left + GRACE_SECONDS
        try:
            async with asyncio.timeout(left) as limit, aclosing(route.provider.stream(request, progress)) as items:
                async for item in items:
                    if limit.when() != end_by:
                        limit.reschedule(end_by)
                    match item:
                        case TextDelta(piece):
                            text.append(piece)
                            progress.shown = True
                            self._options.emit(LiveEvent("delta", piece))
                        case ToolCallDelta(call):
                            calls.append(call)
                        case StreamEnd():
                            return build_reply("".join(text), calls, item, route.origin)
        except TimeoutError:
            raise (route.origin.broken() if progress.started else route.origin.unreachable()) from None
        raise route.origin.broken()

    def _accept(self, route: Route, reply: Reply) -> Reply:
        route.breaker.record(True, self._manager.clock())
        route.succeeded()
        self._manager.meter.learn(route.model, self._raw_tokens, reply.usage.input)
        self._manager.ledger.add(reply.usage, self._options.user)
        return reply

    def _judge(self, route: Route, error: BaseException, sent: float) -> None:
        now = self._manager.clock()
        if isinstance(error, RateLimited):
            self.limited[route] += 1
            route.strike(sent, now)
        if isinstance(error, ProviderError):
            route.breaker.record(not isinstance(error, Unreachable | BrokenReply), now)

    async def _take_back(self, route: Route, progress: Progress) -> None:
        if progress.shown:
            self._options.emit(LiveEvent("reset"))
        if not progress.started:
            return
        usage = progress.usage
        if not usage.input:  # it broke before saying so
            usage = usage.model_copy(update={"input": self.prompt_tokens(route)})
            usage = usage.model_copy(update={"usd": self._price(route, usage)})
        self._manager.ledger.add(usage, self._options.user)
        await self._options.spent(route.provider.name, route.model, usage)

    def _price(self, route: Route, usage: Usage) -> float:
        return price(route.provider.name, route.model, usage) if route.provider.paid else 0.0
