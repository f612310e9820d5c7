"""What the agent needs from a chat."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from app.core.events import ReplyTo


@dataclass(frozen=True, slots=True)
class Part:
    """One message of an answer, in the channel's own shape. `payload` is the channel's business."""

    text: str
    payload: object = None


@dataclass(frozen=True, slots=True)
class Choice:
    """A button: what it says and what comes back when it is pressed."""

    label: str
    data: str


class Channel(Protocol):
    """Where answers go. send() raises a DeliveryError."""

    name: str

    def split(self, text: str) -> Sequence[Part]: ...

    async def send(self, to: ReplyTo, part: Part, *, choices: Sequence[Choice] = (), repeat: bool = False) -> int:
        """Returns the message's id. `repeat`: it may have arrived already, so it says so, as a reply."""
        ...

    async def working(self, to: ReplyTo) -> None:
        """Shows 'typing…' once; never raises."""
        ...
