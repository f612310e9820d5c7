"""Asking the user: when, what exactly, and what he decided. A question is a log line, so it survives restarts."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable
from typing import Literal

from app.core.context import AgentContext
from app.core.contexts import Contexts
from app.core.contracts import SessionStore
from app.core.errors import TurnInterrupted
from app.core.events import ApprovalAskedLine, ApprovalGivenLine
from app.core.toolkit import Risk, canonical

Policy = Literal["siempre", "riesgo", "nunca"]
Decision = Literal["allow", "deny", "skipped", "expired"]
Kind = Literal["run", "repeat", "pay"]


def asks(risk: Risk, policy: Policy, *, confined: bool) -> bool:
    """Whether a call of this risk needs a yes. A command asks as long as nothing confines it."""
    if policy == "nunca" or risk is Risk.READ:
        return False
    if policy == "siempre":
        return True
    return risk in {Risk.DESTRUCTIVE, Risk.NETWORK, Risk.OUTSIDE} or (risk is Risk.EXECUTE and not confined)


def digest(name: str, arguments: str, folder: str) -> str:
    """Binds a yes to exactly this call in exactly this folder."""
    return hashlib.sha256("\0".join((name, canonical(arguments), folder)).encode()).hexdigest()[:32]


class Approvals:
    """`minutes`: how long a question stays open. `attended`: somebody can see it; nobody in a loop used alone."""

    def __init__(
        self,
        store: SessionStore,
        contexts: Contexts,
        minutes: float,
        *,
        attended: bool = True,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.attended = attended
        self._store = store
        self._contexts = contexts
        self._seconds = minutes * 60
        self._clock = clock
        self._changed: dict[str, asyncio.Event] = {}
        self._deciding = asyncio.Lock()
        self._leaving = False

    async def ask(self, ctx: AgentContext, call_id: str, kind: Kind, question: str, bound_to: str) -> Decision:
        """Waits for a decision, an expiry or a newer message, whichever is first; the wait holds nothing else up."""
        changed = self._changed.setdefault(ctx.session_id, asyncio.Event())
        while True:
            if self._leaving:
                raise TurnInterrupted
            changed.clear()
            await self._store.refresh(ctx)
            if given := ctx.decision(call_id, kind, bound_to):
                return given.decision
            asked = ctx.question(call_id, kind)
            newer = _has_written(ctx, kind, asked)
            if asked is None:
                if newer:
                    return "skipped"
                await self._ask(ctx, call_id, kind, question, bound_to)
                continue
            left = asked.expires - self._clock()
            if newer or left <= 0 or asked.digest != bound_to:
                verdict: Decision = "skipped" if newer else "expired"
                await self._give(ctx.session_id, asked, verdict, "program")
                if asked.digest == bound_to:
                    return verdict
                continue
            try:
                async with asyncio.timeout(left):
                    await changed.wait()
            except TimeoutError:
                continue

    async def decide(
        self,
        session_id: str,
        asked: int,
        decision: Decision,
        by: str,
        key: str | None = None,
        chat_id: int | None = None,
    ) -> bool:
        """False when the question is gone: answered, expired, never asked, or not in that chat. The first one wins.

        `chat_id`: where a button was pressed. The same press once more is as good as the first.
        """
        async with self._deciding:
            question = (await self._contexts.get(session_id)).questions.get(asked)
            if question is None or question.expires <= self._clock():
                return key is not None and await self._given(session_id, asked, decision, by)
            if chat_id is not None and (question.reply_to is None or question.reply_to.chat_id != chat_id):
                return False
            await self._give(session_id, question, decision, by, key)
            return True

    def leave(self) -> None:
        """Nobody waits any longer; the questions stay open in the log."""
        self._leaving = True
        for changed in self._changed.values():
            changed.set()

    def poke(self, session_id: str) -> None:
        """Something was added to the session: whoever waits there looks again."""
        if changed := self._changed.get(session_id):
            changed.set()

    async def _ask(self, ctx: AgentContext, call_id: str, kind: Kind, question: str, bound_to: str) -> None:
        line = ApprovalAskedLine(
            turn=ctx.turn,
            call_id=call_id,
            kind=kind,
            question=question,
            digest=bound_to,
            user_id=ctx.user_id,
            expires=self._clock() + self._seconds,
            reply_to=ctx.reply_to,
        )
        await self._store.append(ctx.session_id, line)

    async def _given(self, session_id: str, asked: int, decision: Decision, by: str) -> bool:
        return any(
            isinstance(line, ApprovalGivenLine) and (line.asked, line.decision, line.by) == (asked, decision, by)
            for line in await self._store.read_lines(session_id, after=asked)
        )

    async def _give(
        self, session_id: str, asked: ApprovalAskedLine, decision: Decision, by: str, key: str | None = None
    ) -> None:
        given = ApprovalGivenLine(
            turn=asked.turn, asked=asked.seq, call_id=asked.call_id, decision=decision, by=by, key=key
        )
        await self._store.append(session_id, given)
        self.poke(session_id)


def _has_written(ctx: AgentContext, kind: Kind, asked: ApprovalAskedLine | None) -> bool:
    """The user has said something else meanwhile: since the model asked for the call, or since the question."""
    if kind == "run":
        return ctx.conversation.has_unseen
    return asked is not None and any(seq > asked.seq for seq in ctx.conversation.open)
