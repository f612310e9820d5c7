"""Contexts: the folded sessions in use, kept between turns so that a turn's cost does not grow with the history."""

from __future__ import annotations

from collections import OrderedDict

from app.core.context import AgentContext
from app.core.contracts import SessionStore


class Contexts:
    """At most `most` sessions in memory, the least used one leaves. Two contexts of one session do no harm:
    each is brought up to date from the log."""

    def __init__(self, store: SessionStore, most: int = 128) -> None:
        self._store = store
        self._most = most
        self._kept: OrderedDict[str, AgentContext] = OrderedDict()

    async def get(self, session_id: str) -> AgentContext:
        """Up to date with the log."""
        ctx = self._kept.get(session_id)
        if ctx is None:
            ctx = await self._store.load_session(session_id)
            ctx = self._kept.setdefault(session_id, ctx)
        self._kept.move_to_end(session_id)
        if len(self._kept) > self._most:
            self._kept.popitem(last=False)
        await self._store.refresh(ctx)
        return ctx
