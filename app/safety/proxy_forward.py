"""A plain HTTP request, read and written anew: what one side sends can never be taken for two requests by the other."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable

import h11
from yarl import URL

from app.core import texts_fetch as texts
from app.core.errors import FetchError
from app.safety.dialing import Streams
from app.safety.exchange import MAX_HEAD, authority

Read = Callable[[asyncio.StreamReader], Awaitable[bytes]]
_HOP_BY_HOP = frozenset(
    {
        b"connection", b"keep-alive", b"proxy-connection", b"proxy-authenticate", b"proxy-authorization", b"te",
        b"trailer", b"upgrade", b"expect", b"host",
    }
)  # fmt: skip


class Forward:
    def __init__(self, client: h11.Connection, writer: asyncio.StreamWriter, upstream: Streams, read: Read) -> None:
        self._client = client
        self._writer = writer
        self._reader_up, self._writer_up = upstream
        self._read = read
        self._site = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD)

    async def exchange(self, request: h11.Request, url: URL, body: asyncio.StreamReader) -> None:
        """Raises h11.ProtocolError for a client that errs, FetchError for such a site, OSError when one goes."""
        target = _path(request.target)
        headers = [(b"host", authority(url).encode()), *_end_to_end(request.headers), (b"connection", b"close")]
        await self._up(h11.Request(method=request.method, target=target, headers=headers))
        if self._client.they_are_waiting_for_100_continue:
            await self._down(h11.InformationalResponse(status_code=100, headers=[]))
        while isinstance(event := await self._next(self._client, body), h11.Data):
            await self._up(event)
        await self._up(h11.EndOfMessage())
        await self._answer()

    async def _answer(self) -> None:
        while not isinstance(event := await self._from_site(), h11.EndOfMessage):
            if isinstance(event, h11.Response):
                kept = [*_end_to_end(event.headers), (b"connection", b"close")]
                await self._down(h11.Response(status_code=event.status_code, headers=kept, reason=event.reason))
            elif isinstance(event, h11.Data):
                await self._down(event)
        await self._down(h11.EndOfMessage())

    async def _from_site(self) -> h11.Event:
        try:
            return await self._next(self._site, self._reader_up)
        except h11.RemoteProtocolError:
            raise FetchError(texts.FETCH_BAD_HTTP) from None

    async def _next(self, side: h11.Connection, reader: asyncio.StreamReader) -> h11.Event:
        while (event := side.next_event()) is h11.NEED_DATA:
            side.receive_data(await self._read(reader))
        if not isinstance(event, h11.Event):
            raise ConnectionResetError
        return event

    async def _up(self, event: h11.Event) -> None:
        self._writer_up.write(self._site.send(event) or b"")
        await self._writer_up.drain()

    async def _down(self, event: h11.Event) -> None:
        self._writer.write(self._client.send(event) or b"")
        await self._writer.drain()


def _path(target: bytes) -> bytes:
    """Exactly as it was written: a signature may be over it."""
    path = re.sub(rb"^[a-z]+://[^/?#]*", b"", target, flags=re.IGNORECASE).partition(b"#")[0]
    return path if path.startswith(b"/") else b"/" + path


def _end_to_end(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    pairs = list(headers)
    named = {part.strip().lower() for name, value in pairs if name == b"connection" for part in value.split(b",")}
    chunked = any(name == b"transfer-encoding" for name, _ in pairs)
    dropped = named | ({b"content-length"} if chunked else set[bytes]())
    return [(name, value) for name, value in pairs if name not in dropped and name not in _HOP_BY_HOP]
