"""The chat-completions dialect that Groq and most local servers speak: histories out, streamed chunks in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal
from uuid import uuid4

from app.cloud import jsonvalues as js
from app.cloud.failures import Origin, from_event
from app.cloud.history import arguments_object, is_object, paired, used_ids, wire_id
from app.core.contracts import ModelRequest, StreamEnd, StreamItem, TextDelta, ToolCallDelta, ToolSchema
from app.core.messages import Message, NativeBlocks, ToolCall, Usage

StopReason = Literal["stop", "tool_calls", "length", "refusal"]
_STOPS: dict[str, StopReason] = {"length": "length", "content_filter": "refusal"}


def chat_body(request: ModelRequest, limit_field: str) -> js.Object:
    """`limit_field`: max_completion_tokens (Groq) or max_tokens (everybody else)."""
    system = [{"role": "system", "content": request.system}] if request.system else []
    body: js.Object = {
        "model": request.model,
        "messages": system + [_message(m) for m in paired(request.messages)],
        limit_field: request.max_tokens,
        "stream": True,
    }
    if request.tools:
        body["tools"] = [_tool(tool) for tool in request.tools]
        body["tool_choice"] = request.tool_choice
    return body


def _tool(tool: ToolSchema) -> js.Object:
    function = {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
    return {"type": "function", "function": function}


def _message(message: Message) -> js.Object:
    if message.role == "tool":
        return {"role": "tool", "tool_call_id": wire_id(message.tool_call_id), "content": message.content}
    out: js.Object = {"role": message.role, "content": message.content}
    if message.tool_calls:
        out["tool_calls"] = [_call(call) for call in message.tool_calls]
        if not message.content:
            out["content"] = None
    return out


def _call(call: ToolCall) -> js.Object:
    # a server that parses the arguments of old calls must not refuse the whole conversation over one of them
    well_formed = call.arguments.strip() and is_object(call.arguments)
    arguments = call.arguments if well_formed else js.dump(arguments_object(call.arguments))
    return {"id": wire_id(call.id), "type": "function", "function": {"name": call.name, "arguments": arguments}}


@dataclass(slots=True)
class _CallParts:
    id: str = ""
    name: str = ""
    arguments: str = ""


class ChatReader:
    """One streamed chat completion. Calls are complete, and handed out, only when the whole reply is."""

    def __init__(self, request: ModelRequest, origin: Origin) -> None:
        self.started = False
        self.finished = False
        self._origin = origin
        self._taken = used_ids(request.messages)
        self._calls: dict[int, _CallParts] = {}
        self._finish = ""
        self._usage = Usage()

    def feed(self, event: str, data: str) -> Iterator[StreamItem]:
        self.started = True
        if data.startswith("[DONE]"):
            self.finished = True
            return
        try:
            parsed = js.parse(data)
        except ValueError:
            raise self._origin.broken() from None
        chunk = js.as_object(parsed)
        x_groq = js.as_object(chunk.get("x_groq"))
        if error := chunk.get("error") or x_groq.get("error"):
            raise from_event({"error": error}, self._origin)
        if event == "error" or not chunk:
            raise self._origin.broken()
        if usage := js.as_object(chunk.get("usage") or x_groq.get("usage")):
            self._usage = read_usage(usage)
        for choice in map(js.as_object, js.as_list(chunk.get("choices"))[:1]):
            self._finish = js.as_text(choice.get("finish_reason")) or self._finish
            delta = js.as_object(choice.get("delta"))
            for index, piece in enumerate(map(js.as_object, js.as_list(delta.get("tool_calls")))):
                self._add_call(index, piece)
            if text := js.as_text(delta.get("content")):
                yield TextDelta(text)

    def _add_call(self, position: int, piece: js.Object) -> None:
        parts = self._parts_of(position, piece)
        function = js.as_object(piece.get("function"))
        arguments = function.get("arguments")
        parts.name = parts.name or js.as_text(function.get("name"))
        # some local servers send the object itself
        parts.arguments += js.dump(arguments) if js.is_object(arguments) else js.as_text(arguments)

    def _parts_of(self, position: int, piece: js.Object) -> _CallParts:
        """The call that a fragment belongs to. Some local servers leave `index` out or always say 0."""
        index, call_id = piece.get("index"), js.as_text(piece.get("id"))
        key = index if isinstance(index, int) else position
        known = self._calls.get(key)
        if known and call_id and known.id and known.id != call_id:
            key = max(self._calls) + 1
        parts = self._calls.setdefault(key, _CallParts())
        parts.id = parts.id or call_id
        return parts

    def end(self) -> Iterator[StreamItem]:
        if not self._finish:
            raise self._origin.broken()
        calls = [self._call(parts) for _, parts in sorted(self._calls.items())]
        yield from finished_items(calls, _STOPS.get(self._finish, "stop"), self._usage)

    def _call(self, parts: _CallParts) -> ToolCall:
        call_id = parts.id
        if not call_id or call_id in self._taken:  # some servers count from call_0 in every reply
            call_id = new_call_id()
        self._taken.add(call_id)
        return ToolCall(id=call_id, name=parts.name, arguments=parts.arguments or "{}")


def finished_items(
    calls: list[ToolCall], stop: StopReason, usage: Usage, native: NativeBlocks | None = None
) -> Iterator[StreamItem]:
    """The last items of a complete reply. A reply cut by its length keeps only the calls that are whole."""
    if stop == "length":
        calls = [call for call in calls if is_object(call.arguments)]
    if stop == "refusal":
        calls = []
    for call in calls:
        yield ToolCallDelta(call)
    yield StreamEnd(stop_reason="tool_calls" if calls else stop, usage=usage, native=native)


def read_usage(usage: js.Object) -> Usage:
    details = js.as_object(usage.get("prompt_tokens_details"))
    return Usage(
        input=js.as_int(usage.get("prompt_tokens")),
        output=js.as_int(usage.get("completion_tokens")),
        cached=js.as_int(details.get("cached_tokens")),
    )


def new_call_id() -> str:
    return f"call_{uuid4().hex[:24]}"
