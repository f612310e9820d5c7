"""AgentContext: everything a turn knows about its session, folded from the session log."""

from __future__ import annotations

import re
from collections.abc import Iterable

from app.core import texts
from app.core.conversation import Conversation
from app.core.errors import SessionError
from app.core.events import (
    ApprovalAskedLine,
    ApprovalGivenLine,
    AssistantLine,
    CommandLine,
    Line,
    ProjectLine,
    ReplyLine,
    ReplyTo,
    ResumedLine,
    RetryLine,
    SummaryLine,
    ToolResultLine,
    ToolStartedLine,
    UserLine,
)
from app.core.messages import Message, Role
from app.core.outbox import Outbox

SESSION_ID = re.compile(r"[a-z0-9_-]{1,80}")


_PROGRESS = (
    AssistantLine, ToolStartedLine, ToolResultLine, ApprovalAskedLine, ApprovalGivenLine, RetryLine, SummaryLine,
)  # fmt: skip


def check_session_id(session_id: str) -> str:
    """Raises SessionError: the id becomes a file name."""
    if not SESSION_ID.fullmatch(session_id):
        raise SessionError(texts.bad_session_id(session_id))
    return session_id


def chat_of(session_id: str) -> str:
    """telegram_42_3 → telegram_42: the chat that owns a session and its successors."""
    return "_".join(session_id.split("_")[:2])


class AgentContext:
    """The state that travels. `seq` is the last log line applied; messages added since are unsaved.

    A context made from an id alone takes its channel and user from it: telegram_42_3 → telegram, 42.
    """

    def __init__(self, session_id: str, user_id: str | int = "", channel: str = "") -> None:
        self.session_id = check_session_id(session_id)
        id_channel, _, rest = session_id.partition("_")
        self.channel = channel or id_channel
        self.user_id = str(user_id) or rest.partition("_")[0]
        self._unsaved: list[Message] = []
        self.restart()

    def restart(self) -> None:
        """Back to the beginning of the log; unsaved messages stay."""
        self.seq = 0
        self.conversation = Conversation()
        self.outbox = Outbox()
        self.commands: dict[int, CommandLine] = {}
        self.questions: dict[int, ApprovalAskedLine] = {}
        self.why_not: dict[int, str] = {}  # questions whose refusal somebody (a user id) is about to explain
        self.project = ""
        self.deaths = 0  # of processes, one after the other, in the open step
        self._decisions: dict[tuple[str, str, str], ApprovalGivenLine] = {}

    @property
    def messages(self) -> list[Message]:
        """In the order a model sees them, unsaved ones last."""
        return [*self.conversation.messages, *self._unsaved]

    @property
    def turn(self) -> int:
        """The first open user line names the turn; 0 when nothing is open."""
        return min(self.conversation.open, default=0)

    @property
    def has_work(self) -> bool:
        return bool(self.conversation.open or self._unsaved)

    @property
    def is_busy(self) -> bool:
        """Something in the log waits for somebody: an answer, a delivery, a decision."""
        return bool(self.has_work or self.outbox.pending or self.commands or self.questions)

    @property
    def reply_to(self) -> ReplyTo | None:
        """Where the answer to the open user lines goes: to the last of them that names a chat."""
        places = [line.reply_to for line in self.conversation.open.values() if line.reply_to]
        return places[-1] if places else None

    def add_message(self, role: Role, content: str) -> None:
        """The message is durable once save_session() or process_message() has returned."""
        self._unsaved.append(Message(role=role, content=content))

    def unsaved_lines(self, after: int) -> list[Line]:
        """The lines that the log lacks, to be numbered on from `after`; an answer covers what stands before it.

        The caller appends them, then saved().

        Raises SessionError for a role that nobody may add by hand.
        """
        lines: list[Line] = []
        for seq, message in enumerate(self._unsaved, after + 1):
            if message.role == "user":
                lines.append(UserLine(content=message.content, user_id=self.user_id))
            elif message.role == "assistant":
                lines.append(AssistantLine(content=message.content, covers=seq - 1, final=True))
            else:
                raise SessionError(texts.bad_role(message.role))
        return lines

    def saved(self, count: int) -> None:
        """The first `count` unsaved messages are in the log now."""
        del self._unsaved[:count]

    def decision(self, call_id: str, kind: str, bound_to: str) -> ApprovalGivenLine | None:
        """The decision on exactly this call of the open step, that no start has used up yet."""
        return self._decisions.get((call_id, kind, bound_to))

    def question(self, call_id: str, kind: str) -> ApprovalAskedLine | None:
        return next((q for q in self.questions.values() if (q.call_id, q.kind) == (call_id, kind)), None)

    def apply(self, *lines: Line) -> None:
        """Lines already applied are passed over, so that overlapping reads are harmless."""
        for line in lines:
            if line.seq > self.seq:
                self.seq = line.seq
                self._apply(line)

    def _apply(self, line: Line) -> None:
        self.conversation.apply(line)
        self.outbox.apply(line)
        if isinstance(line, ResumedLine):
            self.deaths = 0 if line.clean else self.deaths + 1
        elif isinstance(line, _PROGRESS):
            self.deaths = 0
        match line:
            case CommandLine():
                self.commands[line.seq] = line
            case ReplyLine():
                self.commands.pop(line.to, None)
                if line.why_not in self.questions:
                    self.why_not[line.why_not] = line.by
            case ApprovalAskedLine():
                self.questions[line.seq] = line
            case ApprovalGivenLine():
                asked = self.questions.pop(line.asked, None)
                self.why_not.pop(line.asked, None)
                if asked and (asked.kind, line.decision) != ("pay", "skipped"):  # that is asked again in the new light
                    self._decisions[(line.call_id, asked.kind, asked.digest)] = line
            case ToolStartedLine():
                self._decisions = {k: d for k, d in self._decisions.items() if k[0] != line.call_id}
            case AssistantLine():
                self._decisions = {k: d for k, d in self._decisions.items() if k[1] == "pay" and not line.final}
                self.questions, self.why_not = {}, {}
            case ProjectLine():
                self.project = line.path
            case SummaryLine():
                self.project = line.project or self.project
            case _:
                pass

    def to_dict(self) -> dict[str, object]:
        return {
            "session_id": self.session_id,
            "user_id": self.user_id,
            "channel": self.channel,
            "project": self.project,
            "messages": [m.model_dump(mode="json", exclude_defaults=True) | {"role": m.role} for m in self.messages],
        }


def fold(session_id: str, lines: Iterable[Line]) -> AgentContext:
    ctx = AgentContext(session_id)
    ctx.apply(*lines)
    return ctx
