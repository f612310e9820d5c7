"""A whole reply: an empty one is asked for again, one cut by its length is continued, each once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from app.core import texts
from app.core.errors import BrokenReply
from app.core.messages import Message, Reply

Ask = Callable[[Sequence[Message]], Awaitable[Reply]]
Discard = Callable[[Reply], Awaitable[None]]


async def whole_reply(ask: Ask, messages: Sequence[Message], discard: Discard) -> Reply:
    """`discard` hears of each reply that is not the one returned: it was paid for all the same."""
    reply = await ask(messages)
    if _is_empty(reply):
        await discard(reply)
        reply = await ask([*messages, _note(texts.ANSWER_NOW)])
    if reply.stop_reason != "length":
        return reply
    await discard(reply)
    said = [Message(role="assistant", content=reply.text)] if reply.text.strip() else []
    rest = await ask([*messages, *said, _note(texts.CONTINUE if said else texts.BE_BRIEF)])
    if rest.stop_reason != "length":
        return rest.model_copy(update={"text": reply.text + rest.text})
    if rest.tool_calls:
        raise BrokenReply(texts.CUT_TWICE, provider=rest.provider, model=rest.model)
    return rest.model_copy(update={"text": reply.text + rest.text + texts.CUT_MARK})


def _is_empty(reply: Reply) -> bool:
    return not reply.tool_calls and not reply.text.strip() and reply.stop_reason != "length"


def _note(text: str) -> Message:
    return Message(role="user", content=text)
