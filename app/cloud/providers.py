"""All configured models behind one call. One provider per module; this is where they meet."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from math import inf
from typing import Literal, TypeVar

from loguru import logger

from app.cloud import background
from app.cloud.anthropic_provider import AnthropicProvider
from app.cloud.base import ModelProvider
from app.cloud.completion import REJECTED_SECONDS, Completion
from app.cloud.groq_provider import GroqProvider
from app.cloud.local_provider import LocalProvider
from app.cloud.retrying import RETRIES, Clock, Sleep, always, retry
from app.cloud.route import Refusal, Route
from app.cloud.routing import Router
from app.config import Settings
from app.core import texts
from app.core.contracts import CallOptions, LiveEvent, ModelRequest, RouteState
from app.core.errors import CredentialRejected, NoProvider, ProviderError
from app.core.messages import Reply, Usage
from app.core.usage import Ledger, TokenMeter

__all__ = ["AnthropicProvider", "GroqProvider", "LocalProvider", "ProviderManager"]

T = TypeVar("T")


def build_providers(settings: Settings, clock: Clock = time.time) -> list[ModelProvider]:
    """Those that are configured, in PROVIDER_ORDER."""
    configured: dict[str, ModelProvider] = {}
    if settings.groq_api_key:
        configured["groq"] = GroqProvider(settings, clock)
    if settings.anthropic_api_key:
        configured["anthropic"] = AnthropicProvider(settings, clock)
    if settings.local_llm_base_url:
        configured["local"] = LocalProvider(settings, clock)
    return [configured[name] for name in dict.fromkeys(settings.provider_order) if name in configured]


class ProviderManager:
    """The Brain. `on_notice` gets each thing that the owner must know (a rejected key, a model gone) once.

    `clock` gives UNIX seconds. `ledger` counts today's dollars by itself; restore() it from the logs at start.
    """

    def __init__(self, settings: Settings, *, clock: Clock = time.time, sleep: Sleep = asyncio.sleep) -> None:
        self.settings = settings
        self.clock = clock
        self.sleep = sleep
        self.providers = build_providers(settings, clock)
        self.router = Router(self.providers, clock)
        self.ledger = Ledger(settings.timezone, clock)
        self.meter = TokenMeter()
        self.on_notice: Callable[[str], None] = logger.warning
        self.activity = background.Activity()
        self._told: set[str] = set()

    def get_provider(self, role: Literal["primary", "fallback"] = "primary") -> ModelProvider:
        """Raises NoProvider."""
        position = 0 if role == "primary" else 1
        if len(self.providers) > position:
            return self.providers[position]
        raise NoProvider(texts.NO_FALLBACK if self.providers else texts.NO_PROVIDER)

    async def retry_logic(
        self,
        operation: Callable[[], Awaitable[T]],
        *,
        retries: int = RETRIES,
        until: float = inf,
        hopeful: Callable[[], bool] = always,
    ) -> T:
        """Runs `operation` again while its ProviderError may pass. `until`: UNIX time that no wait goes beyond."""
        return await retry(operation, retries=retries, until=until, clock=self.clock, sleep=self.sleep, hopeful=hopeful)

    async def complete(self, request: ModelRequest, call: CallOptions | None = None) -> Reply:
        """Raises TurnPostponed, TooLarge, AllFailed, NoProvider, OverBudget or Declined."""
        with self.activity.call():
            return await Completion(self, request, call or self._default_options()).run()

    def window_tokens(self) -> int:
        return self.router.window()

    def routes(self) -> Sequence[RouteState]:
        return self.router.states()

    async def check_models(self) -> None:
        """Asks every provider which models it has; sets aside those that are gone. Never raises."""
        await asyncio.gather(*map(self._check, self.providers))

    async def watch_models(self) -> None:
        """check_models() now and every hour, for ever. Never raises."""
        while True:
            await self.check_models()
            await self.sleep(background.WATCH_SECONDS)

    async def warm_up_when_idle(
        self, soon: float = background.SOON_SECONDS, idle: float = background.IDLE_SECONDS
    ) -> None:
        """Imports the SDKs in a thread before they are needed: the first provider's after `soon` seconds, the others'
        after `idle` seconds without a call or at the first failure. Never raises.
        """
        await asyncio.sleep(soon)
        for position, provider in enumerate(self.providers):
            if position:
                await self.activity.quiet(idle)
            await background.warm_up(provider)

    async def aclose(self) -> None:
        for provider in self.providers:
            await provider.aclose()

    def notice(self, key: str, text: str) -> None:
        """Tells the owner `text`, once per `key` in this process."""
        if key not in self._told:
            self._told.add(key)
            self.on_notice(text[0].upper() + text[1:])

    def leave_alone(self, provider: str, refusal: Refusal) -> None:
        self.router.refuse(provider, refusal)
        self.notice(f"{refusal.state}:{provider}", refusal.reason)

    def notice_gone(self, route: Route) -> None:
        name, model = route.provider.name, route.model
        self.notice(f"gone:{name}:{model}", texts.model_replaced(name, model, self.router.substitute(route)))

    async def _check(self, provider: ModelProvider) -> None:
        try:
            known = await provider.known_models()
        except CredentialRejected as error:
            self.leave_alone(provider.name, Refusal(self.clock() + REJECTED_SECONDS, "rejected", str(error)))
        except ProviderError as error:
            logger.info("cannot list the models of {}: {}", provider.name, error)
        except Exception as error:  # noqa: BLE001  boundary: whatever a stranger's list looks like, the rest goes on
            logger.error("cannot read the models of {}: {}", provider.name, type(error).__name__)
        else:
            for route in self.router.apply_listing(provider, known):
                self.notice_gone(route)

    def _default_options(self) -> CallOptions:
        deadline = asyncio.get_running_loop().time() + self.settings.turn_seconds
        return CallOptions(deadline, _ignore_event, _ignore_usage, _never_pay)


def _ignore_event(event: LiveEvent) -> None:
    pass


async def _ignore_usage(provider: str, model: str, usage: Usage) -> None:
    pass


async def _never_pay(provider: str) -> bool:
    return False
