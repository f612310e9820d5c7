"""Asking the user: when, what exactly, and what he decided. A question is a log line, so it survives restarts."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from app.core import texts_asking as texts
from app.core.context import AgentContext
from app.core.contexts import Contexts
from app.core.contracts import SessionStore
from app.core.errors import TurnInterrupted
from app.core.events import ApprovalAskedLine, ApprovalGivenLine, ReplyLine
from app.core.permissions import Permissions, Rule
from app.core.toolkit import Risk, canonical

Policy = Literal["siempre", "riesgo", "nunca"]
Decision = Literal["allow", "deny", "skipped", "expired"]
Kind = Literal["run", "repeat", "pay"]
PROGRAM = "program"  # decides what nobody does


@dataclass(frozen=True, slots=True)
class Question:
    """`bound_to`: what exactly a yes is for. `rule`: what "siempre" would permit for good; None: not offered."""

    call_id: str
    kind: Kind
    text: str
    bound_to: str
    rule: Rule | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """`by`: a user's id. `key` tells a repeated delivery, `chat_id` where a button was pressed."""

    decision: Decision
    by: str
    key: str | None = None
    chat_id: int | None = None
    always: bool = False
    reason: str = ""


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
    """`minutes`: how long a question stays open. `attended`: somebody can see it; nobody in a loop used alone.

    `permissions` take what is answered with "siempre".
    """

    def __init__(
        self,
        store: SessionStore,
        contexts: Contexts,
        minutes: float,
        permissions: Permissions,
        *,
        attended: bool = True,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.attended = attended
        self._store = store
        self._contexts = contexts
        self._seconds = minutes * 60
        self._clock = clock
        self._permissions = permissions
        self._changed: dict[str, asyncio.Event] = {}
        self._deciding = asyncio.Lock()
        self._leaving = False

    async def ask(self, ctx: AgentContext, question: Question) -> Answer:
        """Waits for a decision, an expiry or a newer message, whichever is first; the wait holds nothing else up."""
        changed = self._changed.setdefault(ctx.session_id, asyncio.Event())
        while True:
            if self._leaving:
                raise TurnInterrupted
            changed.clear()
            await self._store.refresh(ctx)
            if given := ctx.decision(question.call_id, question.kind, question.bound_to):
                return Answer(given.decision, given.by, reason=given.reason)
            asked = ctx.question(question.call_id, question.kind)
            newer = _has_written(ctx, question.kind, asked)
            if asked is None:
                if newer:
                    return Answer("skipped", PROGRAM)
                await self._ask(ctx, question)
                continue
            left = asked.expires - self._clock()
            if newer or left <= 0 or asked.digest != question.bound_to:
                verdict = Answer("skipped" if newer else "expired", PROGRAM)
                await self._give(ctx.session_id, asked, verdict)
                if asked.digest == question.bound_to:
                    return verdict
                continue
            try:
                async with asyncio.timeout(left):
                    await changed.wait()
            except TimeoutError:
                continue

    async def decide(self, session_id: str, asked: int, answer: Answer) -> bool:
        """False when the question is gone: answered, expired, never asked, or not in that chat. The first one wins.

        The same press once more is as good as the first. What is permitted for good is on disk before the line.
        """
        async with self._deciding:
            question = (await self._contexts.get(session_id)).questions.get(asked)
            if question is None or question.expires <= self._clock():
                return answer.key is not None and await self._given(session_id, asked, answer)
            if not _was_asked_in(question, answer.chat_id) or (answer.always and question.rule is None):
                return False
            if answer.always and question.rule:
                await self._permissions.add(question.rule, answer.by)
            await self._give(session_id, question, answer)
            return True

    async def ask_why(self, session_id: str, asked: int, by: str, chat_id: int | None) -> bool:
        """He refuses and wants to say why: his next message is the reason, and the refusal. False: it is gone.

        Nothing is decided until then. Who thinks better of it still presses another button; a message that comes
        when the question is closed already is a message like any other.
        """
        async with self._deciding:
            ctx = await self._contexts.get(session_id)
            question = ctx.questions.get(asked)
            if question is None or question.expires <= self._clock() or not _was_asked_in(question, chat_id):
                return False
            if ctx.why_not.get(asked) != by:
                notice = ReplyLine(content=texts.TELL_WHY, reply_to=question.reply_to, why_not=asked, by=by)
                await self._store.append(session_id, notice)
            return True

    async def explained(self, session_id: str, by: str, reason: str, key: str | None) -> bool:
        """Whether a message of `by` was the reason that he owed: then it is in the log, as his refusal."""
        owed = (await self._contexts.get(session_id)).why_not
        asked = next((asked for asked, who in owed.items() if who == by), None)
        return asked is not None and await self.decide(session_id, asked, Answer("deny", by, key, reason=reason))

    async def permitted(self, ctx: AgentContext, call_id: str, kind: Kind) -> None:
        """A question that a permission has answered meanwhile is closed."""
        await self._store.refresh(ctx)
        if asked := ctx.question(call_id, kind):
            await self._give(ctx.session_id, asked, Answer("allow", PROGRAM, always=True))

    def leave(self) -> None:
        """Nobody waits any longer; the questions stay open in the log."""
        self._leaving = True
        for changed in self._changed.values():
            changed.set()

    def poke(self, session_id: str) -> None:
        """Something was added to the session: whoever waits there looks again."""
        if changed := self._changed.get(session_id):
            changed.set()

    async def _ask(self, ctx: AgentContext, question: Question) -> None:
        line = ApprovalAskedLine(
            turn=ctx.turn,
            call_id=question.call_id,
            kind=question.kind,
            question=question.text,
            digest=question.bound_to,
            user_id=ctx.user_id,
            expires=self._clock() + self._seconds,
            reply_to=ctx.reply_to,
            rule=question.rule,
        )
        await self._store.append(ctx.session_id, line)

    async def _given(self, session_id: str, asked: int, answer: Answer) -> bool:
        wanted = (asked, answer.decision, answer.by)
        return any(
            isinstance(line, ApprovalGivenLine) and (line.asked, line.decision, line.by) == wanted
            for line in await self._store.read_lines(session_id, after=asked)
        )

    async def _give(self, session_id: str, asked: ApprovalAskedLine, answer: Answer) -> None:
        given = ApprovalGivenLine(
            turn=asked.turn,
            asked=asked.seq,
            call_id=asked.call_id,
            decision=answer.decision,
            by=answer.by,
            key=answer.key,
            always=answer.always,
            reason=answer.reason,
        )
        await self._store.append(session_id, given)
        self.poke(session_id)


def _was_asked_in(question: ApprovalAskedLine, chat_id: int | None) -> bool:
    """Whether it stands in that chat; a browser (None) sees all of them."""
    return chat_id is None or (question.reply_to is not None and question.reply_to.chat_id == chat_id)


def _has_written(ctx: AgentContext, kind: Kind, asked: ApprovalAskedLine | None) -> bool:
    """The user has said something else meanwhile: since the model asked for the call, or since the question."""
    if kind == "run":
        return ctx.conversation.has_unseen
    return asked is not None and any(seq > asked.seq for seq in ctx.conversation.open)
