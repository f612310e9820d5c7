"""One connection of a command to its proxy: one request, then it ends."""

from __future__ import annotations

import asyncio
import secrets
import unicodedata
from collections.abc import Callable
from contextlib import suppress

import h11
from yarl import URL

from app.core import texts_fetch as texts
from app.core.errors import AddressRefused, FetchError
from app.safety.addresses import parse_url, read_url
from app.safety.dialing import Streams
from app.safety.hello import NotTls, client_hello
from app.safety.proxy_forward import Forward
from app.safety.proxy_rules import Meter, ProxyRules

_MAX_HEAD = 32_768  # bytes
_CHUNK = 65_536
_LINGER = 1.0  # s that a refused client has to read why
_UNRECOGNIZED_NAME = b"\x15\x03\x01\x00\x02\x02\x70"  # TLS: a fatal alert, in the clear


class _Refused(Exception):
    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Client:
    """`credentials`: what Proxy-Authorization must be, b'' for nothing. `note` is told why something is refused.

    `busy` is called whenever a byte moves.
    """

    def __init__(
        self, streams: Streams, rules: ProxyRules, meter: Meter, credentials: bytes, note: Callable[[str], None]
    ) -> None:
        self._reader, self._writer = streams
        self._rules = rules
        self._meter = meter
        self._credentials = credentials
        self._note = note
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=_MAX_HEAD)
        self.busy: Callable[[], None] = lambda: None

    async def serve(self, *, full: bool) -> None:
        """Raises OSError when a peer goes, or the budget is spent."""
        try:
            request = await self._request()
            self._admit(request, full=full)
            if request.method == b"CONNECT":
                await self._tunnel(request.target)
            else:
                await self._forward(request)
        except _Refused as error:
            await self._refuse(error.status, str(error))
        except AddressRefused as error:
            await self._refuse(403, str(error))
        except FetchError as error:
            await self._refuse(502, str(error))
        except h11.ProtocolError:
            await self._refuse(400, texts.PROXY_BAD_REQUEST)

    async def _request(self) -> h11.Request:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            self._http.receive_data(await self.read(self._reader))
        if not isinstance(event, h11.Request):
            raise ConnectionResetError
        return event

    def _admit(self, request: h11.Request, *, full: bool) -> None:
        if full:
            raise _Refused(503, texts.PROXY_BUSY)
        given = next((value for name, value in request.headers if name == b"proxy-authorization"), b"")
        if self._credentials and not secrets.compare_digest(given, self._credentials):
            raise _Refused(407, texts.PROXY_NOT_YOURS)

    async def _tunnel(self, target: bytes) -> None:
        host, port = _authority(target)
        self._check(host, port, self._rules.tls_port)
        async with self._rules.dialer.connected(host, port) as upstream:
            self._writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            try:
                hello, name = await client_hello(self._reader, self._http.trailing_data[0])
            except NotTls:
                self._note(texts.proxy_not_tls(host))
                return
            self.busy()
            if name != host.removesuffix("."):
                self._note(texts.proxy_other_name(host, name))
                self._writer.write(_UNRECOGNIZED_NAME)
                await self._writer.drain()
                return
            await self._relay(hello, upstream)

    async def _relay(self, hello: bytes, upstream: Streams) -> None:
        self._meter.count(hello)
        upstream[1].write(hello)
        both = (self._pump(self._reader, upstream[1]), self._pump(upstream[0], self._writer))
        tasks = [asyncio.create_task(pump) for pump in both]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await self.read(reader):
            writer.write(data)
            await writer.drain()
        writer.write_eof()

    async def _forward(self, request: h11.Request) -> None:
        url = self._plain_url(request.target.decode("ascii", "replace"))
        async with self._rules.dialer.connected(url.raw_host or "", url.port or 0) as upstream:
            await Forward(self._http, self._writer, upstream, self.read).exchange(request, url, self._reader)

    def _plain_url(self, target: str) -> URL:
        if not target.lower().startswith("http://"):
            raise _Refused(400, texts.PROXY_BAD_REQUEST)
        asked = read_url(target)
        self._check(asked.raw_host or "", asked.port or 0, self._rules.plain_port)
        return parse_url(target, self._rules.dialer.allow, {self._rules.plain_port})

    def _check(self, host: str, port: int, wanted: int) -> None:
        if host not in self._rules.hosts:
            raise _Refused(403, texts.proxy_host(host))
        if port != wanted:
            raise _Refused(403, texts.proxy_port(host, port))

    async def read(self, reader: asyncio.StreamReader) -> bytes:
        """Counted. b'' at the end."""
        data = await reader.read(_CHUNK)
        self._meter.count(data)
        self.busy()
        return data

    async def _refuse(self, status: int, text: str) -> None:
        """Many programs show only the first line of an answer: it says why, in ASCII."""
        self._note(text)
        if self._http.our_state not in (h11.IDLE, h11.SEND_RESPONSE, h11.ERROR):
            return  # an answer has begun: it ends here
        reason = unicodedata.normalize("NFKD", text).encode("ascii", "ignore")[:300]
        body = text.encode() + b"\n"
        lines = [b"HTTP/1.1 %d %s" % (status, reason), b"Content-Type: text/plain; charset=utf-8"]
        lines += [b"Content-Length: %d" % len(body), b"Connection: close"]
        lines += [b'Proxy-Authenticate: Basic realm="nanobot"'] if status == 407 else []
        self._writer.write(b"\r\n".join([*lines, b"", body]))
        self._writer.write_eof()
        await self._writer.drain()
        with suppress(TimeoutError):  # what is unread would turn the answer into a reset
            async with asyncio.timeout(_LINGER):
                while await self._reader.read(_CHUNK):
                    pass


def _authority(target: bytes) -> tuple[str, int]:
    host, _, port = target.decode("ascii", "replace").rpartition(":")
    if not (port.isdigit() and len(port) < 6):
        raise _Refused(400, texts.PROXY_BAD_REQUEST)
    return host.strip("[]").lower(), int(port)
