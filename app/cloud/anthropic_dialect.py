"""Anthropic's Messages dialect: histories out, streamed events in.

Sampling parameters (temperature, top_p, top_k) and a trailing assistant message are refused by current models,
and thinking blocks are only valid after exactly the prefix they were made with: they are sent back within their
own turn, where nothing before them changes, and left out of older turns.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from app.cloud import jsonvalues as js
from app.cloud.failures import Origin, from_event
from app.cloud.history import arguments_object, encodable, own_names, paired, wire_id, wire_name
from app.cloud.openai_dialect import StopReason, finished_items
from app.core.contracts import ModelRequest, StreamItem, TextDelta, ToolSchema
from app.core.messages import Message, NativeBlocks, ToolCall, Usage
from app.core.usage import count_size, price

PROVIDER = "anthropic"
_CACHE: js.Object = {"type": "ephemeral"}
_CONTINUE = "Continúa."
_NO_OUTPUT = "(sin salida)"
_STOPS: dict[str, StopReason] = {
    "max_tokens": "length", "model_context_window_exceeded": "length", "pause_turn": "length", "refusal": "refusal",
}  # fmt: skip
_DELTA_FIELDS = {
    "text_delta": "text", "input_json_delta": "partial_json",
    "thinking_delta": "thinking", "signature_delta": "signature",
}  # fmt: skip


def messages_body(request: ModelRequest, *, replay: bool = True) -> js.Object:
    """`replay`: send this model's own thinking blocks of the current turn back to it."""
    history = paired(request.messages)
    system = [encodable(request.system)] if request.system.strip() else []
    while history and history[0].role == "system":
        system.append(history.pop(0).content)
    body: js.Object = {
        "model": request.model,
        "max_tokens": request.max_tokens,
        "messages": _messages(history, request.model if replay else ""),
        "stream": True,
    }
    if system:
        body["system"] = [{"type": "text", "text": "\n\n".join(system), "cache_control": _CACHE}]
    if request.tools:
        tools: list[js.Object] = [
            {"name": wire_name(t.name), "description": t.description, "input_schema": t.parameters}
            for t in request.tools
        ]
        if not system:  # otherwise the breakpoint of the system prompt, which follows them, covers the tools
            tools[-1]["cache_control"] = _CACHE
        body["tools"] = tools
        body["tool_choice"] = {"type": request.tool_choice}
    return body


def replayable(request: ModelRequest) -> bool:
    return any(_own_blocks(m, request.model) for m in request.messages)


def _messages(history: Sequence[Message], model: str) -> list[js.Object]:
    """Alternating user and assistant messages. Everything between two replies is one user message."""
    out: list[js.Object] = []
    turn = max((i for i, m in enumerate(history) if m.role == "user"), default=0)
    turn_start: js.Object = {}
    for position, message in enumerate(history):
        role = "assistant" if message.role == "assistant" else "user"
        if not out or out[-1]["role"] != role:
            out.append({"role": role, "content": []})
        content = js.as_list(out[-1]["content"])
        if role == "assistant":
            content += _assistant_blocks(message, model if position > turn else "")
        else:
            content += _user_blocks(message)
            turn_start = js.as_object(content[-1]) if position == turn else turn_start
    _close_ends(out)
    last = js.as_object(js.as_list(out[-1]["content"])[-1])
    for block in (turn_start, last):  # read again by the rest of this turn, and by the next call
        if block:
            block["cache_control"] = _CACHE
    return out


def _close_ends(out: list[js.Object]) -> None:
    """A conversation begins and ends with the user."""
    filler: js.Object = {"type": "text", "text": _CONTINUE}
    if not out or out[0]["role"] == "assistant":
        out.insert(0, {"role": "user", "content": [dict(filler)]})
    if out[-1]["role"] == "assistant":
        out.append({"role": "user", "content": [dict(filler)]})


def _user_blocks(message: Message) -> list[object]:
    if message.role != "tool":
        return [{"type": "text", "text": message.content}]
    result: js.Object = {
        "type": "tool_result",
        "tool_use_id": wire_id(message.tool_call_id),
        "content": message.content if message.content.strip() else _NO_OUTPUT,
    }
    if message.is_error:
        result["is_error"] = True
    return [result]


def _assistant_blocks(message: Message, model: str) -> list[object]:
    if blocks := _own_blocks(message, model):
        return [dict(block) for block in blocks]
    text: list[object] = [{"type": "text", "text": message.content}] if message.content.strip() else []
    return text + [
        {"type": "tool_use", "id": wire_id(c.id), "name": wire_name(c.name), "input": arguments_object(c.arguments)}
        for c in message.tool_calls
    ]


