"""How often one user may have a message answered. What comes faster waits, on disk, and is answered together."""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable

from app.core import texts
from app.core.context import AgentContext
from app.core.errors import TurnPostponed
from app.core.roles import People, Role, person_of

_SECONDS = 60.0
_MOST_USERS = 1_000


class Pace:
    """`per_minute` answers of an owner's, `guest_per_minute` of a guest's, over all their sessions."""

    def __init__(
        self, people: People, per_minute: int, guest_per_minute: int, clock: Callable[[], float] = time.time
    ) -> None:
        self.people = people
        self._limits = {Role.OWNER: per_minute, Role.GUEST: guest_per_minute, Role.NOBODY: guest_per_minute}
        self._clock = clock
        self._begun: OrderedDict[str, deque[float]] = OrderedDict()
        self._counted: dict[str, int] = {}  # session → its turn that has been let through

    def check(self, ctx: AgentContext) -> None:
        """Counts the open turn, once. Raises TurnPostponed when its user has to wait."""
        if self._counted.get(ctx.session_id) == ctx.turn:
            return
        writer = next((line.user_id for line in ctx.conversation.open.values() if line.user_id), "")
        user = writer or person_of(ctx.session_id)
        if not user:  # a program that uses the loop itself
            return
        limit, now = self._limits[self.people.role(user)], self._clock()
        begun = self._begun.setdefault(user, deque())
        self._begun.move_to_end(user)
        while begun and begun[0] <= now - _SECONDS:
            begun.popleft()
        if len(begun) >= limit:
            until = begun[-limit] + _SECONDS
            raise TurnPostponed(texts.too_fast(limit, until - now), until)
        begun.append(now)
        self._counted[ctx.session_id] = ctx.turn
        self._forget()

    def _forget(self) -> None:
        while len(self._begun) > _MOST_USERS:
            self._begun.popitem(last=False)
        while len(self._counted) > _MOST_USERS:
            del self._counted[next(iter(self._counted))]
