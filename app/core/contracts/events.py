"""What happens right now, for whoever looks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from app.core.events import Line, ReplyTo


@dataclass(frozen=True, slots=True)
class LiveEvent:
    """Something to show that is not a line: it may be lost.

    `kind`: working (for `reply_to`) | idle: a turn began, ended | delta (`text` to append to the streamed answer) |
    reset (forget the streamed text) | status (`text` in Spanish, '' clears it) | line (`line` was written).
    """

    kind: Literal["working", "idle", "delta", "reset", "status", "line"]
    text: str = ""
    line: Line | None = None
    reply_to: ReplyTo | None = None


class EventSink(Protocol):
    def publish(self, session_id: str, event: LiveEvent) -> None: ...
