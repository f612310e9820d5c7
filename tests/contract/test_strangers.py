"""Servers, keys and addresses that are not what they should be: a provider's trouble stays that provider's."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from loguru import logger
from pydantic import SecretStr

from app.cloud.base import ModelProvider
from app.cloud.failures import Origin
from app.cloud.openai_dialect import ChatReader
from app.cloud.providers import ProviderManager
from app.cloud.streaming import EventDecoder, Patience, read_reply
from app.config import Settings
from app.core.contracts import ModelRequest
from app.core.errors import (
    AllFailed,
    BadToolCall,
    BrokenReply,
    ModelGone,
    ProviderError,
    RequestRefused,
    Unreachable,
)
from app.core.messages import Message
from tests.contract.conftest import GROQ_KEY, PROVIDERS, Turn
from tests.contract.test_failure_table import ASK, BIG, NO_CLAUDE, SMALL
from tests.contract.test_providers import ALL, HOLA, error_body
from tests.fakes.clock import FakeClock
from tests.fakes.llm import FakeLLM

Make = Callable[..., ModelProvider]
MakeManager = Callable[..., ProviderManager]
every_provider = pytest.mark.parametrize("name", ALL)


async def failure(provider: ModelProvider) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        await provider.call(HOLA)
    return caught.value


# ---------------------------------------------------------------- a whole answer on a broken line


@every_provider
@pytest.mark.parametrize("fault", ["cut", "stall", "malformed", "truncate"])
@pytest.mark.parametrize("missing", [0, 1])
async def test_an_answer_whose_end_is_known_is_kept(
    name: str, fault: str, missing: int, llm: FakeLLM, make_provider: Make
) -> None:
    """Broken after the last word, or between the stop reason and it (an OpenAI-style usage may be lost then)."""
    pieces = 8 if name == "anthropic" else 5
    llm.say({"text": "hola entera", "fault": fault, "after": pieces - missing}, {"text": "segunda"})
    reply = await make_provider(name, stall_seconds=0.2).call(HOLA)
    assert (reply.text, len(llm.calls())) == ("hola entera", 1)
    assert reply.usage.output == 20


@every_provider
async def test_an_answer_whose_end_is_not_known_is_not(name: str, llm: FakeLLM, make_provider: Make) -> None:
    llm.say({"text": "hola entera", "fault": "cut", "after": (8 if name == "anthropic" else 5) - 2})
    assert isinstance(await failure(make_provider(name)), BrokenReply)


# ---------------------------------------------------------------- too much, and for too long


@every_provider
@pytest.mark.parametrize("flood", [b"x", b"data: ", b"data: y\n", b": y\n", b": y\n\n"])
async def test_a_body_without_end_is_given_up_early(name: str, flood: bytes, llm: FakeLLM, make_provider: Make) -> None:
    llm.say({"flood": flood})
    assert isinstance(await failure(make_provider(name)), BrokenReply)
    assert llm.flooded < 30_000_000


@every_provider
async def test_an_answer_far_longer_than_asked_for_is_given_up(name: str, llm: FakeLLM, make_provider: Make) -> None:
    llm.say({"text": "y" * 400_000}, {"text": "y" * 30_000})
    provider = make_provider(name)
    with pytest.raises(BrokenReply):
        await provider.call(HOLA, max_tokens=300)
    assert len((await provider.call(HOLA, max_tokens=300)).text) == 30_000


@pytest.mark.parametrize(("pieces", "whole"), [(7, True), (8, False)])
async def test_what_a_model_says_is_bounded_however_it_is_wrapped(pieces: int, whole: bool) -> None:
    origin = Origin("groq", BIG)

    async def body() -> AsyncIterator[bytes]:
        for delta in [{"content": "y" * 10_000}, {"reasoning": "y" * 10_000}] * pieces:
            yield b"data: " + json.dumps({"choices": [{"delta": delta}]}).encode() + b"\n\n"
        yield b'data: {"choices": [{"delta": {}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n'

    reader = ChatReader(ModelRequest([]), origin)
    items = read_reply(body(), reader, Patience(5, 5, max_tokens=5_000, origin=origin))
    assert await anext(items)
    if whole:
        assert len([item async for item in items]) == pieces
    else:
        with pytest.raises(BrokenReply):
            [item async for item in items]


@pytest.mark.parametrize("flood", [b"x" * 10_000, b"data: y\n" * 1_000, b": y\n" * 1_000])
def test_an_event_ends_before_a_megabyte(flood: bytes) -> None:
    decoder, fed = EventDecoder(), 0
    began = time.perf_counter()
    with pytest.raises(ValueError, match="without end"):
        while fed < 3_000_000:
            assert not list(decoder.feed(flood))
            fed += len(flood)
    assert fed < 1_100_000 and time.perf_counter() - began < 1


def test_a_long_line_in_small_pieces_is_read_in_linear_time() -> None:
    decoder = EventDecoder()
    began = time.perf_counter()
    events = [event for piece in [b"data: ", *[b"y" * 10] * 90_000, b"\n\n"] for event in decoder.feed(piece)]
    assert [len(data) for _, data in events] == [900_000] and time.perf_counter() - began < 1


@every_provider
async def test_an_error_without_end_is_read_to_64_kb(name: str, llm: FakeLLM, make_provider: Make) -> None:
    llm.say({"status": 500, "flood": b"<p>error</p>"})
    longest, ended = 0.0, asyncio.Event()

    async def watch_the_loop() -> None:
        nonlocal longest
        while not ended.is_set():
            before = time.perf_counter()
            await asyncio.sleep(0.005)
            longest = max(longest, time.perf_counter() - before)

    provider = make_provider(name)
    await provider.warm_up()
    watch = asyncio.create_task(watch_the_loop())
    assert isinstance(await failure(provider), Unreachable)
    ended.set()
    await watch
    assert llm.flooded < 30_000_000 and longest < 0.5


@every_provider
async def test_keep_alives_do_not_hold_an_answer_for_ever(name: str, llm: FakeLLM, make_provider: Make) -> None:
    llm.say({"text": "Esto se queda parado", "fault": "keepalive", "after": 4})
    began = time.monotonic()
    assert isinstance(await failure(make_provider(name, stall_seconds=0.1)), BrokenReply)
    assert time.monotonic() - began < 5


async def test_an_answer_that_never_ends_is_cut_after_the_turns_deadline(
    llm: FakeLLM, make_manager: MakeManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.cloud.attempt.GRACE_SECONDS", 0.2)
    llm.say(*[{"text": "palabra " * 1000, "gap": 0.02}] * 3)
    turn = Turn(seconds=0.3)
    with pytest.raises(AllFailed):
        await make_manager(**NO_CLAUDE, groq_fallback_models=[]).complete(ASK, turn.options)
    assert turn.kinds()[:2] == ["delta", "reset"] and turn.shown == ""


async def test_an_error_in_two_pieces_is_read_whole(llm: FakeLLM, make_provider: Make) -> None:
    error = {"message": "Failed to call a function", "code": "tool_use_failed", "failed_generation": "{}"}
    llm.say({"status": 400, "body": {"error": error}, "halves": 0.05})
    assert isinstance(await failure(make_provider("local")), BadToolCall)


# ---------------------------------------------------------------- keys and addresses


def strange(settings: Settings, **values: object) -> Settings:
    """Past the settings' own checks: whatever gets through them must not stop the fallback."""
    return settings.model_copy(update=values)


