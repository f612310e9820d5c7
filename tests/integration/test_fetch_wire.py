"""What a hostile server can put on the wire, measured in bytes rather than seconds."""

from __future__ import annotations

import asyncio
import gzip
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest

from app.core.contracts import Page
from app.core.errors import FetchError
from app.safety import exchange
from app.safety.addresses import IPAddress
from app.safety.fetch import WebFetcher
from app.safety.lookup import system_lookup

OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
BUFFERS = 8_000_000  # bytes that the kernel's socket buffers may take beyond what was read
Answered = Callable[..., Awaitable[Page]]


def loopback(address: IPAddress) -> bool:
    return address.is_loopback


class Wire:
    """Sends its pieces to whoever calls, as far as they are taken; `pause` s between them."""

    def __init__(self, pieces: bytes | Iterator[bytes], pause: float = 0) -> None:
        self.pieces = iter([pieces]) if isinstance(pieces, bytes) else pieces
        self.pause = pause
        self.sent = 0
        self.gone = asyncio.Event()
        self.port = 0

    async def start(self) -> asyncio.Server:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        return server

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.read(4_096)
            for piece in self.pieces:
                if reader.at_eof():  # who called has gone
                    break
                writer.write(piece)
                await writer.drain()
                self.sent += len(piece)
                if self.pause:
                    await asyncio.sleep(self.pause)
        except OSError:
            pass
        finally:
            writer.close()
            self.gone.set()


@pytest.fixture
async def answering() -> AsyncIterator[Answered]:
    servers: list[asyncio.Server] = []
    fetchers: list[WebFetcher] = []

    async def fetch(
        wire: Wire | bytes | Iterator[bytes], *, seconds: float = 20, scheme: str = "http", max_chars: int = 20_000
    ) -> Page:
        wire = wire if isinstance(wire, Wire) else Wire(wire)
        servers.append(await wire.start())
        fetcher = WebFetcher(allow=loopback, ports={wire.port}, seconds=seconds)
        fetchers.append(fetcher)
        return await fetcher.fetch(f"{scheme}://127.0.0.1:{wire.port}/", max_chars)

    yield fetch
    for fetcher in fetchers:
        await fetcher.aclose()
    for server in servers:
        server.close()


def forever(piece: bytes, *first: bytes) -> Iterator[bytes]:
    yield from first
    while True:
        yield piece


