"""Paid models are asked for: Claude costs money, so the owner decides once a turn."""

from __future__ import annotations

from app.core import texts
from app.core.approvals import Approvals, Question, digest
from app.core.errors import Steered
from app.core.roles import Role
from app.core.turn import Turn


async def may_pay(approvals: Approvals, turn: Turn | None, provider: str) -> bool:
    """Nobody is asked in the name of a guest. Raises Steered when the user writes instead of answering."""
    owner = turn is not None and (turn.standing is None or turn.standing.role is Role.OWNER)
    if turn is None or not owner or not approvals.attended:
        return False
    bound_to = digest("pay", provider, str(turn.ctx.turn))
    question = Question(f"pay-{provider}-{turn.ctx.turn}", "pay", texts.pay_question(provider), bound_to)
    answer = await approvals.ask(turn.ctx, question)
    if answer.decision == "skipped":
        raise Steered
    return answer.decision == "allow"
