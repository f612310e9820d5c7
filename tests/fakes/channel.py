"""FakeChannel: implements the Channel protocol; keeps what it was given and fails when it is told to."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from app.core.contracts import Choice, Part
from app.core.events import ReplyTo


@dataclass
class Sent:
    to: ReplyTo
    text: str
    choices: tuple[Choice, ...]
    repeat: bool


@dataclass
class FakeChannel:
    """`trouble`: errors raised by the next sends; an error whose class is Uncertain still delivers."""

    name: str = "telegram"
    part_size: int = 1_000
    sent: list[Sent] = field(default_factory=list[Sent])
    trouble: list[Exception] = field(default_factory=list[Exception])
    arrives_anyway: bool = False
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def split(self, text: str) -> Sequence[Part]:
        return [Part(text[i : i + self.part_size]) for i in range(0, len(text), self.part_size)]

    async def send(self, to: ReplyTo, part: Part, *, choices: Sequence[Choice] = (), repeat: bool = False) -> int:
        error = self.trouble.pop(0) if self.trouble else None
        if error is None or self.arrives_anyway:
            self.sent.append(Sent(to, part.text, tuple(choices), repeat))
            self.changed.set()
        if error is not None:
            raise error
        return len(self.sent)

    async def working(self, to: ReplyTo) -> None:
        return None

    async def wait_for(self, count: int, timeout: float = 5.0) -> list[Sent]:
        async with asyncio.timeout(timeout):
            while len(self.sent) < count:
                self.changed.clear()
                await self.changed.wait()
        return self.sent
