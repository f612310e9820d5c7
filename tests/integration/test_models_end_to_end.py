"""The loop with the real ProviderManager and the real SDKs: what a person gets when models fail."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from app.assembly import House
from app.cloud.providers import ProviderManager
from app.config import Settings
from app.core import recovery
from app.core.context import AgentContext
from app.core.events import AnyLine, AssistantLine, SummaryLine, UsageLine, UserLine
from tests.fakes.brain import ScriptedBrain
from tests.fakes.clock import FakeClock
from tests.fakes.llm import FakeLLM
from tests.support import lines_of, make_settings, running_house, until

SESSION = "web_models"
BIG, SMALL, CLAUDE = "openai/gpt-oss-120b", "openai/gpt-oss-20b", "claude-haiku-5-5"
TOO_LARGE = {"status": 413, "body": {"error": {"message": "Request too large for model: Limit 8000, Requested 9200"}}}


@pytest.fixture
async def llm() -> AsyncIterator[FakeLLM]:
    fake = await FakeLLM().start()
    yield fake
    await fake.stop()


def settings_for(folder: Path, llm: FakeLLM, **values: object) -> Settings:
    keys: dict[str, object] = {
        "groq_api_key": "gsk_test_1234567890", "groq_base_url": llm.url,
        "anthropic_api_key": "sk-ant-test-1234567890", "anthropic_base_url": llm.url,
    }  # fmt: skip
    return make_settings(folder, **(keys | values))


@asynccontextmanager
async def real_house(
    settings: Settings, clock: FakeClock | None = None
) -> AsyncGenerator[tuple[House, ProviderManager]]:
    clock = clock or FakeClock(time.time())
    manager = ProviderManager(settings, clock=clock, sleep=clock.sleep)
    async with running_house(settings, cast("ScriptedBrain", manager)) as house:
        yield house, manager


async def ask(house: House, ctx: AgentContext, words: str) -> str:
    ctx.add_message("user", words)
    return await house.loop.process_message(ctx)


async def talk(house: House, llm: FakeLLM, ctx: AgentContext) -> None:
    """About 10,000 tokens, which the service counts as we do."""
    for n in range(1, 5):
        count = 2_000 + n * 2_100
        llm.say({"text": "ok", "usage": {"prompt_tokens": count, "input_tokens": count}})
        await ask(house, ctx, f"mensaje {n} " + "palabra " * 900)


async def lines(house: House) -> list[AnyLine]:
    return await lines_of(house.store, SESSION)


async def spent(house: House) -> float:
    return await recovery.spent_today(house.store, "UTC", time.time())


async def test_too_large_becomes_a_summary_and_an_answer(tmp_path: Path, llm: FakeLLM) -> None:
    """The conversation fits the model's window but not what the account may send in a minute."""
    settings = settings_for(tmp_path, llm, anthropic_api_key=None)
    async with real_house(settings) as (house, _):
        ctx = await house.store.load_session(SESSION)
        await talk(house, llm, ctx)
        llm.requests.clear()
        llm.say(*[TOO_LARGE] * 2, {"text": "Hablamos de palabras"}, {"text": "Aquí sigo"})
        assert await ask(house, ctx, "¿sigues?") == "Aquí sigo"
        assert llm.asked() == [BIG, SMALL, BIG, BIG]
        last = llm.calls()[-1]
        assert "Hablamos de palabras" in json.dumps(last["messages"])
        assert len(json.dumps(last)) < len(json.dumps(llm.calls()[0])) and last["max_completion_tokens"] < 8000
        [summary] = [line for line in await lines(house) if isinstance(line, SummaryLine)]
        assert (summary.provider, summary.usage.input, summary.usage.output) == ("groq", 100, 20)


async def test_too_large_while_the_other_provider_rests_does_not_wait_for_it(tmp_path: Path, llm: FakeLLM) -> None:
    clock = FakeClock(time.time())
    async with real_house(settings_for(tmp_path, llm), clock) as (house, _):
        ctx = await house.store.load_session(SESSION)
        await talk(house, llm, ctx)
        rests = {"api": "anthropic", "status": 429, "headers": {"retry-after": "1453"}, "body": {}}
        llm.say(*[TOO_LARGE | {"api": "groq"}] * 2, rests, {"text": "Resumen"}, {"text": "Aquí sigo"})
        assert await ask(house, ctx, "¿sigues?") == "Aquí sigo"
        assert clock.slept == []


