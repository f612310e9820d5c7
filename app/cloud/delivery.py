"""Delivery: brings what the logs say must be sent to its channel, in order, each send announced in the log first."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Protocol, runtime_checkable

from loguru import logger

from app.cloud.question_buttons import question_choices, question_parts
from app.cloud.undo_buttons import undo_choices
from app.cloud.verdicts import Verdicts
from app.core import texts
from app.core.context import AgentContext
from app.core.contexts import Contexts
from app.core.contracts import Channel, Choice, LiveEvent, Part, SessionStore
from app.core.errors import ChatGone, DeliveryError, Flood, NotSent, StorageError, Uncertain
from app.core.events import (
    ApprovalAskedLine,
    AssistantLine,
    DeliveredLine,
    ReplyLine,
    ReplyTo,
    SendFailedLine,
    SendStartedLine,
)
from app.core.lanes import Lanes
from app.core.outbox import Outgoing

Pause = Callable[[float], Awaitable[None]]
_LONGEST_WAIT = 60.0
_MOST_REPEATS = 5  # marked copies of one part, while the channel answers to everything else
_LONG_TEXT = 10_000  # characters; splitting more would hold every other chat up


@runtime_checkable
class Reachable(Protocol):
    """A channel that can be asked whether its service answers, by something that leaves no trace there."""

    async def reachable(self) -> bool: ...


class Delivery:
    """A session's lane waits for its own chat only: a flooded or unreachable chat stops no other.

    Every send that may leave has its own `send_started` on disk before it. One that certainly did not leave is closed
    by a `send_failed`, so that a restart during the outage marks nothing as a repeat; then the channel is asked
    whether it is there again *before* the next send is announced. So an outage costs one pair of lines, not one a try.
    """

    def __init__(
        self, store: SessionStore, contexts: Contexts, channels: Mapping[str, Channel], pause: Pause = asyncio.sleep
    ) -> None:
        self._pause = pause
        self._store = store
        self._contexts = contexts
        self._channels = channels
        self._resting: dict[tuple[str, int], float] = {}  # loop time until which a flooded chat is left alone
        self._verdicts = Verdicts(store, channels)
        self.lanes = Lanes("delivery", self._work)

    def on_event(self, session_id: str, event: LiveEvent) -> None:
        if isinstance(event.line, AssistantLine | ReplyLine | ApprovalAskedLine) and event.line.reply_to:
            self.lanes.wake(session_id)
        if self._verdicts.note(session_id, event.line):
            self.lanes.wake(session_id)

    async def _work(self, session_id: str) -> None:
        await self._send_all(session_id)
        await self._verdicts.show(session_id)

    async def _send_all(self, session_id: str) -> None:
        ctx = await self._contexts.get(session_id)
        while out := ctx.outbox.next():
            channel = self._channels.get(out.reply_to.channel)
            if channel is None:
                logger.warning("{}: channel {} is off, its answers wait", session_id, out.reply_to.channel)
                return
            await self._deliver(ctx, out, channel)
            await self._store.refresh(ctx)

    async def _deliver(self, ctx: AgentContext, out: Outgoing, channel: Channel) -> None:
        parts = await _parts(channel, out)
        last = len(parts) - 1
        missing = [number for number in range(len(parts)) if number not in out.done]
        if not missing:  # begun by a version that made more parts of it
            await self._store.append(ctx.session_id, DeliveredLine(of=out.seq, part=last, parts=len(parts)))
        for number in missing:
            choices = _choices(ctx.session_id, out) if number == last else ()
            message_id, gone = await self._send(ctx, out, channel, number, parts[number], choices)
            line = DeliveredLine(of=out.seq, part=number, parts=len(parts), message_id=message_id, gone=gone)
            await self._insist(ctx.session_id, line)
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
        repeat, waits, unknown = number in out.uncertain, _waits(), 0
        while True:
            await self._rest(out.reply_to)
            await self._insist(ctx.session_id, SendStartedLine(of=out.seq, part=number))
            try:
                return await channel.send(out.reply_to, part, choices=choices, repeat=repeat), False
            except Uncertain as error:
                logger.warning("{}: send of {} may have arrived: {}", ctx.session_id, out.seq, error)
                repeat, unknown = True, unknown + 1
                if unknown > _MOST_REPEATS:
                    return None, False  # it answers, but never to this: more copies would help nobody
                await self._wait_for(channel, waits)
            except ChatGone as error:
                logger.warning("{}: the chat is gone: {}", ctx.session_id, error)
                return None, True
            except DeliveryError as error:
                logger.warning("{}: send of {} failed: {}", ctx.session_id, out.seq, error)
                await self._insist(ctx.session_id, SendFailedLine(of=out.seq, part=number))
                if isinstance(error, Flood):
                    self._resting[_chat(out.reply_to)] = asyncio.get_running_loop().time() + error.retry_after
                elif isinstance(error, NotSent):
                    await self._wait_for(channel, waits)
                elif part.payload is not None:
                    part = Part(part.text)
                else:  # refused even as plain text: nothing will change that
                    logger.error("{}: part {} of {} is refused: {}", ctx.session_id, number, out.seq, error)
                    await self._tell_refused(ctx, out)
                    return None, False

    async def _insist(self, session_id: str, line: SendStartedLine | DeliveredLine | SendFailedLine) -> None:
        """What became of a send, and that none has left yet, is known here alone until it is a line.

        So a full disk is waited for; who looked again would have to take a refused line that landed for a send.
        """
        waits = _waits()
        while True:
            try:
                await self._store.append(session_id, line)
                return
            except StorageError as error:
                logger.error("{}: {} of {} cannot be noted yet: {}", session_id, line.type, line.of, error)
                await self._pause(next(waits))

    async def _tell_refused(self, ctx: AgentContext, out: Outgoing) -> None:
        if isinstance(out.line, AssistantLine):  # not about a notice: that one may be refused as well
            await self._store.append(ctx.session_id, ReplyLine(content=texts.PART_REFUSED, reply_to=out.reply_to))

    async def _rest(self, to: ReplyTo) -> None:
        """A flood is the chat's, whichever of its topics and sessions caused it."""
        left = self._resting.get(_chat(to), 0.0) - asyncio.get_running_loop().time()
        if left > 0:
            await self._pause(left)
        else:
            self._resting.pop(_chat(to), None)

    async def _wait_for(self, channel: Channel, waits: Iterator[float]) -> None:
        await self._pause(next(waits))
        while isinstance(channel, Reachable) and not await channel.reachable():
            await self._pause(next(waits))


def _waits() -> Iterator[float]:
    """1, 2, 4… seconds, a minute at most."""
    wait = 1.0
    while True:
        yield wait
        wait = min(wait * 2, _LONGEST_WAIT)


def _chat(to: ReplyTo) -> tuple[str, int]:
    return to.channel, to.chat_id


async def _parts(channel: Channel, out: Outgoing) -> Sequence[Part]:
    if isinstance(out.line, ApprovalAskedLine):
        parts = question_parts(channel, out.text)
    elif len(out.text) > _LONG_TEXT:
        parts = await asyncio.to_thread(channel.split, out.text)
    else:
        parts = channel.split(out.text)
    return parts or [Part(texts.EMPTY_ANSWER)]


def _choices(session_id: str, out: Outgoing) -> tuple[Choice, ...]:
    if isinstance(out.line, ApprovalAskedLine):
        return question_choices(session_id, out.line)
    return undo_choices(session_id, out.line)
