"""The turn under way, in a ContextVar: the loop itself holds no state of any chat."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from app.core.context import AgentContext
from app.core.roles import Standing


@dataclass
class Turn:
    """`deadline` in loop.time(); `waited` seconds spent on the user's decisions do not count against it.

    `standing`: what it may use, known once its messages are read.
    """

    ctx: AgentContext
    seconds: float
    began: float = field(default_factory=lambda: asyncio.get_running_loop().time())
    waited: float = 0.0
    goes_on_without_undo: bool = False  # said by the user
    standing: Standing | None = None
    results: Counter[tuple[str, str, str]] = field(default_factory=Counter[tuple[str, str, str]])

    @property
    def deadline(self) -> float:
        return self.began + self.seconds + self.waited

    @property
    def overdue(self) -> bool:
        return asyncio.get_running_loop().time() > self.deadline


_current: ContextVar[Turn | None] = ContextVar("turn", default=None)


def current_turn() -> Turn | None:
    return _current.get()


@contextmanager
def turn_of(turn: Turn) -> Generator[Turn]:
    token = _current.set(turn)
    try:
        yield turn
    finally:
        _current.reset(token)
