"""Anthropic's Messages dialect: histories out, streamed events in.

Sampling parameters (temperature, top_p, top_k) and a trailing assistant message are refused by current models,
and thinking blocks are only valid after exactly the prefix they were made with: they are sent back within their
own turn, where nothing before them changes, and left out of older turns.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from app.cloud import jsonvalues as js
from app.cloud.failures import Origin, from_event
from app.cloud.history import arguments_object, paired, wire_id
from app.cloud.openai_dialect import StopReason, finished_items
from app.core.contracts import ModelRequest, StreamItem, TextDelta
from app.core.messages import Message, NativeBlocks, ToolCall, Usage
from app.core.usage import price

PROVIDER = "anthropic"
_CACHE: js.Object = {"type": "ephemeral"}
_CONTINUE = "Continúa."
_NO_OUTPUT = "(sin salida)"
_STOPS: dict[str, StopReason] = {
    "max_tokens": "length", "model_context_window_exceeded": "length", "pause_turn": "length", "refusal": "refusal",
}  # fmt: skip


def messages_body(request: ModelRequest, *, replay: bool = True) -> js.Object:
    """`replay`: send this model's own thinking blocks of the current turn back to it."""
    history = paired(request.messages)
    system = [request.system] if request.system.strip() else []
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
            {"name": t.name, "description": t.description, "input_schema": t.parameters} for t in request.tools
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
        {"type": "tool_use", "id": wire_id(c.id), "name": c.name, "input": arguments_object(c.arguments)}
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

    def __init__(self, origin: Origin) -> None:
        self.started = False
        self.finished = False
        self._origin = origin
        self._blocks: dict[int, js.Object] = {}
        self._inputs: dict[int, str] = {}
        self._usage: js.Object = {}
        self._stop = ""
        self._said_something = False

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
                self._usage |= js.as_object(js.as_object(body.get("message")).get("usage"))
            case "content_block_start":
                yield from self._begin(index, dict(js.as_object(body.get("content_block"))))
            case "content_block_delta":
                yield from self._extend(index, js.as_object(body.get("delta")))
            case "message_delta":
                self._stop = js.as_text(js.as_object(body.get("delta")).get("stop_reason")) or self._stop
                usage = js.as_object(body.get("usage"))
                self._usage |= {name: count for name, count in usage.items() if count is not None}
            case "message_stop":
                self.finished = True
            case _:
                pass  # content_block_stop, and events that later versions of the API add

    def _begin(self, index: int, block: js.Object) -> Iterator[StreamItem]:
        self._blocks[index] = block
        self._inputs[index] = ""
        if block.get("type") == "text":
            if self._said_something:  # a new paragraph after thinking or a call
                yield TextDelta("\n\n")
            if text := js.as_text(block.get("text")):
                self._said_something = True
                yield TextDelta(text)

    def _extend(self, index: int, delta: js.Object) -> Iterator[StreamItem]:
        block = self._blocks.get(index)
        if block is None:
            raise self._origin.broken()
        match delta.get("type"):
            case "text_delta":
                text = js.as_text(delta.get("text"))
                block["text"] = js.as_text(block.get("text")) + text
                self._said_something = self._said_something or bool(text)
                yield TextDelta(text)
            case "input_json_delta":
                self._inputs[index] += js.as_text(delta.get("partial_json"))
            case "thinking_delta":
                block["thinking"] = js.as_text(block.get("thinking")) + js.as_text(delta.get("thinking"))
            case "signature_delta":
                block["signature"] = js.as_text(block.get("signature")) + js.as_text(delta.get("signature"))
            case _:
                pass

    def end(self) -> Iterator[StreamItem]:
        if not self._stop:
            raise self._origin.broken()
        calls = [self._call(index, block) for index, block in self._blocks.items() if block.get("type") == "tool_use"]
        stop = _STOPS.get(self._stop, "stop")
        yield from finished_items(calls, stop, self._read_usage(), self._native())

    def _call(self, index: int, block: js.Object) -> ToolCall:
        arguments = self._inputs[index] or js.dump(js.as_object(block.get("input")))
        return ToolCall(id=js.as_text(block.get("id")), name=js.as_text(block.get("name")), arguments=arguments)

    def _native(self) -> NativeBlocks | None:
        """Worth keeping only when there is something that plain messages cannot say."""
        blocks = list(self._blocks.values())
        if not any(block.get("type") in {"thinking", "redacted_thinking"} for block in blocks):
            return None
        for index, block in self._blocks.items():
            if block.get("type") == "tool_use":
                block["input"] = arguments_object(self._inputs[index] or js.dump(js.as_object(block.get("input"))))
        whole = [b for b in blocks if b.get("type") != "text" or js.as_text(b.get("text")).strip()]
        return NativeBlocks(provider=PROVIDER, model=self._origin.model, blocks=whole)

    def _read_usage(self) -> Usage:
        cached = js.as_int(self._usage.get("cache_read_input_tokens"))
        written = js.as_int(self._usage.get("cache_creation_input_tokens"))
        usage = Usage(
            input=js.as_int(self._usage.get("input_tokens")) + cached + written,
            output=js.as_int(self._usage.get("output_tokens")),
            cached=cached,
        )
        return usage.model_copy(update={"usd": price(PROVIDER, self._origin.model, usage, written)})
