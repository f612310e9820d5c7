"""No secret on its way to people and to the disk: what happens live, and what becomes a line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import cast

from app.core.contracts import LiveEvent, Redactor, TextStream
from app.core.events import (
    ApprovalAskedLine,
    AssistantLine,
    Line,
    ReplyLine,
    SummaryLine,
    ToolResultLine,
)
from app.core.live import LiveHub

Redact = Callable[[str], str]


def redacted(line: Line, redact: Redact) -> Line:
    """The user's own words stay, and so do a reply's calls and native blocks: they are used as they are."""
    match line:
        case AssistantLine() | ReplyLine() | ToolResultLine() | SummaryLine():
            clean = redact(line.content)
            return line if clean == line.content else line.model_copy(update={"content": clean})
        case ApprovalAskedLine():
            return line.model_copy(update={"question": redact(line.question)})
        case _:
            return line


def clean(value: object, redact: Redact) -> object:
    """JSON with every text in it redacted."""
    match value:
        case str():
            return redact(value)
        case list():
            return [clean(item, redact) for item in cast("list[object]", value)]
        case dict():
            return {key: clean(item, redact) for key, item in cast("dict[str, object]", value).items()}
        case _:
            return value


class RedactedSink:
    """Implements EventSink. An answer that streams is held back where a secret may be growing."""

    def __init__(self, hub: LiveHub, redactor: Redactor) -> None:
        self._hub = hub
        self._redactor = redactor
        self._streams: dict[str, TextStream] = {}
        hub.listen(self._answered)

    def publish(self, session_id: str, event: LiveEvent) -> None:
        match event.kind:
            case "delta":
                self._show(session_id, self._streams.setdefault(session_id, self._redactor.stream()).feed(event.text))
                return
            case "status":
                event = replace(event, text=self._redactor.redact(event.text))
            case "reset" | "idle" | "working":
                self._streams.pop(session_id, None)
            case "line":
                pass
        self._hub.publish(session_id, event)

    def _answered(self, session_id: str, event: LiveEvent) -> None:
        """The whole answer follows: what was held back of it comes first."""
        if isinstance(event.line, AssistantLine) and (stream := self._streams.pop(session_id, None)):
            self._show(session_id, stream.end())

    def _show(self, session_id: str, text: str) -> None:
        if text:
            self._hub.publish(session_id, LiveEvent("delta", text))
