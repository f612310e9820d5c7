"""TurnRunner: the work of a session's lane — every open message of one session, in order."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from loguru import logger

from app.core import texts
from app.core.approvals import Approvals
from app.core.context import AgentContext
from app.core.contexts import Contexts
from app.core.contracts import EventSink, LiveEvent, SessionStore
from app.core.errors import TurnInterrupted, TurnPostponed
from app.core.events import ReplyLine
from app.core.lanes import Lanes
from app.core.loop import AgentLoop
from app.core.pace import Pace


class TurnRunner:
    def __init__(
        self, loop: AgentLoop, store: SessionStore, contexts: Contexts, approvals: Approvals, sink: EventSink,
        pace: Pace,
    ) -> None:  # fmt: skip
        self._loop = loop
        self._store = store
        self._contexts = contexts
        self._approvals = approvals
        self._sink = sink
        self._pace = pace
        self.people = pace.people
        self._told_to_wait: set[tuple[str, int]] = set()
        self._stopping: set[str] = set()
        self.first: Callable[[str], Awaitable[None]] = _nothing  # what is done before a session's turns
        self.lanes = Lanes("turn", self._work)

    def wake(self, session_id: str) -> None:
        """Something was added to the session: an open question is looked at again, open messages are answered."""
        self._approvals.poke(session_id)
        self.lanes.wake(session_id)

    async def stop(self, session_id: str, before: int) -> bool:
        """/para, which stands in line `before`: what came later goes on. False when nothing was under way."""
        ctx = await self._contexts.get(session_id)
        if not 0 < ctx.turn < before:
            return False
        self._stopping.add(session_id)
        try:
            await self.lanes.cancel(session_id)
            await self._store.append(session_id)  # what the cancelled turn was writing is in the log first
            return await self._loop.close_turn(ctx, texts.STOPPED, before)
        finally:
            self._stopping.discard(session_id)
            self.lanes.wake(session_id)  # for a message that came meanwhile

    async def set_aside(self, ctx: AgentContext) -> None:
        """For a turn in which process after process has died."""
        await self._loop.close_turn(ctx, texts.SET_ASIDE)

    async def _work(self, session_id: str) -> None:
        if session_id in self._stopping:
            return
        await self.first(session_id)
        ctx = await self._contexts.get(session_id)
        while ctx.conversation.open:
            try:
                self._pace.check(ctx)
                await self._loop.process_message(ctx)
            except TurnInterrupted:
                return
            except TurnPostponed as pause:
                await self._tell_once(ctx, pause)
                self.lanes.wake_at(session_id, pause.until)
                return
            await self._store.refresh(ctx)

    async def _tell_once(self, ctx: AgentContext, pause: TurnPostponed) -> None:
        """The turn stays open and goes on by itself; the user hears so once."""
        logger.warning("turn {} of {} postponed: {}", ctx.turn, ctx.session_id, pause)
        self._sink.publish(ctx.session_id, LiveEvent("status", texts.postponed(pause.until)))
        if (ctx.session_id, ctx.turn) not in self._told_to_wait:
            self._told_to_wait.add((ctx.session_id, ctx.turn))
            notice = ReplyLine(turn=ctx.turn, content=texts.postponed_notice(str(pause)), reply_to=ctx.reply_to)
            await self._store.append(ctx.session_id, notice)


async def _nothing(_: str) -> None:
    pass
