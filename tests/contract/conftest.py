"""One fake of the model services per test, and providers and managers that talk to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from app.cloud.base import ModelProvider
from app.cloud.providers import AnthropicProvider, GroqProvider, LocalProvider, ProviderManager
from app.config import Settings
from app.core.contracts import CallOptions, LiveEvent, ToolSchema
from app.core.messages import Usage
from tests.fakes.clock import FakeClock
from tests.fakes.llm import FakeLLM

GROQ_KEY, ANTHROPIC_KEY = "gsk_test_1234567890abcdef", "sk-ant-test-1234567890abcdef"

READ_FILE = ToolSchema(
    "read_file",
    "Lee un archivo",
    {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]},
)


@pytest.fixture
async def llm() -> AsyncIterator[FakeLLM]:
    fake = await FakeLLM().start()
    yield fake
    await fake.stop()


@pytest.fixture
def make_settings(llm: FakeLLM, tmp_path: Path) -> Callable[..., Settings]:
    def make(**changes: Any) -> Settings:
        values: dict[str, Any] = {
            "data_dir": tmp_path, "groq_api_key": GROQ_KEY, "groq_base_url": llm.url,
            "anthropic_api_key": ANTHROPIC_KEY, "anthropic_base_url": llm.url,
            "local_llm_base_url": llm.local_url, "first_token_seconds": 5, "stall_seconds": 5,
        }  # fmt: skip
        return Settings(_env_file=None, **(values | changes))  # pyright: ignore[reportCallIssue]

    return make


PROVIDERS: dict[str, type[GroqProvider] | type[AnthropicProvider] | type[LocalProvider]] = {
    "groq": GroqProvider, "anthropic": AnthropicProvider, "local": LocalProvider,
}  # fmt: skip


@pytest.fixture
async def make_provider(make_settings: Callable[..., Settings]) -> AsyncIterator[Callable[..., ModelProvider]]:
    made: list[ModelProvider] = []

    def make(name: str, **changes: Any) -> ModelProvider:
        made.append(PROVIDERS[name](make_settings(**changes)))
        return made[-1]

    yield make
    for provider in made:
        await provider.aclose()


class Turn:
    """Records what a call of the brain does to its turn."""

    def __init__(self, seconds: float = 60, pays: bool = True) -> None:
        self.events: list[LiveEvent] = []
        self.usages: list[tuple[str, str, Usage]] = []
        self.asked: list[str] = []
        self._seconds = seconds
        self._pays = pays
        self.while_asking: Callable[[], Awaitable[None]] = lambda: asyncio.sleep(0)

    @property
    def options(self) -> CallOptions:
        deadline = asyncio.get_running_loop().time() + self._seconds
        return CallOptions(deadline, self.events.append, self._spent, self._may_pay)

    async def _spent(self, provider: str, model: str, usage: Usage) -> None:
        self.usages.append((provider, model, usage))

    async def _may_pay(self, provider: str) -> bool:
        self.asked.append(provider)
        await self.while_asking()
        return self._pays

    @property
    def shown(self) -> str:
        """The streamed text as a reader sees it at the end."""
        text = ""
        for event in self.events:
            text = "" if event.kind == "reset" else text + event.text if event.kind == "delta" else text
        return text

    def kinds(self) -> list[str]:
        """The kinds of event, repetitions left out."""
        kinds = [event.kind for event in self.events]
        return [kind for i, kind in enumerate(kinds) if i == 0 or kinds[i - 1] != kind]


@pytest.fixture
def turn() -> Turn:
    return Turn()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def make_manager(
    make_settings: Callable[..., Settings], clock: FakeClock
) -> AsyncIterator[Callable[..., ProviderManager]]:
    made: list[ProviderManager] = []

    def make(**changes: Any) -> ProviderManager:
        settings = make_settings(**({"local_llm_base_url": None} | changes))
        made.append(ProviderManager(settings, clock=clock, sleep=clock.sleep))
        return made[-1]

    yield make
    for manager in made:
        await manager.aclose()
