"""The network of a confined command, with real clients, real TLS and sites on loopback."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import sys
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from app.core.errors import FetchError
from app.safety.addresses import IPAddress, is_public
from app.safety.allowlist import AllowedHosts
from app.safety.dialing import Dialer
from app.safety.proxy import FilteringProxy
from app.safety.proxy_rules import ProxyLimits

CERTIFICATE = Path(__file__).parents[1] / "security/urls/site.crt"
KEY = CERTIFICATE.with_name("site.key")
HOSTS = ["example.com", "*.example.org"]
ROOT = sys.platform == "linux" and os.geteuid() == 0


def loopback(address: IPAddress) -> bool:
    return address.is_loopback


@dataclass
class Sites:
    """A plain site and one with TLS, which note what they received, and a DNS that notes what it was asked."""

    answer: bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nX-Site: si\r\nKeep-Alive: 5\r\n\r\nhola"
    received: list[bytes] = field(default_factory=list)
    callers: int = 0
    asked: list[str] = field(default_factory=list)
    plain: int = 0
    tls: int = 0
    proxy: str = ""

    async def lookup(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        if host.startswith("perdido"):
            raise OSError("no such name")
        return ["127.0.0.1"]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.callers += 1
        whole = b""
        try:
            while data := await reader.read(65_536):
                self.received.append(data)
                if b"eco" in data:
                    writer.write(data)
                elif is_whole(whole := whole + data):
                    writer.write(self.answer)
                    writer.write_eof() if not writer.transport.get_extra_info("sslcontext") else writer.close()
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()


def is_whole(request: bytes) -> bool:
    head, _, body = request.lower().partition(b"\r\n\r\n")
    if b"transfer-encoding: chunked" in head:
        return body.endswith(b"0\r\n\r\n")
    length = head.partition(b"content-length: ")[2].partition(b"\r\n")[0]
    return request.count(b"\r\n\r\n") > 0 and len(body) >= int(length or 0)


@pytest.fixture
async def sites() -> AsyncIterator[Sites]:
    sites = Sites()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE, KEY)
    servers = [
        await asyncio.start_server(sites.serve, "127.0.0.1", 0),
        await asyncio.start_server(sites.serve, "127.0.0.1", 0, ssl=context),
    ]
    sites.plain, sites.tls = (server.sockets[0].getsockname()[1] for server in servers)
    yield sites
    for server in servers:
        server.close()


Make = Callable[..., Awaitable[FilteringProxy]]


@pytest.fixture
async def make(sites: Sites) -> AsyncIterator[Make]:
    made: list[FilteringProxy] = []

    async def build(limits: ProxyLimits | None = None, *, dialer: Dialer | None = None) -> FilteringProxy:
        dialer = dialer or Dialer(loopback, sites.lookup)
        proxy = FilteringProxy(HOSTS, dialer=dialer, limits=limits, ports=(sites.tls, sites.plain))
        made.append(proxy)
        sites.proxy = await proxy.listen()
        return proxy

    yield build
    for proxy in made:
        await proxy.aclose()


@dataclass
class Connection:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def says(self, data: bytes) -> bytes:
        """All that comes back until the end."""
        self.writer.write(data)
        return await self.reader.read(-1)

    async def connect(self, host: str, port: int) -> bytes:
        self.writer.write(f"CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
        return await self.reader.readuntil(b"\r\n\r\n")


@pytest.fixture
async def dial(sites: Sites) -> AsyncIterator[Callable[[], Awaitable[Connection]]]:
    opened: list[Connection] = []

    async def connect() -> Connection:
        connection = Connection(*await asyncio.open_unix_connection(sites.proxy))
        opened.append(connection)
        return connection

    yield connect
    for connection in opened:
        connection.writer.transport.abort()


Dial = Callable[[], Awaitable[Connection]]
trusting = ssl.create_default_context(cafile=str(CERTIFICATE))

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Unix sockets without a file")


def get(proxy: str, url: str, data: bytes | None = None) -> str:
    """As programs do it: urllib with a proxy."""
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({"http": proxy, "https": proxy}), urllib.request.HTTPSHandler(context=trusting)
    )
    try:
        with opener.open(urllib.request.Request(url, data, {"X-Other": "1"}), timeout=20) as page:
            return page.read().decode()
    except urllib.error.HTTPError as error:
        return f"{error.code} {error.read().decode()}"
    except OSError as error:
        return str(error)


# ---------------------------------------------------------------- what works


async def test_a_program_reaches_the_sites_of_its_grant(make: Make, sites: Sites) -> None:
    proxy = await make()
    way = await proxy.listen_tcp()
    assert await asyncio.to_thread(get, way, f"https://example.com:{sites.tls}/a") == "hola"
    assert await asyncio.to_thread(get, way, f"https://a.example.org:{sites.tls}/") == "hola"
    assert await asyncio.to_thread(get, way, f"http://EXAMPLE.com:{sites.plain}/x?y=%2f") == "hola"
    head = sites.received[-1].decode().lower()
    assert head.startswith("get /x?y=%2f http/1.1\r\nhost: example.com:")
    assert not {"proxy-authorization", "x-local", "proxy-connection"} & {
        line.split(":")[0] for line in head.split("\r\n")
    }
    assert proxy.refusals == []


async def test_a_body_goes_through(make: Make, sites: Sites, dial: Dial) -> None:
    proxy = await make()
    assert (
        await asyncio.to_thread(get, await proxy.listen_tcp(), f"http://example.com:{sites.plain}/", b"datos fin")
        == "hola"
    )
    assert b"".join(sites.received).endswith(b"datos fin")
    line = await dial()
    head = (
        b"POST http://example.com:%d/ HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"
        % sites.plain
    )
    line.writer.write(head)
    assert await line.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 \r\n\r\n"
    assert (await line.says(b"fin")).endswith(b"hola")


async def test_what_is_between_client_and_proxy_stays_there(make: Make, sites: Sites, dial: Dial) -> None:
    await make()
    head = (
        b"GET http://example.com:%d/ HTTP/1.1\r\nHost: evil.com\r\nConnection: X-Local\r\nX-Local: 1\r\nTE: a\r\n"
        % sites.plain
    )
    answer = await (await dial()).says(head + b"Upgrade: websocket\r\nProxy-Authorization: Basic eA==\r\n\r\n")
    assert b"x-site: si" in answer.lower()
    assert b"keep-alive" not in answer.lower()
    site_saw = b"".join(sites.received).lower()
    assert not any(word in site_saw for word in (b"evil", b"x-local", b"te:", b"upgrade", b"authorization"))


async def test_a_tunnel_carries_both_ways(make: Make, sites: Sites, dial: Dial) -> None:
    await make()
    line = await dial()
    assert (await line.connect("example.com.", sites.tls)).startswith(b"HTTP/1.1 200")
    await line.writer.start_tls(trusting, server_hostname="example.com")
    for text in (b"eco uno", b"eco dos" * 20_000):
        line.writer.write(text)
        assert await line.reader.readexactly(len(text)) == text


@pytest.mark.parametrize("way", ["plain", "half-closed tunnel"])
async def test_the_end_of_a_long_answer_waits_for_a_slow_reader(make: Make, sites: Sites, way: str) -> None:
    await make()
    body = os.urandom(3_000_000)
    sites.answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)

    def read() -> bytes:
        with socket.socket(socket.AF_UNIX) as line:
            line.connect(sites.proxy)
            if way == "plain":
                line.sendall(b"GET http://example.com:%d/ HTTP/1.1\r\nHost: x\r\n\r\n" % sites.plain)
                return slowly(line.recv)
            line.sendall(b"CONNECT example.com:%d HTTP/1.1\r\nHost: x\r\n\r\n" % sites.tls)
            line.recv(999)
            with trusting.wrap_socket(line, server_hostname="example.com", suppress_ragged_eofs=True) as secure:
                secure.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                socket.socket.shutdown(secure, socket.SHUT_WR)
                return slowly(secure.recv)

    assert (await asyncio.to_thread(read)).endswith(body[-1000:])


def slowly(recv: Callable[[int], bytes]) -> bytes:
    whole = b""
    while data := recv(65_536):
        whole += data
        time.sleep(0.005)
    return whole


async def test_other_users_are_not_let_in(make: Make, sites: Sites) -> None:
    await make()
    request = f"GET http://example.com:{sites.plain}/ HTTP/1.0\r\nHost: x\r\n\r\n"
    code = f"""
