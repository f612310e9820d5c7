"""The part of the fold that must reach a chat: answers, questions and the program's own words, in order."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from app.core.events import (
    ApprovalAskedLine,
    ApprovalGivenLine,
    AssistantLine,
    DeliveredLine,
    Line,
    ReplyLine,
    ReplyTo,
    SendFailedLine,
    SendStartedLine,
)


@dataclass
class Outgoing:
    """`in_flight`: how many sends of each part left the process without a line that tells their outcome.

    They are counted, because a later send that failed for certain says nothing about an earlier one.
    """

    line: AssistantLine | ReplyLine | ApprovalAskedLine
    reply_to: ReplyTo
    done: set[int] = field(default_factory=set[int])
    in_flight: Counter[int] = field(default_factory=Counter[int])
    message_ids: list[int] = field(default_factory=list[int])

    @property
    def seq(self) -> int:
        return self.line.seq

    @property
    def text(self) -> str:
        return self.line.question if isinstance(self.line, ApprovalAskedLine) else self.line.content

    @property
    def uncertain(self) -> set[int]:
        """The parts that may have arrived: sent again only as a marked repeat."""
        return {part for part, sends in self.in_flight.items() if sends > 0}


class Outbox:
    def __init__(self) -> None:
        self.pending: dict[int, Outgoing] = {}

    def next(self) -> Outgoing | None:
        return next(iter(self.pending.values()), None)

    def apply(self, line: Line) -> None:
        if isinstance(line, AssistantLine):
            self._drop_questions()
        match line:
            case (
                AssistantLine(final=True, reply_to=ReplyTo())
                | ReplyLine(reply_to=ReplyTo())
                | ApprovalAskedLine(reply_to=ReplyTo())
            ):
                assert line.reply_to is not None
                self.pending[line.seq] = Outgoing(line, line.reply_to)
            case SendStartedLine() if out := self.pending.get(line.of):
                out.in_flight[line.part] += 1
            case SendFailedLine() if out := self.pending.get(line.of):
                out.in_flight[line.part] -= 1
            case DeliveredLine() if out := self.pending.get(line.of):
                self._delivered(out, line)
            case ApprovalGivenLine() if (out := self.pending.get(line.asked)) and not out.uncertain:
                del self.pending[line.asked]  # nobody needs a question that is already answered
            case _:
                pass

    def _drop_questions(self) -> None:
        """The turn has gone on: a question that never left is of no use to anybody."""
        unsent = [out for out in self.pending.values() if isinstance(out.line, ApprovalAskedLine) and not out.uncertain]
        for out in unsent:
            if not out.done:
                del self.pending[out.seq]

    def _delivered(self, out: Outgoing, line: DeliveredLine) -> None:
        out.done.add(line.part)
        del out.in_flight[line.part]  # a Counter forgives
        if line.message_id is not None:
            out.message_ids.append(line.message_id)
        if line.gone or len(out.done) >= line.parts:
            del self.pending[out.seq]
