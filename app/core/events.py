"""The lines of a session log: what a crash must not lose, one JSON object a line, each written before its effect.

Every line has `v` (format version), `seq` (1, 2, 3… in its session), `ts` (UNIX seconds) and `turn` (its first
user line's seq, 0 outside a turn). A line of a later version or an unknown type is kept and skipped.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_core import to_json

from app.core.messages import NativeBlocks, ToolCall, Usage
from app.core.permissions import Rule

VERSION = 1


class ReplyTo(BaseModel):
    """Where an answer goes. None in a line means: to whoever reads the log (browser, API, library)."""

    model_config = ConfigDict(frozen=True)

    channel: str
    chat_id: int
    message_id: int | None = None
    thread_id: int | None = None


class BaseLine(BaseModel):
    model_config = ConfigDict(frozen=True)

    v: int = VERSION
    seq: int = 0
    ts: float = 0.0
    turn: int = 0


class UserLine(BaseLine):
    """`key` tells a repeated delivery of the same message (update id, idempotency key).

    `wording`: a digest of what its sender wrote; another one in an edit of the message means that he changed it.
    `untrusted`: whose words are in it, when they are not the owner's.
    """

    type: Literal["user"] = "user"
    role: Literal["user"] = "user"
    content: str
    user_id: str = ""
    reply_to: ReplyTo | None = None
    key: str | None = None
    wording: str = ""
    untrusted: str = ""


class CommandLine(BaseLine):
    """/estado, /nuevo…: open until a ReplyLine answers it. `name` has no slash."""

    type: Literal["command"] = "command"
    name: str
    argument: str = ""
    user_id: str = ""
    reply_to: ReplyTo | None = None
    key: str | None = None


class UndoOffer(BaseModel):
    """Buttons below a line. `kind` look: shows what would be undone; undo, redo: does it.

    `point`: which state comes back. `seen`: a digest of the changes that were shown. `files`: how many changed.
    `redo`: what comes back is what was undone.
    """

    model_config = ConfigDict(frozen=True)

    kind: Literal["look", "undo", "redo"]
    point: str
    seen: str = ""
    files: int = 0
    redo: bool = False


@dataclass(frozen=True, slots=True)
class Said:
    """A command's answer that has buttons."""

    text: str
    undo: UndoOffer | None = None


class ReplyLine(BaseLine):
    """The program's own word: the answer to command `to`, or a notice (`to` = 0).

    `why_not`: the question whose refusal `by` will give a reason for, in his next message.
    """

    type: Literal["reply"] = "reply"
    content: str
    to: int = 0
    reply_to: ReplyTo | None = None
    undo: UndoOffer | None = None
    why_not: int = 0
    by: str = ""


class AssistantLine(BaseLine):
    """One model reply. `covers`: seq of the last user line in its prompt.

    `final` closes the user lines up to `covers`. `failed`: the program answers in the model's place; the
    user lines stay in the conversation and /reintentar opens them again.
    """

    type: Literal["assistant"] = "assistant"
    role: Literal["assistant"] = "assistant"
    content: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    covers: int = 0
    final: bool = False
    failed: bool = False
    reply_to: ReplyTo | None = None
    provider: str = ""
    model: str = ""
    usage: Usage = Usage()
    stop_reason: str = "stop"
    native: NativeBlocks | None = None
    undo: UndoOffer | None = None


class ToolStartedLine(BaseLine):
    type: Literal["tool_started"] = "tool_started"
    call_id: str
    name: str


class ToolResultLine(BaseLine):
    """`untrusted`: where its content comes from, when that is outside."""

    type: Literal["tool_result"] = "tool_result"
    role: Literal["tool"] = "tool"
    call_id: str
    name: str
    content: str
    is_error: bool = False
    ms: int = 0
    untrusted: str = ""


class ApprovalAskedLine(BaseLine):
    """`kind`: run a risky call, repeat an uncertain one, or pay for a model. `digest` binds the exact call.

    `rule`: what "siempre" would permit for good; None: that is not offered.
    """

    type: Literal["approval_asked"] = "approval_asked"
    call_id: str
    kind: Literal["run", "repeat", "pay"] = "run"
    question: str
    digest: str
    user_id: str = ""
    expires: float
    reply_to: ReplyTo | None = None
    rule: Rule | None = None


