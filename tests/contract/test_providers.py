"""What each provider makes of what its service answers: one test per row of the failure table and provider."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import pytest

from app.cloud.base import ModelProvider
from app.core.contracts import ModelRequest, StreamEnd, TextDelta, ToolCallDelta
from app.core.errors import (
    BadToolCall,
    BrokenReply,
    CredentialRejected,
    ModelGone,
    ProviderError,
    RateLimited,
    RequestRefused,
    TooLarge,
    Unreachable,
)
from app.core.messages import Message, Reply
from tests.contract.conftest import ANTHROPIC_KEY, GROQ_KEY, READ_FILE
from tests.fakes.llm import FakeLLM

Make = Callable[..., ModelProvider]
ALL = ("groq", "anthropic", "local")
HOLA: list[dict[str, object]] = [{"role": "user", "content": "hola"}]

pytestmark = pytest.mark.parametrize("name", ALL)


def error_body(name: str, message: str, kind: str = "invalid_request_error", code: str = "") -> dict[str, Any]:
    if name == "anthropic":
        return {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"}
    return {"error": {"message": message, "type": kind, "code": code or None}}


async def failure(provider: ModelProvider) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        await provider.call(HOLA)
    error = caught.value
    assert error.provider == provider.name
    for key in (GROQ_KEY, ANTHROPIC_KEY):
        assert key not in f"{error!r} {error}"
    return error


# ---------------------------------------------------------------- what goes well


async def test_call_takes_plain_dictionaries_and_answers_with_the_text(
    name: str, llm: FakeLLM, make_provider: Make
) -> None:
    llm.say({"text": "Hola, ¿qué tal? 👋", "thinking": "pienso"})
    provider = make_provider(name)
    reply = await provider.call(HOLA, provider.models[0], 300)
    assert isinstance(reply, Reply)
    assert reply.text == str(reply) == "Hola, ¿qué tal? 👋"
    assert (reply.provider, reply.model, reply.stop_reason) == (name, provider.models[0], "stop")
    assert (reply.usage.input, reply.usage.output) == (100, 20)
    sent = llm.calls()[0]
    assert sent["stream"] is True
    assert sent["max_completion_tokens" if name == "groq" else "max_tokens"] == 300
    assert not {"temperature", "top_p", "top_k"} & set(sent)


async def test_authentication_is_the_services_own(name: str, llm: FakeLLM, make_provider: Make) -> None:
    await make_provider(name).call(HOLA)
    sent = llm.requests[-1].headers
    expected = {"groq": f"Bearer {GROQ_KEY}", "anthropic": f"Bearer {ANTHROPIC_KEY}", "local": None}[name]
    assert sent.get("authorization") == expected
    assert ("anthropic-version" in sent) == (name == "anthropic")


async def test_streams_text_then_whole_tool_calls_then_the_end(name: str, llm: FakeLLM, make_provider: Make) -> None:
    calls = [{"name": "read_file", "arguments": {"path": p}} for p in ("a.txt", "b.txt")]
    llm.say({"text": "Voy a mirar los dos.", "calls": calls})
    provider = make_provider(name)
    request = ModelRequest([Message(role="user", content="mira")], tools=[READ_FILE])
    items = [item async for item in provider.stream(request)]
    assert "".join(i.text for i in items if isinstance(i, TextDelta)) == "Voy a mirar los dos."
    made = [i.call for i in items if isinstance(i, ToolCallDelta)]
    assert [(c.name, c.arguments) for c in made] == [
        ("read_file", '{"path": "a.txt"}'),
        ("read_file", '{"path": "b.txt"}'),
    ]
    assert len({c.id for c in made}) == 2
    assert isinstance(items[-1], StreamEnd) and items[-1].stop_reason == "tool_calls"


async def test_cached_tokens_are_part_of_the_input(name: str, llm: FakeLLM, make_provider: Make) -> None:
    usage = {"prompt_tokens": 1000, "prompt_tokens_details": {"cached_tokens": 600}, "completion_tokens": 50}
    if name == "anthropic":
        usage = {"input_tokens": 300, "cache_read_input_tokens": 600, "cache_creation_input_tokens": 100}
        usage |= {"output_tokens": 50}
    llm.say({"text": "sí", "usage": usage})
    got = (await make_provider(name).call(HOLA)).usage
    assert (got.input, got.cached, got.output) == (1000, 600, 50)
    # 300 new at 0.10, 600 read at 0.01, 100 written at 0.125 and 50 out at 0.50 dollars per million
    assert got.usd == pytest.approx(0.0000735 if name == "anthropic" else 0.0)


@pytest.mark.parametrize("finish", ["length", "refusal"])
async def test_an_unfinished_or_refused_reply_says_so_and_keeps_no_half_call(
    name: str, finish: str, llm: FakeLLM, make_provider: Make
) -> None:
    words = {"length": ("length", "max_tokens"), "refusal": ("content_filter", "refusal")}[finish]
    calls = [{"name": "read_file", "arguments": '{"path": "a.t'}]
    llm.say({"text": "A medi", "calls": calls, "finish": words[name == "anthropic"]})
    reply = await make_provider(name).call(HOLA)
    assert (reply.stop_reason, reply.tool_calls, reply.text) == (finish, (), "A medi")


async def test_a_connection_is_used_again(name: str, llm: FakeLLM, make_provider: Make) -> None:
    llm.say({"text": "una", "linger": 0.03})
    provider = make_provider(name)
    await provider.call(HOLA)
    await provider.call(HOLA)
    assert len(llm.peers) == 1


# ---------------------------------------------------------------- the failure table


@pytest.mark.parametrize("status", [500, 502, 503, 529, 498, 408])
async def test_a_service_in_trouble_is_unreachable(name: str, status: int, llm: FakeLLM, make_provider: Make) -> None:
    llm.say({"status": status, "body": error_body(name, "overloaded", "overloaded_error")})
    assert isinstance(await failure(make_provider(name)), Unreachable)


async def test_a_page_of_html_instead_of_json(name: str, llm: FakeLLM, make_provider: Make) -> None:
    llm.say({"status": 502, "body": "<html><h1>502 Bad Gateway</h1></html>"})
    assert isinstance(await failure(make_provider(name)), Unreachable)


async def test_connection_refused(name: str, make_provider: Make) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        bases = {"groq_base_url": url, "anthropic_base_url": url, "local_llm_base_url": f"{url}/v1"}
        assert isinstance(await failure(make_provider(name, **bases)), Unreachable)


async def test_connection_reset_before_an_answer(name: str, llm: FakeLLM, make_provider: Make) -> None:
    llm.say({"fault": "refuse"})
    assert isinstance(await failure(make_provider(name)), Unreachable)


@pytest.mark.parametrize("step", [{"delay": 3}, {"text": "x", "fault": "stall", "after": 0}])
async def test_no_first_token_in_time(name: str, step: dict[str, Any], llm: FakeLLM, make_provider: Make) -> None:
    llm.say(step)
    assert isinstance(await failure(make_provider(name, first_token_seconds=0.15)), Unreachable)


async def test_rate_limit_with_its_length(name: str, llm: FakeLLM, make_provider: Make) -> None:
    body = error_body(name, "Rate limit reached for model", "rate_limit_error", "rate_limit_exceeded")
    llm.say({"status": 429, "headers": {"retry-after": "1453"}, "body": body})
    error = await failure(make_provider(name))
    assert isinstance(error, RateLimited) and error.retry_after == 1453


async def test_rate_limit_whose_length_only_the_message_tells(name: str, llm: FakeLLM, make_provider: Make) -> None:
    llm.say({"status": 429, "body": error_body(name, "Limit 8000, Used 7900. Please try again in 1m4.5s. Visit x")})
    error = await failure(make_provider(name))
    assert isinstance(error, RateLimited) and error.retry_after == 64.5


@pytest.mark.parametrize(
    ("status", "message", "limit"),
    [
        (413, "Request too large for model `m` on tokens per minute (TPM): Limit 8000, Requested 9200, please", 8000),
        (400, "prompt is too long: 210000 tokens > 200000 maximum", 200_000),
        (400, "input length and `max_tokens` exceed context limit: 199000 + 4096 > 200000", 200_000),
        (400, "This model's maximum context length is 8192 tokens. However, you requested 9000", 8192),
        (400, "Please reduce the length of the messages or completion.", None),
        (413, "Request exceeds the maximum size", None),
    ],
)
async def test_too_large(
    name: str, status: int, message: str, limit: int | None, llm: FakeLLM, make_provider: Make
) -> None:
    llm.say({"status": status, "body": error_body(name, message, code="rate_limit_exceeded")})
    error = await failure(make_provider(name))
    assert isinstance(error, TooLarge) and error.limit == limit


@pytest.mark.parametrize("in_stream", [False, True])
async def test_bad_tool_call(name: str, in_stream: bool, llm: FakeLLM, make_provider: Make) -> None:
    error = {
        "message": "Failed to call a function. Please adjust your prompt.", "type": "invalid_request_error",
        "code": "tool_use_failed", "failed_generation": "<function=read_file{}</function>", "status_code": 400,
    }  # fmt: skip
    plain = {"status": 400, "body": {"error": error}}
    llm.say({"text": "Voy", "fault": "error", "error": {"error": error}} if in_stream else plain)
    caught = await failure(make_provider(name))
    assert isinstance(caught, BadToolCall)
    assert caught.failed_generation == "<function=read_file{}</function>"


@pytest.mark.parametrize(
    ("status", "message", "code"),
    [
        (404, "The model `m` does not exist or you do not have access to it.", "model_not_found"),
        (404, "model: claude-x", ""),
        (400, "The model `m` has been decommissioned and is no longer supported.", "model_decommissioned"),
        (403, "The model `m` is blocked at the project level", "model_permission_blocked_project"),
    ],
)
async def test_model_gone(name: str, status: int, message: str, code: str, llm: FakeLLM, make_provider: Make) -> None:
    body = {"error": {"message": message, "type": "not_found_error", "code": code}}
    llm.say({"status": status, "body": body})
    assert isinstance(await failure(make_provider(name)), ModelGone)


@pytest.mark.parametrize("status", [401, 403])
async def test_rejected_key_is_named_and_not_shown(name: str, status: int, llm: FakeLLM, make_provider: Make) -> None:
    provider = make_provider(name)
    message = f"Invalid API Key {GROQ_KEY} {ANTHROPIC_KEY}"
    llm.say({"status": status, "body": error_body(name, message, "authentication_error")})
    error = await failure(provider)
    assert isinstance(error, CredentialRejected)
    assert provider.variable in str(error)


async def test_any_other_refusal_says_why_without_the_key(name: str, llm: FakeLLM, make_provider: Make) -> None:
    key = GROQ_KEY if name == "groq" else ANTHROPIC_KEY
    llm.say(
        {
            "status": 400,
            "body": error_body(name, f"Your credit balance is too low for {key if name != 'local' else ''}"),
        }
    )
    error = await failure(make_provider(name))
    assert isinstance(error, RequestRefused)
    assert "credit balance is too low" in str(error)


@pytest.mark.parametrize("fault", ["cut", "truncate", "malformed"])
async def test_a_stream_that_breaks_is_no_reply(name: str, fault: str, llm: FakeLLM, make_provider: Make) -> None:
    llm.say({"text": "Esto no llega entero nunca", "fault": fault, "after": 5})
    assert isinstance(await failure(make_provider(name)), BrokenReply)


async def test_a_stall_in_the_middle(name: str, llm: FakeLLM, make_provider: Make) -> None:
    llm.say({"text": "Esto se queda parado", "fault": "stall", "after": 4})
    assert isinstance(await failure(make_provider(name, stall_seconds=0.15)), BrokenReply)


async def test_a_slow_stream_is_no_stall(name: str, llm: FakeLLM, make_provider: Make) -> None:
    llm.say({"text": "Despacio pero seguro", "gap": 0.08})
    slow = {"stall_seconds": 0.3, "first_token_seconds": 0.3}
    assert (await make_provider(name, **slow).call(HOLA)).text == "Despacio pero seguro"


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("overloaded_error", BrokenReply), ("api_error", BrokenReply), ("rate_limit_error", RateLimited)],
)
async def test_an_error_event_after_a_200(
    name: str, kind: str, expected: type[ProviderError], llm: FakeLLM, make_provider: Make
) -> None:
    llm.say({"text": "Empiezo bien", "fault": "error", "error": error_body(name, "Overloaded", kind), "after": 3})
    assert type(await failure(make_provider(name))) is expected


async def test_nothing_is_left_open_when_the_reader_goes_away(name: str, llm: FakeLLM, make_provider: Make) -> None:
    llm.say({"text": "uno dos tres cuatro", "fault": "stall", "after": 4}, {"text": "otra"})
    provider = make_provider(name)
    stream = provider.stream(ModelRequest([Message(role="user", content="hola")]))
    assert isinstance(await anext(stream), TextDelta)
    await stream.aclose()
    assert (await provider.call(HOLA)).text == "otra"


# ---------------------------------------------------------------- the list of models


async def test_lists_models_without_an_sdk(name: str, llm: FakeLLM, make_provider: Make) -> None:
    known = await make_provider(name).known_models()
    assert set(known) >= {entry["id"] for entry in llm.models[name]}
    sent = llm.requests[-1].headers
    assert {"groq": "authorization", "anthropic": "x-api-key"}.get(name, "host") in sent


async def test_a_rejected_key_shows_in_the_list_too(name: str, llm: FakeLLM, make_provider: Make) -> None:
    llm.models[name] = 401
    with pytest.raises(CredentialRejected):
        await make_provider(name).known_models()
