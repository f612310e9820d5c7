"""LiveHub: what happens in the sessions right now, for whoever looks. Lines can be read again from the log."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from app.core.contracts import LiveEvent

Listener = Callable[[str, LiveEvent], None]
_BACKLOG = 2_000


class Subscription:
    """One viewer of one session (None: of all). One too slow for the backlog is ended: it reads again by cursor."""

    def __init__(self, session_id: str | None) -> None:
        self.session_id = session_id
        self._queue: asyncio.Queue[tuple[str, LiveEvent] | None] = asyncio.Queue()

    def offer(self, session_id: str, event: LiveEvent) -> None:
        if self._queue.qsize() < _BACKLOG:
            self._queue.put_nowait((session_id, event))
        else:
            self.end()

    def end(self) -> None:
        self._queue.put_nowait(None)

    async def next(self, timeout: float | None = None) -> tuple[str, LiveEvent] | None:
        """None when the subscription has ended. Raises TimeoutError."""
        async with asyncio.timeout(timeout):
            return await self._queue.get()

    def waiting(self) -> list[LiveEvent]:
        """Takes what has arrived so far, without waiting for more."""
        items = [self._queue.get_nowait() for _ in range(self._queue.qsize())]
        if None in items:
            self.end()
        return [item[1] for item in items if item is not None]

    async def __aiter__(self) -> AsyncIterator[tuple[str, LiveEvent]]:
        while item := await self._queue.get():
            yield item


class LiveHub:
    """Implements EventSink. Listeners are called at once and may not block; subscriptions are queues."""

    def __init__(self) -> None:
        self._subscriptions: set[Subscription] = set()
        self._listeners: list[Listener] = []
        self._closed = False

    def listen(self, listener: Listener) -> None:
        self._listeners.append(listener)

    def subscribe(self, session_id: str | None = None) -> Subscription:
        subscription = Subscription(session_id)
        self._subscriptions.add(subscription)
        if self._closed:
            subscription.end()
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        self._subscriptions.discard(subscription)

    def publish(self, session_id: str, event: LiveEvent) -> None:
        for listener in self._listeners:
            listener(session_id, event)
        for subscription in self._subscriptions:
            if subscription.session_id in (None, session_id):
                subscription.offer(session_id, event)

    def close(self) -> None:
        """Ends every subscription: an open event stream would hold the server's shutdown."""
        self._closed = True
        for subscription in self._subscriptions:
            subscription.end()
