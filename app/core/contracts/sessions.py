"""What the agent needs from storage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from app.core.context import AgentContext
    from app.core.events import Line


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """`updated` is a UNIX time; `title` the beginning of its first message."""

    session_id: str
    channel: str
    updated: float
    size: int
    title: str = ""


class SessionStore(Protocol):
    """Durable, append-only logs. A line returned by append() is on disk. Raises StorageError, SessionError."""

    async def load_session(self, session_id: str) -> AgentContext: ...

    async def save_session(self, ctx: AgentContext) -> None: ...

    async def append(self, session_id: str, *lines: Line) -> Sequence[Line]:
        """Gives each line its seq and ts; returns them. A line whose `key` the chat has already seen is left out."""
        ...

    async def refresh(self, ctx: AgentContext) -> None:
        """Applies the lines that others appended since ctx.seq."""
        ...

    async def read_lines(self, session_id: str, after: int = 0) -> Sequence[Line]: ...

    async def list_sessions(self) -> Sequence[SessionInfo]: ...

    async def busy_sessions(self) -> Sequence[str]:
        """Those in which something is open, the one longest untouched first."""
        ...

    async def touched_since(self, since: float) -> Sequence[str]: ...

    async def forget_session(self, session_id: str) -> None:
        """Removes a conversation, with its archives."""
        ...

    @property
    def left_cleanly(self) -> bool:
        """Whether the process that had the logs before went by itself."""
        ...


class ChatBook(Protocol):
    """Which session each chat is in. A chat without an entry is in the session of its own name."""

    async def session_of(self, chat: str) -> str: ...

    async def start_new(self, chat: str, cause: str) -> str:
        """Moves the chat to a fresh session and returns its id; the same `cause` never moves it twice."""
        ...

    async def moved(self, old: str, new: str) -> None:
        """From now on both names mean the same chat."""
        ...