import os, socket, sys
os.setresuid(*[int(sys.argv[1])] * 3)
with socket.socket(socket.AF_UNIX) as s:
    s.connect({sites.proxy!r}); s.sendall({request.encode()!r}); print(s.recv(999))
"""
    said: list[str] = []
    for user in ("0", "65533") if ROOT else (str(os.geteuid()),):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-I", "-S", "-c", code, user, stdout=-1, stderr=-2
        )
        said.append((await process.communicate())[0].decode())
    assert "200 OK" in said[0]
    ends = ("b''", "ConnectionResetError", "BrokenPipeError")
    assert all(any(end in text for end in ends) for text in said[1:])
    assert sites.callers == 1


# ---------------------------------------------------------------- what does not

OTHERS = [
    "evil.com", "example.com.evil.com", "evilexample.com", "www.example.com", "example.org", "aexample.org",
    "127.0.0.1", "localhost", "[::1]", "169.254.169.254", "metadata.google.internal", "2130706433", "",
    "example.com@evil.com",
    "*.example.org", "example.com%00.evil.com", "xn--exmple-cua.com",
]  # fmt: skip


@pytest.mark.parametrize("host", OTHERS)
async def test_other_hosts_are_refused_by_name(make: Make, sites: Sites, dial: Dial, host: str) -> None:
    proxy = await make()
    for request in (
        f"CONNECT {host}:{sites.tls} HTTP/1.1\r\nHost: example.com\r\n\r\n",
        f"GET http://{host}:{sites.plain}/ HTTP/1.1\r\nHost: example.com\r\n\r\n",
    ):
        answer = await (await dial()).says(request.encode())
        assert answer.startswith((b"HTTP/1.1 403 ", b"HTTP/1.1 400 ", b"HTTP/1.1 502 ")), answer
        if host == "evil.com":
            assert answer.startswith(b"HTTP/1.1 403 La red no permitio: evil.com (no esta en NETWORK_HOSTS).\r\n")
            assert "«evil.com» (no está en NETWORK_HOSTS)" in answer.decode()
            assert proxy.refusals == ["La red no permitió: «evil.com» (no está en NETWORK_HOSTS)."]
    assert (sites.asked, sites.callers) == ([], 0)


async def test_why_it_is_refused_arrives_however_much_was_sent(make: Make, sites: Sites, dial: Dial) -> None:
    await make()
    head = b"POST http://evil.com:%d/ HTTP/1.1\r\nHost: x\r\nContent-Length: 400000\r\n\r\n" % sites.plain
    assert "«evil.com» (no está" in (await (await dial()).says(head + b"x" * 400_000)).decode()


async def test_other_ports_are_refused(make: Make, sites: Sites, dial: Dial) -> None:
    await make()
    for request in (
        b"CONNECT example.com:22 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"CONNECT example.com:%d HTTP/1.1\r\nHost: x\r\n\r\n" % sites.plain,
        b"GET http://example.com:%d/ HTTP/1.1\r\nHost: x\r\n\r\n" % sites.tls,
        b"GET http://example.com:6379/ HTTP/1.1\r\nHost: x\r\n\r\n",
    ):
        answer = (await (await dial()).says(request)).decode()
        assert answer.startswith("HTTP/1.1 403 ")
        assert "«example.com» no se permite ir por el puerto" in answer
    assert sites.callers == 0


async def test_an_allowed_name_that_leads_inside_is_refused(make: Make, sites: Sites, dial: Dial) -> None:
    await make(dialer=Dialer(is_public, sites.lookup))
    for request in (
        b"CONNECT example.com:%d HTTP/1.1\r\nHost: x\r\n\r\n" % sites.tls,
        b"GET http://example.com:%d/ HTTP/1.1\r\nHost: x\r\n\r\n" % sites.plain,
    ):
        answer = (await (await dial()).says(request)).decode()
        assert answer.startswith("HTTP/1.1 403 ")
        assert "no es una dirección pública" in answer
    assert sites.callers == 0


@pytest.mark.parametrize("name", ["evil.com", "a.example.org", None])
async def test_tls_for_another_name_does_not_pass(make: Make, sites: Sites, dial: Dial, name: str | None) -> None:
    proxy = await make()
    line = await dial()
    assert (await line.connect("example.com", sites.tls)).startswith(b"HTTP/1.1 200")
    context = ssl._create_unverified_context()
    with pytest.raises((ssl.SSLError, OSError)):
        await line.writer.start_tls(context, server_hostname=name or "127.0.0.1")  # no name is sent for an address
    assert sites.received == []
    assert proxy.refusals == [f"Se pidió «example.com», pero la conexión nombra «{name or ''}»: no se permite."]


@pytest.mark.parametrize(
    "data", [b"SSH-2.0-OpenSSH\r\n", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01" + b"\xff" * 70_000]
)
async def test_what_is_not_tls_does_not_pass(make: Make, sites: Sites, dial: Dial, data: bytes) -> None:
    proxy = await make()
    line = await dial()
    await line.connect("example.com", sites.tls)
    assert await line.says(data) == b""
    assert sites.received == []
    assert proxy.refusals == ["Por el túnel a «example.com» solo se permite TLS."]


@pytest.mark.parametrize(
    "request_",
    [
        b"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n",
        b"GET https://example.com/ HTTP/1.1\r\nHost: example.com\r\n\r\n",
        b"GET ftp://example.com/ HTTP/1.1\r\nHost: example.com\r\n\r\n",
        b"CONNECT example.com HTTP/1.1\r\nHost: example.com\r\n\r\n",
        b"CONNECT example.com:x HTTP/1.1\r\nHost: example.com\r\n\r\n",
        b"CONNECT http://example.com:443 HTTP/1.1\r\nHost: example.com\r\n\r\n",
        b"\x05\x01\x00",
        b"hola\r\n\r\n",
        b"GET http://example.com/ HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 60_000,
        b"GET http://example.com/ HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    ],
)
async def test_what_is_no_request_to_a_proxy_is_refused(make: Make, sites: Sites, dial: Dial, request_: bytes) -> None:
    await make()
    line = await dial()
    line.writer.write(request_)
    if request_ == b"\x05\x01\x00":
        line.writer.write_eof()
    try:
        answer = await line.reader.read(-1)
    except ConnectionResetError:  # it did not read all of it
        answer = b""
    assert not answer.startswith(b"HTTP/1.1 2")
    assert sites.callers == 0


async def test_one_request_can_not_be_two(make: Make, sites: Sites, dial: Dial) -> None:
    await make()
    inner = b"GET /dos HTTP/1.1\r\nHost: evil.com\r\n\r\n"
    start = b"POST http://example.com:%d/uno HTTP/1.1\r\nHost: evil.com\r\n" % sites.plain
    chunked = b"%x\r\n%s\r\n0\r\n\r\n" % (len(inner), inner)
    for request in (
        start + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked,
        start + b"Content-Length: 0\r\n\r\n" + inner,
        start.replace(b"POST", b"GET") + b"\r\n" + inner,
    ):
        sites.received.clear()
        answer = await (await dial()).says(request)
        assert answer.count(b"HTTP/1.1 ") == 1
        sent = b"".join(sites.received)
        assert b"host: example.com:" in sent.lower().split(b"\r\n\r\n")[0]
        framed = b"\r\n%x\r\n" % len(inner)
        assert (b"/dos" not in sent) or (framed in sent and b"content-length" not in sent.lower())


async def test_a_site_that_errs_or_is_not_there_is_said(make: Make, sites: Sites, dial: Dial) -> None:
    await make()
    sites.answer = b"SSH-2.0\r\n\r\n"
    request = b"GET http://example.com:%d/ HTTP/1.1\r\nHost: x\r\n\r\n" % sites.plain
    assert "no responde como una página web" in (await (await dial()).says(request)).decode()
    lost = b"CONNECT perdido.example.org:%d HTTP/1.1\r\nHost: x\r\n\r\n" % sites.tls
    answer = (await (await dial()).says(lost)).decode()
    assert answer.startswith("HTTP/1.1 502 ")
    assert "No existe el sitio «perdido.example.org»" in answer


async def test_the_loopback_port_is_only_for_the_command(make: Make, sites: Sites) -> None:
    proxy = await make()
    way = await proxy.listen_tcp()
    others = way.replace("nanobot:", "nanobot:x"), "http://" + way.rpartition("@")[2]
    for other in others:
        answer = await asyncio.to_thread(get, other, f"http://example.com:{sites.plain}/")
        assert answer.startswith("407 Este proxy solo sirve a la orden")
        assert "407" in await asyncio.to_thread(get, other, f"https://example.com:{sites.tls}/")
    assert sites.callers == 0


# ---------------------------------------------------------------- limits


async def test_a_grant_moves_only_so_many_bytes(make: Make, sites: Sites, dial: Dial) -> None:
    await make(ProxyLimits(total_bytes=200_000))
    line = await dial()
    await line.connect("example.com", sites.tls)
    await line.writer.start_tls(trusting, server_hostname="example.com")
    with pytest.raises((OSError, asyncio.IncompleteReadError)):
        for _ in range(100):
            line.writer.write(b"eco" * 2_000)
            await line.reader.readexactly(6_000)
    assert sum(map(len, sites.received)) < 200_000
    assert await (await dial()).says(b"CONNECT example.com:%d HTTP/1.1\r\nHost: x\r\n\r\n" % sites.tls) == b""


async def test_a_silent_connection_is_ended(make: Make, sites: Sites, dial: Dial) -> None:
    await make(ProxyLimits(idle=1))
    assert await (await dial()).says(b"") == b""
    assert await (await dial()).says(b"GET http://exa") == b""
    line = await dial()
    await line.connect("example.com", sites.tls)
    assert await line.says(b"") == b""


async def test_a_tunnel_in_use_is_not_idle(make: Make, sites: Sites, dial: Dial) -> None:
    await make(ProxyLimits(idle=1.5))
    line = await dial()
    await line.connect("example.com", sites.tls)
    await line.writer.start_tls(trusting, server_hostname="example.com")
    for _ in range(12):
        line.writer.write(b"eco")
        assert await line.reader.readexactly(3) == b"eco"
        await asyncio.sleep(0.25)


async def test_only_so_many_connections_at_once(make: Make, sites: Sites, dial: Dial) -> None:
    await make(ProxyLimits(connections=2))
    held = [await dial() for _ in range(2)]
    for line in held:
        await line.connect("example.com", sites.tls)
    request = b"GET http://example.com:%d/ HTTP/1.1\r\nHost: x\r\n\r\n" % sites.plain
    assert (await (await dial()).says(request)).startswith(b"HTTP/1.1 503 ")
    held[0].writer.transport.abort()
    async with asyncio.timeout(10):
        answer = b""
        while not answer.endswith(b"hola"):
            with suppress(ConnectionResetError):
                line = await dial()
                answer = await line.says(request)
            line.writer.transport.abort()


async def test_it_all_ends_with_the_grant(make: Make, sites: Sites, dial: Dial) -> None:
    proxy = await make(ProxyLimits(seconds=1.5))
    line = await dial()
    await line.connect("example.com", sites.tls)
    assert await line.says(b"") == b""
    with pytest.raises(OSError):
        await dial()
    await proxy.aclose()


async def test_closing_ends_what_is_open(make: Make, sites: Sites, dial: Dial) -> None:
    proxy = await make()
    line = await dial()
    await line.connect("example.com", sites.tls)
    await proxy.aclose()
    assert await line.reader.read(-1) == b""
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_unix_connection(sites.proxy)
    with pytest.raises(OSError):
        await dial()


# ---------------------------------------------------------------- the list of sites


def test_the_list_of_sites() -> None:
    hosts = AllowedHosts(["PyPI.org", "*.Example.org.", "ñandú.es"])
    assert all(
        host in hosts for host in ("pypi.org", "PYPI.ORG.", "a.example.org", "a.b.example.org", "xn--and-6ma2c.es")
    )
    others = ("example.org", "xexample.org", "pypi.org.evil.com", "a.pypi.org", "", ".", "org")
    assert not any(host in hosts for host in others)


@pytest.mark.parametrize(
    "entry",
    ["", "*", "*.", "*.com", "com", "localhost", "*.local", "127.0.0.1", "[::1]", "::1", "a.*.com", "**.a.com", "http://a.com",
     "a.com/", "a.com:443", "u@a.com", "a b.com", "metadata.google.internal", "10.0.0.0/8"],
)  # fmt: skip
def test_an_entry_that_opens_too_much_is_refused(entry: str) -> None:
    with pytest.raises(FetchError, match="no es un sitio que se pueda permitir"):
        AllowedHosts([entry])
