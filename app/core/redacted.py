"""No secret on its way to people and to the disk: what happens live, and what becomes a line."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from functools import partial
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
_TICK = 0.04  # seconds in which the pieces of an answer gather
_PAUSE = 0.2  # and without any, until the last word is shown as it is


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
        self._flows: dict[str, _Flow] = {}
        hub.listen(self._answered)

    def publish(self, session_id: str, event: LiveEvent) -> None:
        match event.kind:
            case "delta":
                if session_id not in self._flows:
                    self._flows[session_id] = _Flow(self._redactor.stream(), partial(self._show, session_id))
                self._flows[session_id].add(event.text)
                return
            case "status":
                event = replace(event, text=self._redactor.redact(event.text))
            case "reset" | "idle" | "working":
                if flow := self._flows.pop(session_id, None):
                    flow.stop()
            case "line":
                pass
        self._hub.publish(session_id, event)

    def _answered(self, session_id: str, event: LiveEvent) -> None:
        """The whole answer follows: what was held back of it comes first."""
        if isinstance(event.line, AssistantLine) and (flow := self._flows.pop(session_id, None)):
            flow.end()

    def _show(self, session_id: str, text: str) -> None:
        if text:
            self._hub.publish(session_id, LiveEvent("delta", text))


class _Flow:
    """The pieces of one answer, looked at together a few times a second: some models give hundreds."""

    def __init__(self, stream: TextStream, show: Callable[[str], None]) -> None:
        self._stream = stream
        self._show = show
        self._waiting: list[str] = []
        self._timer: asyncio.TimerHandle | None = None
        self._due: Callable[[], None] | None = None

    def add(self, piece: str) -> None:
        self._waiting.append(piece)
        if self._due != self._tick:
            self._after(_TICK, self._tick)

    def stop(self) -> None:
        if self._timer:
            self._timer.cancel()

    def end(self) -> None:
        self.stop()
        self._show(self._stream.feed("".join(self._waiting)) + self._stream.end())

    def _tick(self) -> None:
        piece = "".join(self._waiting)
        self._waiting.clear()
        self._after(_PAUSE, self._rest)
        self._show(self._stream.feed(piece))

    def _rest(self) -> None:
        self._due = None
        self._show(self._stream.pause())

    def _after(self, seconds: float, due: Callable[[], None]) -> None:
        self.stop()
        self._due = due
        self._timer = asyncio.get_running_loop().call_later(seconds, due)
