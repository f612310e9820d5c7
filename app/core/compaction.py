"""Compaction: when a conversation outgrows the model's window, its oldest block becomes one summary line.

In blocks, from FULL down to KEEP, so that the prompt's prefix stays the same bytes in between. Nothing is rewritten.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from loguru import logger

from app.core import texts
from app.core.context import AgentContext
from app.core.contracts import Brain, CallOptions, ModelRequest, SessionStore
from app.core.errors import ProviderError
from app.core.events import SummaryLine
from app.core.messages import Message
from app.core.prompt import count
from app.core.usage import count_message

FULL = 0.8  # of the room for messages: time to sum up
KEEP = 0.4  # of it: what stays word for word
_BASE_TOKENS = 2_000  # system prompt and tools
_ANSWER_SHARE = 4  # a quarter of the window is the answer's
_SUMMARY_TOKENS = 1_024


def is_full(ctx: AgentContext, brain: Brain) -> bool:
    return count(ctx.messages) > _room(brain) * FULL


async def compact(ctx: AgentContext, brain: Brain, store: SessionStore, options: CallOptions) -> bool:
    """False when nothing could be summed up: the old window stays as it is."""
    room = _room(brain)
    block = _old_block(ctx, room)
    if block is None:
        return False
    asked = Message(role="user", content=_transcript(block, ctx.conversation.summary, room // 2))
    request = ModelRequest(messages=[asked], system=texts.SUMMARIZE, max_tokens=_SUMMARY_TOKENS)
    try:
        reply = await brain.complete(request, options)
    except ProviderError as error:
        logger.warning("summary of {} failed: {}", ctx.session_id, error)
        return False
    line = SummaryLine(
        turn=ctx.turn, content=reply.text, upto=block.upto, project=ctx.project,
        usage=reply.usage, provider=reply.provider, model=reply.model,
    )  # fmt: skip
    await store.append(ctx.session_id, line)
    await store.refresh(ctx)
    return True


def _room(brain: Brain) -> int:
    """Tokens of the window that messages may fill."""
    window = brain.window_tokens()
    return max(window - _BASE_TOKENS - window // _ANSWER_SHARE, window // _ANSWER_SHARE)


@dataclass(frozen=True, slots=True)
class Block:
    """Messages to sum up; `upto` is the seq of the last of them."""

    messages: Sequence[Message]
    upto: int


def _old_block(ctx: AgentContext, room: int) -> Block | None:
    """The oldest messages beyond KEEP of the room, cut where a user message begins.

    Never between a call and its result, never past something that is still open.
    """
    placed = ctx.conversation.placed
    fixed = min([*ctx.conversation.open, *ctx.outbox.pending, *ctx.commands, *ctx.questions], default=ctx.seq + 1)
    sizes = [count_message(m) for m in placed]
    tail, cut, best = 0, len(placed), 0
    while cut > 0:
        cut -= 1
        tail += sizes[cut]
        if placed[cut].role != "user" or cut == 0:
            continue
        newest_before = max(m.seq for m in placed[:cut])
        clean = newest_before < min(m.seq for m in placed[cut:]) and newest_before < fixed
        if not clean:
            continue
        best = cut
        if tail >= room * KEEP:
            break
    if not best:
        return None
    return Block(placed[:best], max(m.seq for m in placed[:best]))


def _transcript(block: Block, summary: str, limit: int) -> str:
    """The block as plain text for the summarizing call, at most `limit` tokens."""
    lines = [texts.summary_message(summary)] if summary else []
    for message in block.messages:
        calls = "".join(f"\n  → {call.name} {call.arguments[:300]}" for call in message.tool_calls)
        lines.append(f"{texts.speaker(message.role)}: {texts.cut_middle(message.content, 1_500)}{calls}")
    return texts.cut_middle("\n".join(lines), limit * 3)
