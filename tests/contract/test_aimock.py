"""The real SDKs against an emulator that somebody else wrote."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from app.cloud.providers import ProviderManager
from app.core.contracts import ModelRequest
from app.core.errors import BrokenReply, ProviderError, RateLimited, RequestRefused, Unreachable
from app.core.messages import Message
from tests.contract.conftest import PROVIDERS, READ_FILE, Turn
from tests.fakes.aimock import Aimock, running_aimock

pytestmark = pytest.mark.needs("node", "aimock")

ERROR = {"message": "no", "type": "invalid_request_error"}
GROQ, CLAUDE = "openai/gpt-oss-120b", "claude-haiku-5-5"
# Groq's trouble → (status, code, requests to Groq until Claude is asked, the state that Groq's model is in then)
TROUBLE: dict[str, tuple[int, str, int, str]] = {
    "clave": (401, "invalid_api_key", 1, "rejected"),
    "retirado": (404, "model_not_found", 1, "gone"),
    "grande": (413, "rate_limit_exceeded", 1, "ready"),
    "lleno": (529, "overloaded", 3, "resting"),
    "herramienta": (400, "tool_use_failed", 2, "ready"),
}


def trouble(words: str, status: int, code: str) -> dict[str, Any]:
    error = {"message": "no", "type": "invalid_request_error", "code": code}
    return {"match": {"userMessage": words, "model": GROQ}, "response": {"error": error, "status": status}}


FIXTURES: list[dict[str, Any]] = [
    *(trouble(words, status, code) for words, (status, code, _, _) in TROUBLE.items()),
    *({"match": {"userMessage": words, "model": CLAUDE}, "response": {"content": "Soy Claude"}} for words in TROUBLE),
    {"match": {"userMessage": "saluda"}, "response": {"content": "¡Hola! Soy una respuesta que llega a trozos. 👋"}},
    {
        "match": {"userMessage": "lee dos", "hasToolResult": False},
        "response": {
            "content": "Los miro.",
            "toolCalls": [{"name": "read_file", "arguments": f'{{"path": "{p}.txt"}}'} for p in "ab"],
        },
    },
    {"match": {"userMessage": "lee dos", "hasToolResult": True}, "response": {"content": "Leídos los dos."}},
    {
        "match": {"userMessage": "piensa"},
        "response": {"content": "Ya.", "reasoning": "Mmm…", "reasoningSignature": "c2lnbmF0dXJl"},
    },
    {
        "match": {"userMessage": "corta"},
        "response": {"content": "Esto no llega nunca entero."},
        "truncateAfterChunks": 3,
        "latency": 20,
    },
    {"match": {"userMessage": "muchas"}, "response": {"error": ERROR, "status": 429, "retryAfter": 1453}},
    {"match": {"userMessage": "caído"}, "response": {"error": ERROR, "status": 500}},
    {"match": {"userMessage": "mal"}, "response": {"error": ERROR, "status": 400}},
    {"match": {"userMessage": "cuelga"}, "response": {"content": "x"}, "chaos": {"disconnectRate": 1}},
    {"match": {"userMessage": "basura"}, "response": {"content": "x"}, "chaos": {"malformedRate": 1}},
    {"match": {"userMessage": "largo"}, "response": {"content": "A med", "finishReason": "length"}},
]  # fmt: skip


@pytest.fixture
async def aimock(tmp_path: Path) -> AsyncIterator[Aimock]:
    async with running_aimock(FIXTURES, tmp_path) as running:
        yield running


@pytest.fixture
async def manager(name: str, aimock: Aimock, make_manager: Callable[..., ProviderManager]) -> ProviderManager:
    return make_manager(
        provider_order=[name], groq_base_url=aimock.url, anthropic_base_url=aimock.url,
        local_llm_base_url=aimock.local_url, local_llm_model="some-model",
        groq_fallback_models=[],  # its list shows the models that the fixtures name
    )  # fmt: skip


@pytest.mark.parametrize("name", ["groq", "anthropic", "local"])
async def test_every_behaviour_of_one_server(name: str, manager: ProviderManager) -> None:
    """One process, one test: starting the emulator costs more than asking it."""
    await conversation_with_tools(manager)
    provider = manager.get_provider()
    assert isinstance(provider, PROVIDERS[name])
    assert (await provider.call([{"role": "user", "content": "saluda"}])).text.startswith("¡Hola! Soy una")
    thought = await provider.call([{"role": "user", "content": "piensa"}])
    assert thought.text == "Ya." and (thought.native is not None) == (name == "anthropic")
    assert (await provider.call([{"role": "user", "content": "largo"}])).stop_reason == "length"
    expected: dict[str, type[ProviderError]] = {
        "corta": BrokenReply, "muchas": RateLimited, "caído": Unreachable, "mal": RequestRefused,
        "cuelga": Unreachable, "basura": BrokenReply,
    }  # fmt: skip
    for words, kind in expected.items():
        with pytest.raises(ProviderError) as caught:
            await provider.call([{"role": "user", "content": words}])
        assert type(caught.value) is kind, words
    await manager.check_models()
    assert {route.state for route in manager.routes()} == {"ready"}


async def conversation_with_tools(manager: ProviderManager) -> None:
    turn = Turn()
    messages = [Message(role="user", content="lee dos archivos")]
    reply = await manager.complete(ModelRequest(messages, tools=[READ_FILE]), turn.options)
    assert turn.shown == reply.text == "Los miro."
    assert [json.loads(call.arguments) for call in reply.tool_calls] == [{"path": "a.txt"}, {"path": "b.txt"}]
    messages += [Message(role="assistant", content=reply.text, tool_calls=reply.tool_calls, native=reply.native)]
    messages += [Message(role="tool", tool_call_id=c.id, content="texto") for c in reply.tool_calls]
    reply = await manager.complete(ModelRequest(messages, tools=[READ_FILE]), Turn().options)
    assert reply.text == "Leídos los dos."


async def test_every_trouble_of_groq_ends_with_claude(
    aimock: Aimock, make_manager: Callable[..., ProviderManager]
) -> None:
    for words, (_, _, requests, state) in TROUBLE.items():
        manager = make_manager(groq_base_url=aimock.url, anthropic_base_url=aimock.url, groq_fallback_models=[])
        asked: list[str] = []
        groq: Any = manager.get_provider()
        speak = groq._speak
        groq._speak = lambda *given, speak=speak, asked=asked: asked.append("groq") or speak(*given)
        request = ModelRequest([Message(role="user", content=words)], tools=[READ_FILE])
        reply = await manager.complete(request, Turn().options)
        assert (reply.text, reply.provider, len(asked)) == ("Soy Claude", "anthropic", requests), words
        assert manager.routes()[0].state == state, words
