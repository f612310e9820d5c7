"""The chat-completions dialect that Groq and most local servers speak: histories out, streamed chunks in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal
from uuid import uuid4

from app.cloud import jsonvalues as js
from app.cloud.failures import Origin, from_event
from app.cloud.history import arguments_object, encodable, is_object, own_names, paired, used_ids, wire_id, wire_name
from app.core.contracts import ModelRequest, StreamEnd, StreamItem, TextDelta, ToolCallDelta, ToolSchema
from app.core.messages import Message, NativeBlocks, ToolCall, Usage
from app.core.usage import count_size

StopReason = Literal["stop", "tool_calls", "length", "refusal"]
_STOPS: dict[str, StopReason] = {"length": "length", "content_filter": "refusal"}


def chat_body(request: ModelRequest, limit_field: str) -> js.Object:
    """`limit_field`: max_completion_tokens (Groq) or max_tokens (everybody else)."""
    system = [{"role": "system", "content": encodable(request.system)}] if request.system else []
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
    function = {"name": wire_name(tool.name), "description": tool.description, "parameters": tool.parameters}
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
    function = {"name": wire_name(call.name), "arguments": arguments}
    return {"id": wire_id(call.id), "type": "function", "function": function}


@dataclass(slots=True)
class _CallParts:
    id: str = ""
    name: str = ""
    arguments: list[str] = field(default_factory=list[str])


class ChatReader:
    """One streamed chat completion. Calls are complete, and handed out, only when the whole reply is."""

    def __init__(self, request: ModelRequest, origin: Origin) -> None:
        self.started = False
        self.finished = False
        self.said = 0
        self._origin = origin
        self._taken = used_ids(request.messages)
        self._names = own_names(request.tools)
        self._calls: list[_CallParts] = []
        self._newest: dict[int, _CallParts] = {}  # of each index
        self._finish = ""
        self._usage = Usage()

    @property
    def complete(self) -> bool:
        return bool(self._finish)

    @property
    def usage(self) -> Usage:
        return self._usage if self._usage.output else Usage(output=count_size(self.said))

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
            self.said += len(js.as_text(delta.get("reasoning")) or js.as_text(delta.get("reasoning_content")))
            if text := js.as_text(delta.get("content")):
                self.said += len(text)
                yield TextDelta(text)

    def _add_call(self, position: int, piece: js.Object) -> None:
        parts = self._parts_of(position, piece)
        function = js.as_object(piece.get("function"))
        arguments = function.get("arguments")
        # some local servers send the object itself
        text = js.dump(arguments) if js.is_object(arguments) else js.as_text(arguments)
        parts.name = parts.name or js.as_text(function.get("name"))
        parts.arguments.append(text)
        self.said += len(text)

    def _parts_of(self, position: int, piece: js.Object) -> _CallParts:
        """The call that a fragment belongs to. Some local servers leave `index` out or always say 0."""
        index, call_id = piece.get("index"), js.as_text(piece.get("id"))
        key = index if isinstance(index, int) else position
        parts = self._newest.get(key)
        if parts is None or (call_id and parts.id and parts.id != call_id):
            parts = self._newest[key] = _CallParts()
            self._calls.append(parts)
        parts.id = parts.id or call_id
        return parts

    def end(self) -> Iterator[StreamItem]:
        if not self._finish:
            raise self._origin.broken()
        calls = [self._call(parts) for parts in self._calls]
        yield from finished_items(calls, _STOPS.get(self._finish, "stop"), self._usage)

    def _call(self, parts: _CallParts) -> ToolCall:
        call_id = parts.id
        if not call_id or call_id in self._taken:  # some servers count from call_0 in every reply
            call_id = new_call_id()
        self._taken.add(call_id)
        name = self._names.get(parts.name, parts.name)
        return ToolCall(id=call_id, name=name, arguments="".join(parts.arguments) or "{}")


def finished_items(
    calls: list[ToolCall], stop: StopReason, usage: Usage, native: NativeBlocks | None = None
) -> Iterator[StreamItem]:
    """The last items of a complete reply. The calls of a cut one are gone: what looks whole may lack its end."""
    if stop in {"length", "refusal"}:
        calls, native = [], None
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
