"""The conversation in an order and shape that every provider accepts, before it is put in its own words."""

from __future__ import annotations

import re
from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from hashlib import blake2s

from app.cloud import jsonvalues as js
from app.core import texts
from app.core.contracts import ToolSchema
from app.core.messages import Message

_WIRE = re.compile(r"[a-zA-Z0-9_-]{1,64}")  # ids and names that every provider accepts
_NOT_WIRE = re.compile(r"[^a-zA-Z0-9_-]+")
MALFORMED = "malformed_arguments"


def paired(messages: Iterable[Message]) -> list[Message]:
    """Each call's result directly after it, in the order of the calls; nothing empty, nothing that is not Unicode.

    A call without a result gets an error result (providers refuse the whole request otherwise); a result without
    a call, a blank user message and an assistant message that says and does nothing are left out.
    """
    messages = [_encodable(message) for message in messages]
    results: defaultdict[str | None, deque[Message]] = defaultdict(deque)
    for message in messages:
        if message.role == "tool":
            results[message.tool_call_id].append(message)
    kept: list[Message] = []
    for message in messages:
        if message.role == "tool" or not (message.tool_calls or message.content.strip()):
            continue
        kept.append(message)
        for call in message.tool_calls:
            found = results[call.id]
            kept.append(found.popleft() if found else _lost(call.id))
    return kept


def encodable(text: str) -> str:
    """A lone surrogate (half an emoji, a strange file name) cannot be sent: it becomes a question mark."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _encodable(message: Message) -> Message:
    text = encodable(message.content)
    return message if text == message.content else message.model_copy(update={"content": text})


def _lost(call_id: str) -> Message:
    return Message(role="tool", tool_call_id=call_id, content=texts.LOST_RESULT, is_error=True)


def wire_id(call_id: str | None) -> str:
    """`call_id` itself when every provider accepts it, else a name that depends on nothing but it."""
    if call_id and _WIRE.fullmatch(call_id):
        return call_id
    return f"call_{_digest(call_id or '', 12)}"


def wire_name(name: str) -> str:
    """A tool's `name` itself when every provider accepts it, else one that reads alike and depends on nothing else."""
    return name if _WIRE.fullmatch(name) else f"{_NOT_WIRE.sub('_', name)[:48]}_{_digest(name, 6)}"


def own_names(tools: Iterable[ToolSchema]) -> dict[str, str]:
    """What the offered tools are called on the wire → what we call them."""
    return {wire_name(tool.name): tool.name for tool in tools}


def _digest(text: str, size: int) -> str:
    return blake2s(text.encode("utf-8", "replace"), digest_size=size).hexdigest()


def arguments_object(arguments: str) -> js.Object:
    """What a call's arguments say; text that is not a JSON object is kept under MALFORMED."""
    if not arguments.strip():
        return {}
    try:
        value = js.parse(arguments)
    except ValueError:
        return {MALFORMED: arguments}
    return value if js.is_object(value) else {MALFORMED: arguments}


def is_object(arguments: str) -> bool:
    return MALFORMED not in arguments_object(arguments)


def used_ids(messages: Sequence[Message]) -> set[str]:
    return {call.id for message in messages for call in message.tool_calls}
