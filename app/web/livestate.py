"""What is happening in each session at this moment, for a viewer who arrives in the middle of a turn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from app.core.contracts import LiveEvent
from app.core.events import AssistantLine
from app.core.live import LiveHub


@dataclass
class _Now:
    working: bool = False
    status: str = ""
    streamed: list[str] = field(default_factory=list[str])


class LiveState:
    """Listens to the hub; `snapshot` is what all events so far come to."""

    def __init__(self, hub: LiveHub) -> None:
        self._sessions: dict[str, _Now] = {}
        hub.listen(self._note)

    def snapshot(self, session_id: str) -> Sequence[LiveEvent]:
        """Begins with a reset: whatever the viewer showed before it lost the connection is stale."""
        now = self._sessions.get(session_id, _Now())
        events = [LiveEvent("reset"), LiveEvent("working" if now.working else "idle"), LiveEvent("status", now.status)]
        return [*events, LiveEvent("delta", "".join(now.streamed))] if now.streamed else events

    def _note(self, session_id: str, event: LiveEvent) -> None:
        now = self._sessions.setdefault(session_id, _Now())
        match event.kind:
            case "working":
                now.working, now.status = True, ""
            case "idle":
                now.working, now.status = False, ""
                now.streamed.clear()
            case "delta":
                now.streamed.append(event.text)
            case "reset":
                now.streamed.clear()
            case "status":
                now.status = event.text
            case "line":
                if isinstance(event.line, AssistantLine):
                    now.streamed.clear()
        if not (now.working or now.status or now.streamed):
            del self._sessions[session_id]
