"""What the agent needs from the outside, as Protocols. Rooms implement them; core never imports a room."""

from app.core.contracts.channels import Channel, Choice, Part
from app.core.contracts.events import EventSink, LiveEvent
from app.core.contracts.machine import (
    CommandResult,
    Entry,
    Fetcher,
    FileText,
    Page,
    Project,
    Redactor,
    RunLimits,
    Sandbox,
    Surroundings,
    Workspace,
)
from app.core.contracts.models import (
    Brain,
    CallOptions,
    ModelRequest,
    Provider,
    RouteState,
    StreamEnd,
    StreamItem,
    TextDelta,
    ToolCallDelta,
    ToolSchema,
)
from app.core.contracts.sessions import ChatBook, SessionInfo, SessionStore
from app.core.contracts.undo import Change, Changes, Checkpoints, Point, Restored

__all__ = [
    "Brain",
    "CallOptions",
    "Change",
    "Changes",
    "Channel",
    "ChatBook",
    "Checkpoints",
    "Choice",
    "CommandResult",
    "Entry",
    "EventSink",
    "Fetcher",
    "FileText",
    "LiveEvent",
    "ModelRequest",
    "Page",
    "Part",
    "Point",
    "Project",
    "Provider",
    "Redactor",
    "Restored",
    "RouteState",
    "RunLimits",
    "Sandbox",
    "SessionInfo",
    "SessionStore",
    "StreamEnd",
    "StreamItem",
    "Surroundings",
    "TextDelta",
    "ToolCallDelta",
    "ToolSchema",
    "Workspace",
]
