"""GET /api/v1/events: one session as server-sent events. First what the log holds after the cursor, then live.

`line` events carry `id: <seq>`: a client that lost the connection says the last one (Last-Event-ID, or ?cursor=) and
misses nothing. `working`, `idle`, `delta`, `reset` and `status` are shown while they last and have no id.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Generator, Iterator, Sequence
from contextlib import aclosing, contextmanager
from typing import Annotated

from fastapi import APIRouter, Header, HTTPException, Query, Request
from fastapi.sse import format_sse_event
from pydantic_core import to_json
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from app.core import texts_web
from app.core.context import check_session_id
from app.core.contracts import LiveEvent
from app.core.events import CommandLine, Line, UserLine
from app.core.live import Subscription
from app.core.redacted import Redact, clean
from app.web.parts import BY_TOKEN, PartsHere, WebParts, web_state
from app.web.problems import problems

HEARTBEAT_SECONDS = 15.0  # proxies close what is silent for longer
_HEARTBEAT = b": heartbeat\n\n"
_RETRY_MS = 1_000

router = APIRouter(dependencies=[BY_TOKEN], responses=problems(429, 507))


class EventStream(StreamingResponse):
    """Ends its generator also when the client leaves in the middle of a send."""

    media_type = "text/event-stream"

    def __init__(self, events: AsyncGenerator[bytes]) -> None:
        super().__init__(events, headers={"X-Accel-Buffering": "no"})
        self._events = events

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with aclosing(self._events):
            await super().__call__(scope, receive, send)


@router.get("/api/v1/events", status_code=200, response_class=EventStream)
async def events(
    request: Request,
    parts: PartsHere,
    session_id: str,
    cursor: Annotated[int, Query(ge=0)] = 0,
    last_event_id: Annotated[str, Header()] = "",
) -> EventStream:
    """The header wins: a browser that reconnects sends it with the address it first used."""
    after = int(last_event_id) if last_event_id.isdecimal() and last_event_id.isascii() else cursor
    if web_state(request).access.viewers.full(request.state.caller.credential):
        raise HTTPException(429, texts_web.TOO_MANY_STREAMS, {"Retry-After": "10"})
    return EventStream(_events(request, parts, check_session_id(session_id), after))


async def _events(request: Request, parts: WebParts, session_id: str, last: int) -> AsyncGenerator[bytes]:
    """Subscribed before it reads, so there is no gap; lines that were read are not repeated."""
    live, access, redact = web_state(request).live, web_state(request).access, parts.redactor.redact
    with _subscribed(request, parts, session_id) as subscription:
        yield format_sse_event(retry=_RETRY_MS)
        old = await parts.store.read_lines(session_id, after=last)
        for event in await asyncio.to_thread(_line_events, old, redact):
            yield event
        last = max([last, *(line.seq for line in old)])
        # No await between these two: the snapshot is exactly what came before and with `missed`.
        missed, snapshot = subscription.waiting(), live.snapshot(session_id)
        for line in _newer(missed, last):
            last = line.seq
            yield _line_event(line, redact)
        for event in snapshot:
            yield _event(event)
        async for event in _arriving(subscription):
            if not access.still_knows(request.state.caller):  # logged out, revoked, expired, or another password
                return
            if event is None:
                yield _HEARTBEAT
            elif event.line is None:
                yield _event(event)
            elif event.line.seq > last:
                last = event.line.seq
                yield _line_event(event.line, redact)


@contextmanager
def _subscribed(request: Request, parts: WebParts, session_id: str) -> Generator[Subscription]:
    """Until the viewer leaves or its right to see it ends."""
    access = web_state(request).access
    subscription = parts.hub.subscribe(session_id)
    try:
        with access.viewers.viewing(request.state.caller.credential, subscription.end):
            yield subscription
    finally:
        parts.hub.unsubscribe(subscription)


async def _arriving(subscription: Subscription) -> AsyncGenerator[LiveEvent | None]:
    """None when nothing came for a while; ends with the subscription."""
    while True:
        try:
            item = await subscription.next(HEARTBEAT_SECONDS)
        except TimeoutError:
            yield None
            continue
        if item is None:
            return
        yield item[1]


def _newer(events: list[LiveEvent], last: int) -> Iterator[Line]:
    return (event.line for event in events if event.line is not None and event.line.seq > last)


def line_json(line: Line, redact: Redact) -> dict[str, object]:
    """Without a provider's opaque blocks: nobody can read them. The log keeps a reply's calls as they are."""
    data = line.model_dump(mode="json", exclude_defaults=True, exclude={"native"})
    if not isinstance(line, UserLine | CommandLine):
        data = {name: clean(value, redact) for name, value in data.items()}
    head: dict[str, object] = {"seq": line.seq, "ts": line.ts, "turn": line.turn, "type": line.type}
    return head | data


def _line_event(line: Line, redact: Redact) -> bytes:
    return format_sse_event(data_str=to_json(line_json(line, redact)).decode(), event="line", id=str(line.seq))


def _line_events(lines: Sequence[Line], redact: Redact) -> list[bytes]:
    return [_line_event(line, redact) for line in lines]


def _event(event: LiveEvent) -> bytes:
    return format_sse_event(data_str=to_json({"text": event.text}).decode(), event=event.kind)
