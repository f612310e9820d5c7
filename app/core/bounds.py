"""How far one turn may go: model calls, tool calls, money, time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.core import texts
from app.core.messages import ToolCall
from app.core.turn import Turn

if TYPE_CHECKING:
    from app.config import Settings


@dataclass(frozen=True, slots=True)
class Bounds:
    """`seconds` of work (waiting for the user's decisions does not count); `usd` 0: no limit of its own."""

    steps: int
    calls: int
    usd: float
    seconds: float

    @classmethod
    def of(cls, settings: Settings) -> Bounds:
        return cls(
            settings.turn_max_steps, settings.turn_max_tool_calls, settings.turn_budget_usd, settings.turn_seconds
        )

    def reached(self, turn: Turn) -> bool:
        """The next reply is a summary without tools."""
        used = turn.ctx.conversation.spending
        return used.steps >= self.steps or used.calls >= self.calls or 0 < self.usd <= used.usd or turn.overdue

    def refusal(self, turn: Turn, call: ToolCall) -> str:
        """Why this call of the open step may not begin; '' when it may."""
        step = turn.ctx.conversation.step
        if turn.overdue:
            return texts.out_of_time(self.seconds)
        if step is None or call not in step.calls:
            return ""
        before = turn.ctx.conversation.spending.calls - len(step.calls)
        return texts.too_many_calls(self.calls) if before + step.calls.index(call) >= self.calls else ""
