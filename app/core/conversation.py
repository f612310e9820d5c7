"""The part of the fold that a model sees: messages in prompt order, the open step, what is still unanswered."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from app.core import texts, texts_taint
from app.core.events import (
    AssistantLine,
    Line,
    RetryLine,
    SummaryLine,
    ToolResultLine,
    ToolStartedLine,
    UsageLine,
    UserLine,
)
from app.core.messages import Message, ToolCall


@dataclass
class Step:
    """The tool calls of the last reply. A call that started and has no result died with its process: uncertain."""

    calls: tuple[ToolCall, ...]
    seq: int = 0  # of the reply
    started: set[str] = field(default_factory=set[str])
    results: dict[str, Message] = field(default_factory=dict[str, Message])

    def unfinished(self) -> list[ToolCall]:
        return [call for call in self.calls if call.id not in self.results]


@dataclass
class Spending:
    """What the open turn has used so far, over restarts too."""

    steps: int = 0
    calls: int = 0
    usd: float = 0.0


class Conversation:
    """Apply lines in order; a user line placed in no prompt yet waits behind the results of the open step."""

    def __init__(self) -> None:
        self.summary = ""
        self.summary_untrusted = ""
        self.step: Step | None = None
        self.open: dict[int, UserLine] = {}
        self.spending = Spending()
        self.last_answer = ""
        self.retried_by = 0  # seq of the last /reintentar that had an effect
        self._placed: list[Message] = []
        self._waiting: list[Message] = []
        self._failed: dict[int, UserLine] = {}

    @property
    def messages(self) -> list[Message]:
        content, untrusted = texts.summary_message(self.summary), self.summary_untrusted
        head = [Message(role="user", content=content, untrusted=untrusted)] if self.summary else []
        results = [self.step.results[c.id] for c in self.step.calls if c.id in self.step.results] if self.step else []
        return [*head, *self._placed, *results, *self._waiting]

    @property
    def placed(self) -> list[Message]:
        """The messages that a model has already seen: what a summary may replace."""
        return self._placed

    @property
    def untrusted(self) -> str:
        """Where text in the window comes from that is not the owner's; '' when all of it is."""
        return origins_of(self.messages)

    @property
    def has_unseen(self) -> bool:
        """The user has written since the last prompt."""
        return bool(self._waiting)

    @property
    def last_user_seq(self) -> int:
        """What the next model call will cover."""
        return max(self.open, default=0)

    @property
    def can_retry(self) -> bool:
        return bool(self._failed)

    def apply(self, line: Line) -> None:
        match line:
            case UserLine():
                self.open[line.seq] = line
                self._waiting.append(
                    Message(role="user", content=line.content, seq=line.seq, ts=line.ts, untrusted=line.untrusted)
                )
            case AssistantLine():
                self._apply_assistant(line)
            case ToolStartedLine() if self.step:
                self.step.started.add(line.call_id)
            case ToolResultLine() if self.step:
                self._apply_result(self.step, line)
            case SummaryLine():
                self.spending.usd += line.usage.usd
                self.summary, self.summary_untrusted = line.content, line.untrusted
                self._placed = [m for m in self._placed if m.seq > line.upto]
            case RetryLine():
                self.open = self._failed | self.open
                self.retried_by = line.to
                self._failed = {}
            case UsageLine():
                self.spending.usd += line.usage.usd
            case _:
                pass

    def _apply_assistant(self, line: AssistantLine) -> None:
        self._close_step()
        if line.failed:
            self._failed = {seq: user for seq, user in self.open.items() if seq <= line.covers}
        else:
            self._place_waiting(line.covers)
            self._placed.append(
                Message(
                    role="assistant",
                    content=line.content,
                    tool_calls=line.tool_calls,
                    native=line.native,
                    seq=line.seq,
                )
            )
            self.step = Step(line.tool_calls, line.seq) if line.tool_calls else None
        self.spending.steps += 1
        self.spending.calls += len(line.tool_calls)
        self.spending.usd += line.usage.usd
        if line.final:
            self.last_answer = line.content
            self.spending = Spending()
            self.open = {seq: user for seq, user in self.open.items() if seq > line.covers}
            self._failed = self._failed if line.failed else {}

    def _apply_result(self, step: Step, line: ToolResultLine) -> None:
        if line.call_id not in {call.id for call in step.calls}:
            return
        step.results.setdefault(
            line.call_id,
            Message(
                role="tool",
                content=line.content,
                tool_call_id=line.call_id,
                is_error=line.is_error,
                seq=line.seq,
                untrusted=line.untrusted,
            ),
        )
        if not step.unfinished():
            self._close_step()

    def _close_step(self) -> None:
        """A call whose result line was lost (a corrupt byte) gets one: providers refuse a call without result."""
        if self.step is None:
            return
        for call in self.step.calls:
            lost = Message(
                role="tool", content=texts.LOST_RESULT, tool_call_id=call.id, is_error=True, seq=self.step.seq
            )
            self._placed.append(self.step.results.get(call.id, lost))
        self.step = None

    def _place_waiting(self, covers: int) -> None:
        self._placed += [m for m in self._waiting if m.seq <= covers]
        self._waiting = [m for m in self._waiting if m.seq > covers]


def origins_of(messages: Iterable[Message]) -> str:
    """What a model says about text from outside comes from there too: one such message marks them all."""
    return texts_taint.origins(list(dict.fromkeys(filter(None, (m.untrusted for m in messages)))))
