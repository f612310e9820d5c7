"""Typing: a Telegram chat says 'typing…' while a turn works for it — and not while the turn waits for the user."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from app.core.contracts import Channel, LiveEvent
from app.core.events import ApprovalAskedLine, ApprovalGivenLine, ReplyTo

PERIOD_SECONDS = 4.5  # Telegram shows it for five


@dataclass
class _Turn:
    place: ReplyTo
    questions: set[int] = field(default_factory=set[int])
    task: asyncio.Task[None] | None = None


class Typing:
    """At most one task a session. After close() nothing begins any more: a lane may still take up a turn."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._turns: dict[str, _Turn] = {}
        self._closed = False

    @property
    def active(self) -> frozenset[str]:
        """The sessions whose chats are being shown it."""
        return frozenset(session_id for session_id, turn in self._turns.items() if turn.task)

    def on_event(self, session_id: str, event: LiveEvent) -> None:
        if event.kind == "working":
            self._stop(self._turns.pop(session_id, None))
            if event.reply_to is not None and event.reply_to.channel == self._channel.name and not self._closed:
                self._turns[session_id] = _Turn(event.reply_to)
        elif event.kind == "idle":
            self._stop(self._turns.pop(session_id, None))
        if turn := self._turns.get(session_id):
            match event.line:
                case ApprovalAskedLine() as asked:
                    turn.questions.add(asked.seq)
                case ApprovalGivenLine() as given:
                    turn.questions.discard(given.asked)
                case _:
                    pass
            self._set(turn)

    async def close(self) -> None:
        self._closed = True
        tasks = [turn.task for turn in self._turns.values() if turn.task]
        for turn in self._turns.values():
            self._stop(turn)
        self._turns.clear()
        if tasks:
            await asyncio.wait(tasks)

    def _set(self, turn: _Turn) -> None:
        if turn.questions:
            self._stop(turn)
        elif turn.task is None:
            turn.task = asyncio.create_task(self._keep(turn.place), name="telegram-typing")

    def _stop(self, turn: _Turn | None) -> None:
        if turn is not None and turn.task is not None:
            turn.task.cancel()
            turn.task = None

    async def _keep(self, place: ReplyTo) -> None:
        while True:
            await self._channel.working(place)
            await asyncio.sleep(PERIOD_SECONDS)