async def test_all_that_was_paid_for_is_in_the_log(tmp_path: Path, llm: FakeLLM) -> None:
    """A cut reply, a reply whose end was missing and asked for, a summary, an answer."""
    async with real_house(settings_for(tmp_path, llm, groq_api_key=None)) as (house, manager):
        ctx = await house.store.load_session(SESSION)
        await talk(house, llm, ctx)
        usage = {"usage": {"input_tokens": 11_000}}
        llm.say(usage | {"text": "se corta aquí", "fault": "cut", "after": 5})
        llm.say(usage | {"text": "a medi", "finish": "max_tokens"}, usage | {"text": "o camino"})
        assert await ask(house, ctx, "hola") == "a medio camino"
        wasted = [line for line in await lines(house) if isinstance(line, UsageLine)]
        assert len(wasted) == 2 and all(line.usage.usd > 0 and line.model == CLAUDE for line in wasted)
        llm.say({"status": 400, "body": {"error": {"message": "prompt is too long: 9000 tokens > 8000 maximum"}}})
        await ask(house, ctx, "¿y ahora?")
        [summary] = [line for line in await lines(house) if isinstance(line, SummaryLine)]
        assert summary.usage.usd > 0
        assert await spent(house) == pytest.approx(manager.ledger.today())


async def test_a_postponed_turn_is_taken_up_by_itself(tmp_path: Path, llm: FakeLLM) -> None:
    clock = FakeClock(time.time() - 699.5)  # the limit returns in half a real second
    settings = settings_for(tmp_path, llm, anthropic_api_key=None, groq_fallback_models=[])
    limited: dict[str, Any] = {"status": 429, "headers": {"retry-after": "700"}, "body": {"error": {"message": "no"}}}
    async with real_house(settings, clock) as (house, _):
        llm.say(limited, {"text": "ya estoy"})
        await house.inbox.message(SESSION, "hola", "1")
        await until(lambda: len(llm.calls()) == 1)
        assert not [line for line in await lines(house) if isinstance(line, AssistantLine)]
        clock.now += 700
        await until(lambda: len(llm.calls()) == 2)
        await house.runner.lanes.idle()
        [answer] = [line for line in await lines(house) if isinstance(line, AssistantLine)]
        assert answer.content == "ya estoy" and answer.final and not answer.failed


async def test_what_a_model_refused_does_not_enter_the_conversation(tmp_path: Path, llm: FakeLLM) -> None:
    async with real_house(settings_for(tmp_path, llm, groq_api_key=None)) as (house, _):
        ctx = await house.store.load_session(SESSION)
        llm.say({"text": "Primero mezclas", "finish": "refusal"})
        answer = await ask(house, ctx, "¿cómo se hace?")
        assert "prefiere no contestar" in answer and "/reintentar" in answer
        assert "Primero mezclas" not in "".join(line.model_dump_json() for line in await lines(house))
        await ask(house, ctx, "otra cosa")
        assert "Primero mezclas" not in json.dumps(llm.calls()[-1])


async def test_a_conversation_with_tools_moves_to_claude_and_back(tmp_path: Path, llm: FakeLLM) -> None:
    down: dict[str, Any] = {"api": "groq", "status": 503, "body": {}}
    look = {"calls": [{"name": "list_dir", "arguments": {"path": "."}}]}
    clock = FakeClock(time.time())
    async with real_house(settings_for(tmp_path, llm), clock) as (house, _):
        ctx = await house.store.load_session(SESSION)
        llm.say(look | {"api": "groq"}, *[down] * 3, look | {"api": "anthropic", "thinking": "Mmm"})
        llm.say({"api": "anthropic", "text": "Está vacío"})
        assert await ask(house, ctx, "¿qué hay?") == "Está vacío"
        clock.now += 60
        llm.say({"api": "groq", "text": "Sigue vacío"})
        assert await ask(house, ctx, "¿y ahora?") == "Sigue vacío"
        assert llm.asked()[0] == llm.asked()[-1] == BIG and CLAUDE in llm.asked()
        back = llm.calls("groq")[-1]["messages"]
        assert [m["role"] for m in back] == ["system", "user", *["assistant", "tool"] * 2, "assistant", "user"]
        users = [line for line in await lines(house) if isinstance(line, UserLine)]
        assert len(users) == 2