ENDLESS = {
    "interim answers": (forever(b"HTTP/1.1 100 Continue\r\n\r\n" * 100), "no responde como una página"),
    "interim heads": (forever(b"HTTP/1.1 103 Early\r\nLink: " + b"a" * 60_000 + b"\r\n\r\n"), "no responde como una"),
    "headers": (forever(b"X-A: " + b"a" * 4_000 + b"\r\n", OK), "no responde como una página"),
    "short headers": (forever(b"a:\r\n" * 1_000, OK), "no responde como una página"),
    "one header": (forever(b"a" * 65_536, OK + b"X-A: "), "no responde como una página"),
    "status line": (forever(b"a" * 65_536, b"HTTP/1.1 200 "), "no responde como una página"),
    "chunk line": (forever(b"0" * 65_536, OK + b"Transfer-Encoding: chunked\r\n\r\n"), "no responde como una página"),
    "chunk extension": (forever(b"a" * 65_536, OK + b"Transfer-Encoding: chunked\r\n\r\n5;"), "no responde como una"),
    "trailers": (forever(b"X: aaaa\r\n" * 500, OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n"), "no responde"),
}  # fmt: skip


@pytest.mark.parametrize("case", ENDLESS)
async def test_what_has_no_end_is_left_soon(answering: Answered, case: str) -> None:
    pieces, error = ENDLESS[case]
    wire = Wire(pieces)
    with pytest.raises(FetchError, match=error):
        await answering(wire)
    await wire.gone.wait()
    assert wire.sent < 1_000_000 + BUFFERS


@pytest.mark.parametrize(
    ("head", "piece"),
    [
        (OK + b"\r\n", b"linea interminable\n" * 3_000),
        (OK + b"Content-Length: 900000000000\r\n\r\n", b"x" * 65_536),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"ffff\r\n" + b"x" * 65_535 + b"\r\n"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n" * 10_000),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n", (b"1;" + b"e" * 1_000 + b"\r\nx\r\n") * 60),
    ],
)
async def test_an_endless_body_is_cut_at_the_limit_of_the_wire(answering: Answered, head: bytes, piece: bytes) -> None:
    wire = Wire(forever(piece, head))
    page = await answering(wire)
    assert page.truncated
    await wire.gone.wait()
    assert wire.sent < exchange.MAX_WIRE + BUFFERS


async def test_a_body_in_crumbs_is_cut_before_it_costs_much_time(answering: Answered) -> None:
    wire = Wire(forever(b"1\r\nx\r\n" * 10_000, OK + b"Transfer-Encoding: chunked\r\n\r\n"))
    page = await answering(wire, max_chars=10**9)
    assert len(page.text) < 100_000


async def test_the_framing_counts_as_well(answering: Answered) -> None:
    """A letter in a kilobyte of chunk extension: what is kept is little, what was received is not."""
    wire = Wire(forever(b"1;" + b"e" * 10_000 + b"\r\nx\r\n", OK + b"Transfer-Encoding: chunked\r\n\r\n"))
    page = await answering(wire)
    assert page.truncated
    assert len(page.text) < 400


@pytest.mark.parametrize(
    "first",
    [b"", b"H", OK, OK + b"X", OK + b"\r\n", OK + b"Transfer-Encoding: chunked\r\n\r\n"],
    ids=["silence", "status", "headers", "header", "body", "chunk"],
)
async def test_one_byte_at_a_time_ends_at_the_deadline(answering: Answered, first: bytes) -> None:
    dripping = b"1" if first.endswith(b"\r\n\r\n") else b"a"
    wire = Wire(forever(dripping if first else b"", first), pause=0.02)
    with pytest.raises(FetchError, match=r"0\.4 s"):
        await answering(wire, seconds=0.4)
    await wire.gone.wait()


BROKEN = {
    b"SSH-2.0-OpenSSH_9.7\r\n": "cortado",
    b"SSH-2.0-OpenSSH_9.7\r\n\r\n": "no responde como una página",
    b"<html>hola</html>\r\n\r\n": "no responde como una página",
    b"HTTP/2 200\r\n\r\n": "no responde como una página",
    b"HTTP/1.1 999999 x\r\n\r\n": "no responde como una página",
    b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n": "no responde como una página",
    b"": "cortado",
    b"HTTP/1.1 200": "cortado",
    OK: "cortado",
    OK + b"Content-Length: 10\r\n\r\nhola": "cortado",
    OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhola": "cortado",
    OK + b"Transfer-Encoding: chunked\r\n\r\nhola\r\n": "no responde como una página",
    OK + b"Transfer-Encoding: chunked\r\n\r\n-5\r\nhola\r\n": "no responde como una página",
    OK + b"Transfer-Encoding: gzip\r\n\r\nhola": "no responde como una página",
    OK + b"Content-Length: 4\r\nContent-Length: 5\r\n\r\nhola!": "no responde como una página",
    OK + b"Content-Length: -4\r\n\r\nhola": "no responde como una página",
    OK + b"X-A: a\x00b\r\nContent-Length: 4\r\n\r\nhola": "no responde como una página",
    OK + b"X A: b\r\nContent-Length: 4\r\n\r\nhola": "no responde como una página",
    OK + b"Content-Length: 0\r\n\r\n": "sin ningún contenido",
    b"HTTP/1.1 204 No Content\r\n\r\n": "sin ningún contenido",
    b"HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\n\r\n": "error 304",
    b"HTTP/1.1 300 Multiple\r\nLocation: /a\r\nContent-Length: 0\r\n\r\n": "error 300",
    b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n": "sin decir adónde",
    b"HTTP/1.1 302 Found\r\nLocation: /a\r\nLocation: /b\r\nContent-Length: 0\r\n\r\n": "sin decir adónde",
    b"HTTP/1.1 302 Found\r\nLocation: http://[\r\nContent-Length: 0\r\n\r\n": "no se entiende",
    b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n": "error 500",
    OK + b"Content-Encoding: gzip\r\nContent-Encoding: gzip\r\n\r\nx": "comprimida",
    OK + b"\r\n%PDF-1.7 x": "datos binarios",
    OK + b"\r\n" + gzip.compress(b"hola"): "datos binarios",
    OK + b"\r\n" + bytes(range(1, 30)) * 20: "datos binarios",
    b"HTTP/1.1 200 OK\r\n\r\n\x7fELF": "datos binarios",
}  # fmt: skip


@pytest.mark.parametrize("answer", BROKEN)
async def test_what_is_no_page_is_said_in_words(answering: Answered, answer: bytes) -> None:
    with pytest.raises(FetchError, match=BROKEN[answer]):
        await answering(answer)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nhola",
        b"HTTP/1.1 200 OK\r\n\r\nhola",
        b"HTTP/1.1 203 \r\nContent-Type: text/plain\r\nContent-Length: 4\r\n\r\nholaHTTP/1.1 200 OK\r\n\r\nmentira",
        b"HTTP/1.1 200\r\nContent-Type: text/plain\r\nContent-Length: 4\r\n\r\nhola",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\n" + OK + b"Content-Length: 4\r\n\r\nhola",
        OK + b"transfer-encoding: CHUNKED\r\n\r\n2;x=y\r\nho\r\n2\r\nla\r\n0\r\nX: y\r\n\r\n",
        OK + b"Content-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhola\r\n0\r\n\r\n",
        OK + b"Set-Cookie: a=" + b"b" * 20_000 + b"\r\nContent-Length: 4\r\n\r\nhola",
        b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Type: text/plain\r\n\r\nhola",
    ],
)
async def test_odd_but_honest_answers_are_read(answering: Answered, answer: bytes) -> None:
    assert (await answering(answer)).text == "hola"