class ApprovalGivenLine(BaseLine):
    """`asked` is the seq of the question; `by` who decided (a user id, or 'program'). `reason`: of a refusal."""

    type: Literal["approval_given"] = "approval_given"
    asked: int
    call_id: str
    decision: Literal["allow", "deny", "skipped", "expired"]
    by: str = ""
    key: str | None = None
    always: bool = False
    reason: str = ""


class SendStartedLine(BaseLine):
    """A lasting send of part `part` of line `of` is about to leave. `edit`: id of the message it rewrites."""

    type: Literal["send_started"] = "send_started"
    of: int
    part: int
    edit: int | None = None


class SendFailedLine(BaseLine):
    """The send announced last is certain not to have arrived: it is simply tried again."""

    type: Literal["send_failed"] = "send_failed"
    of: int
    part: int


class DeliveredLine(BaseLine):
    """Part `part` (0-based) of `parts` of line `of` is out. `gone`: the chat no longer exists, the rest stays."""

    type: Literal["delivered"] = "delivered"
    of: int
    part: int
    parts: int
    message_id: int | None = None
    gone: bool = False


class SummaryLine(BaseLine):
    """Stands in the prompt for every message up to seq `upto`; carries what older lines alone would tell.

    `untrusted`: what was not the owner's among that.
    """

    type: Literal["summary"] = "summary"
    content: str
    upto: int
    project: str = ""
    untrusted: str = ""
    usage: Usage = Usage()
    provider: str = ""
    model: str = ""


class RetryLine(BaseLine):
    """Opens the user lines of the last failed answer again."""

    type: Literal["retry"] = "retry"
    to: int


class ProjectLine(BaseLine):
    """The chat's current project: relative paths start there."""

    type: Literal["project"] = "project"
    path: str


class UsageLine(BaseLine):
    """A paid or counted model call whose reply was not kept (rejected, cut)."""

    type: Literal["usage"] = "usage"
    usage: Usage
    provider: str = ""
    model: str = ""


class ResumedLine(BaseLine):
    """A start found the turn open. `clean`: the process before had left by itself; otherwise it died."""

    type: Literal["resumed"] = "resumed"
    clean: bool = False


class UnknownLine(BaseLine):
    """A line of a later version: kept on disk, skipped here."""

    type: str = "unknown"


AnyLine = (
    UserLine | CommandLine | ReplyLine | AssistantLine | ToolStartedLine | ToolResultLine
    | ApprovalAskedLine | ApprovalGivenLine | SendStartedLine | SendFailedLine | DeliveredLine
    | SummaryLine | RetryLine | ProjectLine | UsageLine | ResumedLine
)  # fmt: skip
Line = AnyLine | UnknownLine

KNOWN_TYPES = frozenset(str(model.model_fields["type"].default) for model in get_args(AnyLine))

_known: TypeAdapter[AnyLine] = TypeAdapter(Annotated[AnyLine, Field(discriminator="type")])


def parse_line(raw: bytes | str) -> Line:
    """Raises ValueError when `raw` is not a line of any version (torn, corrupt)."""
    try:
        return _known.validate_json(raw)
    except ValidationError:
        line = UnknownLine.model_validate_json(raw)
        if line.seq < 1 or (line.v <= VERSION and line.type in KNOWN_TYPES):
            raise
        return line


def dump_line(line: Line) -> bytes:
    """One line, newline included, without the fields that stand at their default (except `type` and `role`)."""
    data = line.model_dump(mode="json", exclude_defaults=True)
    head: dict[str, object] = {
        "v": line.v,
        "seq": line.seq,
        "ts": round(line.ts, 3),
        "turn": line.turn,
        "type": line.type,
    }
    role = getattr(line, "role", None)
    if role is not None:
        head["role"] = role
    return to_json(head | {k: v for k, v in data.items() if k not in head}) + b"\n"