@pytest.mark.parametrize("key", ["gsk_ñandú", "gsk_abc\n", "gsk_abc\u200b", "gsk_\x00"])
async def test_a_key_that_cannot_be_sent_is_a_rejected_key(
    key: str, llm: FakeLLM, make_settings: Callable[..., Settings], turn: Turn
) -> None:
    manager = ProviderManager(strange(make_settings(local_llm_base_url=None), groq_api_key=SecretStr(key)))
    told: list[str] = []
    manager.on_notice = told.append
    await manager.check_models()
    assert (await manager.complete(ASK, turn.options)).provider == "anthropic"
    assert told == ["La clave de GROQ_API_KEY lleva caracteres que Groq no usa: vuelve a copiarla"]
    assert manager.routes()[0].state == "rejected" and manager.routes()[0].reason in told[0].replace("La", "la")
    await manager.aclose()


@every_provider
@pytest.mark.parametrize("url", ["http://localhost:abc", "http://[::1", "http://" + "a" * 300])
async def test_an_address_that_is_none_is_that_providers_failure(
    name: str, url: str, make_settings: Callable[..., Settings]
) -> None:
    settings = strange(make_settings(), groq_base_url=url, anthropic_base_url=url, local_llm_base_url=url)
    provider = PROVIDERS[name](settings)
    assert isinstance(await failure(provider), RequestRefused | Unreachable)
    manager = ProviderManager(settings)
    await manager.check_models()
    await manager.warm_up_when_idle(soon=0, idle=0)
    for closing in (provider, manager):
        await closing.aclose()


