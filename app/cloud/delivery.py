"""Delivery: brings what the logs say must be sent to its channel, in order, each send announced in the log first."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from loguru import logger

from app.core import texts
from app.core.context import AgentContext
from app.core.contexts import Contexts
from app.core.contracts import Channel, Choice, LiveEvent, Part, SessionStore
from app.core.errors import ChatGone, DeliveryError, Flood, NotSent, Uncertain
from app.core.events import (
    ApprovalAskedLine,
    AssistantLine,
    DeliveredLine,
    ReplyLine,
    SendFailedLine,
    SendStartedLine,
)
from app.core.lanes import Lanes
from app.core.outbox import Outgoing

Pause = Callable[[float], Awaitable[None]]
_LONGEST_WAIT = 60.0


class Delivery:
    """A session's lane waits for its own chat only: a flooded or unreachable chat stops no other."""

    def __init__(
        self, store: SessionStore, contexts: Contexts, channels: Mapping[str, Channel], pause: Pause = asyncio.sleep
    ) -> None:
        self._pause = pause
        self._store = store
        self._contexts = contexts
        self._channels = channels
        self.lanes = Lanes("delivery", self._work)

    def on_event(self, session_id: str, event: LiveEvent) -> None:
        if isinstance(event.line, AssistantLine | ReplyLine | ApprovalAskedLine) and event.line.reply_to:
            self.lanes.wake(session_id)

    async def _work(self, session_id: str) -> None:
        ctx = await self._contexts.get(session_id)
        while out := ctx.outbox.next():
            channel = self._channels.get(out.reply_to.channel)
            if channel is None:
                logger.warning("{}: channel {} is off, its answers wait", session_id, out.reply_to.channel)
                return
            await self._deliver(ctx, out, channel)
            await self._store.refresh(ctx)

    async def _deliver(self, ctx: AgentContext, out: Outgoing, channel: Channel) -> None:
        parts = channel.split(out.text) or [Part(texts.EMPTY_ANSWER)]
        for number, part in enumerate(parts):
            if number in out.done:
                continue
            choices = _choices(ctx.session_id, out) if number == len(parts) - 1 else ()
            message_id, gone = await self._send(ctx, out, channel, number, part, choices)
            line = DeliveredLine(of=out.seq, part=number, parts=len(parts), message_id=message_id, gone=gone)
            await self._store.append(ctx.session_id, line)
            if gone:
                return

    async def _send(
        self,
        ctx: AgentContext,
        out: Outgoing,
        channel: Channel,
        number: int,
        part: Part,
        choices: tuple[Choice, ...],
    ) -> tuple[int | None, bool]:
        """(message id, chat gone). Tries until it knows; a send that may have arrived is repeated marked as such."""
        repeat, wait = number in out.uncertain, 1.0
        while True:
            await self._store.append(ctx.session_id, SendStartedLine(of=out.seq, part=number))
            try:
                return await channel.send(out.reply_to, part, choices=choices, repeat=repeat), False
            except Uncertain as error:
                logger.warning("{}: send of {} may have arrived: {}", ctx.session_id, out.seq, error)
                repeat = True
            except ChatGone as error:
                logger.warning("{}: the chat is gone: {}", ctx.session_id, error)
                return None, True
            except DeliveryError as error:
                logger.warning("{}: send of {} failed: {}", ctx.session_id, out.seq, error)
                await self._store.append(ctx.session_id, SendFailedLine(of=out.seq, part=number))
                if isinstance(error, Flood):
                    wait = error.retry_after
                elif not isinstance(error, NotSent):
                    if part.payload is None:
                        return None, True  # refused even as plain text: nothing will change that
                    part = Part(part.text)
                    continue
            await self._pause(wait)
            wait = min(max(wait, 1.0) * 2, _LONGEST_WAIT)


def _choices(session_id: str, out: Outgoing) -> tuple[Choice, ...]:
    if not isinstance(out.line, ApprovalAskedLine):
        return ()
    return (
        Choice(texts.ALLOW, choice_data(session_id, out.seq, allow=True)),
        Choice(texts.DENY, choice_data(session_id, out.seq, allow=False)),
    )


def choice_data(session_id: str, asked: int, *, allow: bool) -> str:
    """At most 64 bytes, as Telegram wants it."""
    return f"{'si' if allow else 'no'}|{session_id}|{asked}"


def parse_choice(data: str) -> tuple[str, int, bool] | None:
    """(session, seq of the question, allow)."""
    answer, _, rest = data.partition("|")
    session_id, _, asked = rest.partition("|")
    if answer not in {"si", "no"} or not asked.isdecimal():
        return None
    return session_id, int(asked), answer == "si"