async def test_text_with_colours_and_overstrikes_is_text(answering: Answered) -> None:
    assert "verde" in (await answering(OK + b"\r\n" + b"\x1b[32mverde\x1b[0m a\x08a\n" * 40)).text


@pytest.mark.parametrize("data", [gzip.compress(b"hola " * 500)[:40], gzip.compress(b"hola") * 40])
async def test_a_compressed_page_of_which_a_part_is_missing_says_so(answering: Answered, data: bytes) -> None:
    page = await answering(OK + b"Content-Encoding: gzip\r\n\r\n" + data)
    assert page.truncated


async def test_a_site_without_tls_is_said_in_words(answering: Answered) -> None:
    with pytest.raises(FetchError, match="conexión segura"):
        await answering(OK, scheme="https")


# ---------------------------------------------------------------- a resolver that hangs


async def test_a_hanging_resolver_holds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the deadline, nor the threads that files are read in, nor memory without end."""
    release = threading.Event()
    asked = threading.Semaphore(0)

    def hang(*_: object, **__: object) -> list[object]:
        asked.release()
        release.wait(30)
        raise OSError("nothing")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    fetcher = WebFetcher(allow=loopback, seconds=0.2)
    try:
        lost = [fetcher.fetch(f"http://www{n}.example.com/") for n in range(16)]
        assert {str(error) for error in await asyncio.gather(*lost, return_exceptions=True)} == {
            "La página no ha llegado entera en 0.2 s."
        }
        assert await asyncio.wait_for(asyncio.to_thread(lambda: "libre"), 5) == "libre"
        waiting = [asyncio.create_task(system_lookup("www.example.com", 80)) for _ in range(64 - 16)]
        await asyncio.sleep(0)
        with pytest.raises(OSError, match="hanging"):
            await system_lookup("www.example.com", 80)
        with pytest.raises(FetchError, match="el DNS no responde"):
            await fetcher.fetch("http://www.example.com/")
    finally:
        release.set()
    await asyncio.gather(*waiting, return_exceptions=True)
    with pytest.raises(OSError, match="nothing"):
        await system_lookup("www.example.com", 80)
    await fetcher.aclose()
