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
from app.core.conversation import origins_of
from app.core.errors import ProviderError
from app.core.events import SummaryLine
from app.core.foreign import framed
from app.core.messages import Message
from app.core.prompt import count
from app.core.usage import count_message

FULL = 0.8  # of the room for messages: time to sum up
KEEP = 0.4  # of it: what stays word for word
_BASE_TOKENS = 2_000  # system prompt and tools
_ANSWER_SHARE = 4  # a quarter of the window is the answer's
_SUMMARY_TOKENS = 1_536  # the summary and the thinking before it


def is_full(ctx: AgentContext, brain: Brain) -> bool:
    return count(ctx.messages) > room(brain) * FULL


async def compact(ctx: AgentContext, brain: Brain, store: SessionStore, options: CallOptions) -> bool:
    """False when nothing could be summed up: the old window stays as it is."""
    space = room(brain)
    block = _old_block(ctx, space * KEEP)
    if block is None:
        return False
    asked = Message(role="user", content=_transcript(block, ctx.conversation.summary, space // 2))
    request = ModelRequest(messages=[asked], system=texts.SUMMARIZE, max_tokens=_SUMMARY_TOKENS)
    try:
        reply = await brain.complete(request, options)
    except ProviderError as error:
        logger.warning("summary of {} failed: {}", ctx.session_id, error)
        return False
    summary = texts.without_reasoning(reply.text).strip()
    if not summary or reply.stop_reason == "length":  # half a summary would erase the other half
        logger.warning("summary of {} is {}", ctx.session_id, "cut" if summary else "empty")
        await options.spent(reply.provider, reply.model, reply.usage)
        return False
    untrusted = origins_of([Message(role="user", untrusted=ctx.conversation.summary_untrusted), *block.messages])
    line = SummaryLine(
        turn=ctx.turn, content=framed(summary, untrusted) if untrusted else summary, upto=block.upto,
        project=ctx.project, untrusted=untrusted,
        usage=reply.usage, provider=reply.provider, model=reply.model,
    )  # fmt: skip
    await store.append(ctx.session_id, line)
    await store.refresh(ctx)
    return True


def room(brain: Brain) -> int:
    """Tokens of the window that messages may fill."""
    window = brain.window_tokens()
    return max(window - _BASE_TOKENS - window // _ANSWER_SHARE, window // _ANSWER_SHARE)


@dataclass(frozen=True, slots=True)
class Block:
    """Messages to sum up; `upto` is the seq of the last of them."""

    messages: Sequence[Message]
    upto: int


def _old_block(ctx: AgentContext, keep: float) -> Block | None:
    """The oldest messages, so that at most `keep` tokens stay word for word, cut where a user message begins.

    Never between a call and its result, never past something that is still open.
    """
    placed = ctx.conversation.placed
    fixed = min([*ctx.conversation.open, *ctx.outbox.pending, *ctx.commands, *ctx.questions], default=ctx.seq + 1)
    tail, best = 0, 0
    for cut in range(len(placed), 0, -1):
        tail += count_message(placed[cut]) if cut < len(placed) else 0
        if best and tail > keep:
            break
        starts = cut == len(placed) or placed[cut].role == "user"
        if starts and _is_clean(placed, cut, fixed):
            best = cut
    if not best:
        return None
    return Block(placed[:best], max(m.seq for m in placed[:best]))


def _is_clean(placed: Sequence[Message], cut: int, fixed: int) -> bool:
    newest_before = max(m.seq for m in placed[:cut])
    return newest_before < min((m.seq for m in placed[cut:]), default=fixed) and newest_before < fixed


def _transcript(block: Block, summary: str, limit: int) -> str:
    """The block as plain text for the summarizing call, at most `limit` tokens."""
    lines = [texts.summary_message(summary)] if summary else []
    for message in block.messages:
        calls = "".join(f"\n  → {call.name} {call.arguments[:300]}" for call in message.tool_calls)
        lines.append(f"{texts.speaker(message.role)}: {texts.cut_middle(message.content, 1_500)}{calls}")
    return texts.cut_middle("\n".join(lines), limit * 3)
