"""The part of the fold that must reach a chat: answers, questions and the program's own words, in order."""

from __future__ import annotations

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
    """`uncertain` parts left the process in a send whose outcome no line tells."""

    line: AssistantLine | ReplyLine | ApprovalAskedLine
    reply_to: ReplyTo
    done: set[int] = field(default_factory=set[int])
    uncertain: set[int] = field(default_factory=set[int])
    message_ids: list[int] = field(default_factory=list[int])

    @property
    def seq(self) -> int:
        return self.line.seq

    @property
    def text(self) -> str:
        return self.line.question if isinstance(self.line, ApprovalAskedLine) else self.line.content


class Outbox:
    def __init__(self) -> None:
        self.pending: dict[int, Outgoing] = {}

    def next(self) -> Outgoing | None:
        return next(iter(self.pending.values()), None)

    def apply(self, line: Line) -> None:
        match line:
            case (
                AssistantLine(final=True, reply_to=ReplyTo())
                | ReplyLine(reply_to=ReplyTo())
                | ApprovalAskedLine(reply_to=ReplyTo())
            ):
                assert line.reply_to is not None
                self.pending[line.seq] = Outgoing(line, line.reply_to)
            case SendStartedLine() if out := self.pending.get(line.of):
                out.uncertain.add(line.part)
            case SendFailedLine() if out := self.pending.get(line.of):
                out.uncertain.discard(line.part)
            case DeliveredLine() if out := self.pending.get(line.of):
                self._delivered(out, line)
            case ApprovalGivenLine() if (out := self.pending.get(line.asked)) and not out.uncertain:
                del self.pending[line.asked]  # nobody needs a question that is already answered
            case _:
                pass

    def _delivered(self, out: Outgoing, line: DeliveredLine) -> None:
        out.done.add(line.part)
        out.uncertain.discard(line.part)
        if line.message_id is not None:
            out.message_ids.append(line.message_id)
        if line.gone or len(out.done) >= line.parts:
            del self.pending[out.seq]
