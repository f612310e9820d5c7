"""One GET on one connection of its own. Everything that arrives is counted: head, framing and body."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import h11
from yarl import URL

from app.core import texts_fetch as texts
from app.core.errors import FetchError
from app.safety.dialing import Dialer

MAX_WIRE = 3_000_000  # bytes received
MAX_HEAD = 65_536  # bytes of one head, of a chunk's line, of the trailers
_INTERIM = 8  # 1xx answers before the real one
_PIECES = 60_000  # parts that a body may come in: each costs time
_READ = 16_384  # bytes parsed before others have their turn
_HEADERS = {
    "User-Agent": "Mozilla/5.0 (compatible; Nanobot/0.1; personal agent)",
    "Accept": "text/html,text/markdown,text/plain,application/json,application/xml;q=0.9,text/*;q=0.8",
    "Accept-Language": "es,en;q=0.7",
    "Accept-Encoding": "gzip, deflate",
    "Connection": "close",
}


@asynccontextmanager
async def requested(dialer: Dialer, url: URL, tls: ssl.SSLContext | None) -> AsyncGenerator[Answer]:
    """Raises FetchError."""
    host, port = url.raw_host, url.port
    if host is None or port is None:
        raise FetchError(texts.URL_UNREADABLE)
    async with dialer.connected(host, port, tls) as (reader, writer):
        connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD)
        headers = list(({"Host": authority(url)} | _HEADERS).items())
        writer.write(connection.send(h11.Request(method="GET", target=url.raw_path_qs, headers=headers)) or b"")
        writer.write(connection.send(h11.EndOfMessage()) or b"")
        wire = _Wire(reader, connection)
        try:
            yield Answer(await wire.head(), wire)
        except OSError:  # reset, TLS cut
            raise FetchError(texts.FETCH_CUT) from None


class Answer:
    def __init__(self, head: h11.Response, wire: _Wire) -> None:
        self.status = head.status_code
        self._head = head
        self._wire = wire

    def headers(self, name: bytes) -> list[str]:
        """All values of a name, which is in lower case."""
        return [value.decode("utf-8", "replace") for key, value in self._head.headers if key == name]

    async def body(self) -> tuple[bytes, bool]:
        """And whether it was cut. Raises FetchError."""
        received = bytearray()
        for _ in range(_PIECES):
            event = await self._wire.event()
            if isinstance(event, h11.Data):
                received += event.data
            else:
                return bytes(received), event is None
        return bytes(received), True


class _Wire:
    def __init__(self, reader: asyncio.StreamReader, connection: h11.Connection) -> None:
        self._reader = reader
        self._connection = connection
        self._received = 0
        self._ended = False

    async def head(self) -> h11.Response:
        for _ in range(_INTERIM + 1):
            event = await self.event()
            if isinstance(event, h11.Response):
                return event
        raise FetchError(texts.FETCH_BAD_HTTP)

    async def event(self) -> h11.Event | None:
        """None once more has come than is wanted. Raises FetchError."""
        while True:
            try:
                event = self._connection.next_event()
            except h11.RemoteProtocolError:
                raise FetchError(texts.FETCH_CUT if self._ended else texts.FETCH_BAD_HTTP) from None
            if event is h11.PAUSED or isinstance(event, h11.Event):
                return event if isinstance(event, h11.Event) else None
            if self._received >= MAX_WIRE:
                return None
            await self._more()

    async def _more(self) -> None:
        data = await self._reader.read(min(_READ, MAX_WIRE - self._received))
        self._received += len(data)
        self._ended = not data
        self._connection.receive_data(data)
        await asyncio.sleep(0)  # a full buffer never waits by itself


def authority(url: URL) -> str:
    host = url.raw_host or ""
    shown = f"[{host}]" if ":" in host else host
    return shown if url.is_default_port() else f"{shown}:{url.port}"
