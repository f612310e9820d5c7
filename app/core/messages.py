"""What the agent and a model say to each other: messages, tool calls, replies, results."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import to_json

Role = Literal["user", "assistant", "tool", "system"]


class ToolCall(BaseModel):
    """`arguments` is the JSON text as the model wrote it: it may be malformed."""

    model_config = ConfigDict(frozen=True)

    id: str
    name: str
    arguments: str = "{}"


class NativeBlocks(BaseModel):
    """Provider-native blocks (thinking, signatures): replayed only to the same provider and model."""

    model_config = ConfigDict(frozen=True)

    provider: str
    model: str
    blocks: list[dict[str, object]]


class Message(BaseModel):
    model_config = ConfigDict(frozen=True)

    role: Role
    content: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    is_error: bool = False
    native: NativeBlocks | None = None
    seq: int = Field(default=0, exclude=True)  # 0: not in the log yet
    untrusted: str = Field(default="", exclude=True)  # where it comes from, when that is outside
    ts: float = Field(default=0.0, exclude=True)  # UNIX time of a user message


class Usage(BaseModel):
    """Tokens of one model call as the provider reports them; `input` includes `cached`. Money in US dollars."""

    model_config = ConfigDict(frozen=True)

    input: int = 0
    output: int = 0
    cached: int = 0
    usd: float = 0.0


class Reply(BaseModel):
    """The whole of one model call. `stop_reason`: stop | tool_calls | length | refusal."""

    model_config = ConfigDict(frozen=True)

    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    usage: Usage = Usage()
    stop_reason: Literal["stop", "tool_calls", "length", "refusal"] = "stop"
    provider: str = ""
    model: str = ""
    native: NativeBlocks | None = None

    def __str__(self) -> str:
        return self.text


class ToolResult(BaseModel):
    """`untrusted`: where its content comes from, when that is outside."""

    model_config = ConfigDict(frozen=True)

    call_id: str
    name: str
    content: str
    is_error: bool = False
    ms: int = 0
    untrusted: str = ""


def as_calls(calls: Iterable[ToolCall | Mapping[str, Any]]) -> list[ToolCall]:
    """Accepts plain dictionaries too, flat or in the shape of a chat completion ({"id", "function": {…}})."""

    def read(call: ToolCall | Mapping[str, Any]) -> ToolCall:
        if isinstance(call, ToolCall):
            return call
        inner = {**call, **call.get("function", {})}
        arguments = inner.get("arguments", "{}")
        text = arguments if isinstance(arguments, str) else to_json(arguments).decode()
        return ToolCall(id=inner.get("id", ""), name=inner["name"], arguments=text)

    return [read(call) for call in calls]


def as_messages(messages: Iterable[Message | Mapping[str, object]]) -> list[Message]:
    """Accepts the plain dictionaries of the specification's snippets as well."""
    return [m if isinstance(m, Message) else Message.model_validate(m) for m in messages]
