"""What happens to a call that could not be undone: the user is asked, once in a turn, or at least told."""

from __future__ import annotations

import time

from app.core import texts, texts_undo
from app.core.approvals import Approvals, Policy, Question, digest
from app.core.contracts import SessionStore
from app.core.errors import ToolError
from app.core.events import ReplyLine
from app.core.gates import Invocation


class WithoutPoint:
    def __init__(self, approvals: Approvals, policy: Policy, store: SessionStore) -> None:
        self._approvals = approvals
        self._policy = policy
        self._store = store

    async def ask(self, invocation: Invocation, reason: str) -> None:
        """Returns when the call may go on. With APPROVALS=nunca it does, and says so. Raises ToolError."""
        turn = invocation.turn
        if turn is None or not self._approvals.attended or turn.goes_on_without_undo:
            return
        if self._policy == "nunca":
            turn.goes_on_without_undo = True
            notice = texts_undo.without_point(reason)
            await self._store.append(turn.ctx.session_id, ReplyLine(content=notice, reply_to=turn.ctx.reply_to))
            return
        call, began = invocation.call, time.monotonic()
        bound_to = digest("undo", call.arguments, call.id)
        question = Question(f"{call.id}-undo", "run", texts_undo.ask_without_point(reason), bound_to)
        answer = await self._approvals.ask(turn.ctx, question)
        turn.waited += time.monotonic() - began
        if answer.decision != "allow":
            raise ToolError(texts.not_allowed(answer.decision, answer.reason))
        turn.goes_on_without_undo = True
