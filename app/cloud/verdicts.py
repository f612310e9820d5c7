"""A question that was decided elsewhere says so in its chat, without its buttons.

Best effort: buttons that stay behind (the process died, the chat is flooded) answer "no longer open" when pressed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

from loguru import logger

from app.cloud.question_buttons import question_parts
from app.core import texts_asking as texts
from app.core.approvals import PROGRAM
from app.core.contracts import Channel, Part, SessionStore
from app.core.errors import DeliveryError
from app.core.events import ApprovalAskedLine, ApprovalGivenLine, DeliveredLine, Line, ReplyTo


@runtime_checkable
class Rewriting(Protocol):
    """A channel whose messages can be changed. rewrite() raises a DeliveryError."""

    async def rewrite(self, to: ReplyTo, message_id: int, part: Part, below: str) -> None:
        """The message is `part` with the line `below` under it, and has no buttons any longer."""
        ...


class Verdicts:
    """Called in the lane of a session's deliveries, so a question is out before its verdict is shown."""

    def __init__(self, store: SessionStore, channels: Mapping[str, Channel]) -> None:
        self._store = store
        self._channels = channels
        self._new: dict[str, list[ApprovalGivenLine]] = {}

    def note(self, session_id: str, line: Line | None) -> bool:
        """Whether there is something to show. Who presses a button in the chat is answered there and then."""
        if not isinstance(line, ApprovalGivenLine) or (line.key is not None and not line.reason):
            return False
        self._new.setdefault(session_id, []).append(line)
        return True

    async def show(self, session_id: str) -> None:
        for given in self._new.pop(session_id, []):
            lines = await self._store.read_lines(session_id, after=given.asked - 1)
            if question := next((x for x in lines if isinstance(x, ApprovalAskedLine) and x.seq == given.asked), None):
                await self._show(question, given, lines)

    async def _show(self, question: ApprovalAskedLine, given: ApprovalGivenLine, lines: Sequence[Line]) -> None:
        to, message_id = question.reply_to, _message_of(question, lines)
        channel = self._channels.get(to.channel) if to else None
        if to is None or message_id is None or not isinstance(channel, Rewriting):
            return
        elsewhere = not given.by.isdecimal() and given.by != PROGRAM
        below = texts.verdict(given.decision, always=given.always, elsewhere=elsewhere, reason=given.reason)
        try:
            await channel.rewrite(to, message_id, question_parts(channel, question.question)[-1], below)
        except DeliveryError as error:
            logger.debug("the verdict on {} is not shown: {}", question.seq, type(error).__name__)


def _message_of(question: ApprovalAskedLine, lines: Sequence[Line]) -> int | None:
    """The last part has the buttons."""
    sent = [x for x in lines if isinstance(x, DeliveredLine) and x.of == question.seq and x.part == x.parts - 1]
    return sent[-1].message_id if sent else None
