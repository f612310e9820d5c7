"""What only Claude has: thinking that may be refused when it comes back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from app.cloud.base import ModelProvider
from app.cloud.streaming import collect
from app.core.contracts import ModelRequest
from app.core.errors import RequestRefused
from app.core.messages import Message
from tests.contract.conftest import READ_FILE
from tests.fakes.llm import FakeLLM

Make = Callable[..., ModelProvider]


def refusal(message: str) -> dict[str, Any]:
    return {"status": 400, "body": {"error": {"type": "invalid_request_error", "message": message}}}


async def after_a_call(provider: ModelProvider, llm: FakeLLM) -> ModelRequest:
    """The second request of a turn whose first reply came with thinking and a call."""
    llm.say({"thinking": "Mmm", "calls": [{"name": "read_file", "arguments": {"path": "a"}}]})
    asked = Message(role="user", content="lee a")
    first = ModelRequest([asked], model=provider.models[0], tools=[READ_FILE])
    reply = await collect(provider.stream(first), provider.origin(first.model))
    said = Message(role="assistant", tool_calls=reply.tool_calls, native=reply.native)
    result = Message(role="tool", tool_call_id=reply.tool_calls[0].id, content="contenido")
    return ModelRequest([asked, said, result], model=first.model, tools=[READ_FILE])


async def test_thinking_goes_back_as_it_came(llm: FakeLLM, make_provider: Make) -> None:
    provider = make_provider("anthropic")
    request = await after_a_call(provider, llm)
    await collect(provider.stream(request), provider.origin(request.model))
    thinking, call = llm.calls()[-1]["messages"][1]["content"]
    assert thinking == {"type": "thinking", "thinking": "Mmm", "signature": "c2lnbmF0dXJl"}
    assert call["input"] == {"path": "a"}


async def test_thinking_that_is_refused_is_left_out(llm: FakeLLM, make_provider: Make) -> None:
    provider = make_provider("anthropic")
    request = await after_a_call(provider, llm)
    llm.say(refusal("messages.1.content.0: Invalid `signature` in `thinking` block"), {"text": "Leído"})
    reply = await collect(provider.stream(request), provider.origin(request.model))
    assert reply.text == "Leído"
    assert [block["type"] for block in llm.calls()[-1]["messages"][1]["content"]] == ["tool_use"]


async def test_other_refusals_are_not_tried_again(llm: FakeLLM, make_provider: Make) -> None:
    provider = make_provider("anthropic")
    request = await after_a_call(provider, llm)
    llm.say(refusal("tools.0: name too long"))
    with pytest.raises(RequestRefused):
        await collect(provider.stream(request), provider.origin(request.model))
    assert len(llm.calls()) == 2