def _own_blocks(message: Message, model: str) -> list[js.Object]:
    """The native blocks of a reply that this very model gave and that was kept whole; else nothing."""
    native = message.native
    if native is None or native.provider != PROVIDER or native.model != model or not model:
        return []
    calls = [block.get("id") for block in native.blocks if block.get("type") == "tool_use"]
    return native.blocks if calls == [call.id for call in message.tool_calls] else []


class MessageReader:
    """One streamed message. Thinking is kept as native blocks and never shown."""

    def __init__(self, origin: Origin, tools: Sequence[ToolSchema] = ()) -> None:
        self.started = False
        self.finished = False
        self.said = 0
        self._origin = origin
        self._names = own_names(tools)
        self._blocks: dict[int, js.Object] = {}
        self._pieces: defaultdict[tuple[int, str], list[str]] = defaultdict(list)  # of each field of each block
        self._counts: js.Object = {}
        self._stop = ""
        self._said_something = False

    @property
    def complete(self) -> bool:
        return bool(self._stop)

    def feed(self, event: str, data: str) -> Iterator[StreamItem]:
        if event == "ping":
            return
        try:
            body = js.as_object(js.parse(data))
        except ValueError:
            raise self._origin.broken() from None
        kind = js.as_text(body.get("type"))
        if event == "error" or kind == "error":
            raise from_event(body, self._origin)
        if not kind:
            raise self._origin.broken()
        self.started = True
        yield from self._apply(kind, body)

    def _apply(self, kind: str, body: js.Object) -> Iterator[StreamItem]:
        index = js.as_int(body.get("index"))
        match kind:
            case "message_start":
                self._counts |= js.as_object(js.as_object(body.get("message")).get("usage"))
            case "content_block_start":
                yield from self._begin(index, dict(js.as_object(body.get("content_block"))))
            case "content_block_delta":
                yield from self._extend(index, js.as_object(body.get("delta")))
            case "message_delta":
                self._stop = js.as_text(js.as_object(body.get("delta")).get("stop_reason")) or self._stop
                usage = js.as_object(body.get("usage"))
                self._counts |= {name: count for name, count in usage.items() if count is not None}
            case "message_stop":
                self.finished = True
            case _:
                pass  # content_block_stop, and events that later versions of the API add

    def _begin(self, index: int, block: js.Object) -> Iterator[StreamItem]:
        self._blocks[index] = block
        if block.get("type") == "text":
            if self._said_something:  # a new paragraph after thinking or a call
                yield TextDelta("\n\n")
            if text := js.as_text(block.get("text")):
                self._said_something = True
                yield TextDelta(text)

    def _extend(self, index: int, delta: js.Object) -> Iterator[StreamItem]:
        if index not in self._blocks:
            raise self._origin.broken()
        field = _DELTA_FIELDS.get(js.as_text(delta.get("type")))
        if field is None:  # a kind of delta that later versions of the API add
            return
        piece = js.as_text(delta.get(field))
        self.said += len(piece)
        self._pieces[index, field].append(piece)
        if field == "text":
            self._said_something = self._said_something or bool(piece)
            yield TextDelta(piece)

    def end(self) -> Iterator[StreamItem]:
        if not self._stop:
            raise self._origin.broken()
        for (index, field), pieces in self._pieces.items():
            block = self._blocks[index]
            block[field] = js.as_text(block.get(field)) + "".join(pieces)
        calls = [self._call(block) for block in self._blocks.values() if block.get("type") == "tool_use"]
        yield from finished_items(calls, _STOPS.get(self._stop, "stop"), self.usage, self._native())

    def _call(self, block: js.Object) -> ToolCall:
        arguments = js.as_text(block.pop("partial_json", "")) or js.dump(js.as_object(block.get("input")))
        block["input"] = arguments_object(arguments)
        name = js.as_text(block.get("name"))
        return ToolCall(id=js.as_text(block.get("id")), name=self._names.get(name, name), arguments=arguments)

    def _native(self) -> NativeBlocks | None:
        """Worth keeping only when there is something that plain messages cannot say."""
        blocks = list(self._blocks.values())
        if not any(block.get("type") in {"thinking", "redacted_thinking"} for block in blocks):
            return None
        whole = [b for b in blocks if b.get("type") != "text" or js.as_text(b.get("text")).strip()]
        return NativeBlocks(provider=PROVIDER, model=self._origin.model, blocks=whole)

    @property
    def usage(self) -> Usage:
        cached = js.as_int(self._counts.get("cache_read_input_tokens"))
        written = js.as_int(self._counts.get("cache_creation_input_tokens"))
        said = 0 if self.complete else count_size(self.said)  # message_start always says 1
        usage = Usage(
            input=js.as_int(self._counts.get("input_tokens")) + cached + written,
            output=max(js.as_int(self._counts.get("output_tokens")), said),
            cached=cached,
        )
        return usage.model_copy(update={"usd": price(PROVIDER, self._origin.model, usage, written)})