async def test_half_an_emoji_does_not_stop_the_conversation(llm: FakeLLM, make_manager: MakeManager) -> None:
    for values in ({}, {"groq_api_key": None}):
        request = ModelRequest([Message(role="user", content="a\ud83d b ñ")], system="En /home/\udcff")
        assert (await make_manager(**values).complete(request, Turn().options)).text == "ok"
    assert [m["content"] for m in llm.calls("groq")[0]["messages"]] == ["En /home/?", "a? b ñ"]


@pytest.mark.parametrize("listing", [{"data": 5}, [1, "x", {"id": 7}], [{"id": BIG, "context_window": 1e999}]])
async def test_check_models_survives_any_list(listing: Any, llm: FakeLLM, make_manager: MakeManager) -> None:
    llm.models["groq"] = listing
    manager = make_manager()
    await manager.check_models()
    assert manager.window_tokens() > 0


async def test_what_check_models_cannot_foresee_is_logged(
    make_manager: MakeManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager = make_manager()

    async def burst() -> dict[str, int]:
        raise OverflowError

    monkeypatch.setattr(manager.providers[0], "known_models", burst)
    await manager.check_models()


@every_provider
@pytest.mark.parametrize("status", [401, 403])
async def test_the_body_of_a_rejection_is_never_logged(
    name: str, status: int, llm: FakeLLM, make_provider: Make
) -> None:
    lines: list[str] = []
    sink = logger.add(lines.append, level=0)
    llm.say({"status": status, "body": error_body(name, f"Invalid key gsk_tes*** {GROQ_KEY[:-4]}")})
    await failure(make_provider(name))
    logger.remove(sink)
    assert not [line for line in lines if "gsk_tes" in line or "Invalid key" in line]


# ---------------------------------------------------------------- models that are gone, and come back


@every_provider
@pytest.mark.parametrize("body", ["<html>this model of page is not found</html>", "model"])
async def test_a_page_that_is_not_json_says_nothing_about_a_model(
    name: str, body: str, llm: FakeLLM, make_provider: Make
) -> None:
    llm.say({"status": 404, "body": body})
    error = await failure(make_provider(name))
    assert isinstance(error, RequestRefused) and not isinstance(error, ModelGone)


async def test_models_are_asked_for_every_hour_and_one_that_is_back_is_used_again(
    llm: FakeLLM, make_manager: MakeManager, clock: FakeClock, turn: Turn
) -> None:
    manager = make_manager(**NO_CLAUDE)
    hours: list[float] = []

    async def an_hour(seconds: float) -> None:
        hours.append(seconds)
        llm.models["groq"] = [{"id": SMALL}] if len(hours) == 1 else [{"id": SMALL}, {"id": BIG}]
        if len(hours) == 2:
            assert (await manager.complete(ASK, turn.options)).model == SMALL
        if len(hours) == 3:
            raise asyncio.CancelledError

    manager.sleep = an_hour
    with pytest.raises(asyncio.CancelledError):
        await manager.watch_models()
    assert hours == [3600] * 3
    assert (await manager.complete(ASK, turn.options)).model == BIG


async def test_a_local_model_that_is_gone_is_asked_again_after_a_minute(
    llm: FakeLLM, make_manager: MakeManager, clock: FakeClock, turn: Turn
) -> None:
    only_local = {"groq_api_key": None, "anthropic_api_key": None, "local_llm_base_url": llm.local_url}
    manager = make_manager(**only_local, local_llm_model="qwen")
    llm.say({"status": 404, "body": {"error": {"message": "model 'qwen' not found"}}})
    for _ in range(2):
        with pytest.raises(AllFailed, match="ya no ofrece el modelo qwen"):
            await manager.complete(ASK, turn.options)
    assert len(llm.calls()) == 1
    clock.now += 61
    assert (await manager.complete(ASK, turn.options)).text == "ok"


async def test_the_servers_first_model_is_looked_for_again_when_it_is_gone(llm: FakeLLM, make_provider: Make) -> None:
    provider = make_provider("local")
    await provider.call(HOLA)
    llm.models["local"] = [{"id": "otro"}]
    llm.say({"status": 404, "body": {"error": {"message": "model not found"}}})
    assert isinstance(await failure(provider), ModelGone)
    await provider.call(HOLA)
    assert llm.asked() == ["qwen3:8b", "qwen3:8b", "otro"]
