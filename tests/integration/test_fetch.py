"""web_fetch against a real server on loopback: what pages do, and what hostile ones try."""

from __future__ import annotations

import asyncio
import gzip
import time
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Callable
from ipaddress import ip_address

import pytest
from aiohttp import web

from app.core.errors import FetchError
from app.safety import exchange, readable
from app.safety import fetch as fetch_module
from app.safety.addresses import IPAddress
from app.safety.fetch import WebFetcher
from app.safety.leaks import UrlGuard
from app.safety.redaction import SecretRedactor

ARTICLE = (
    "<html><head><title> Una  página &amp; más </title><script>alert('x')</script></head><body>"
    "<nav><a href='/'>Inicio</a></nav><article><h1>La señal</h1><p>"
    + "El niño pingüino comió <b>camarón</b> en la <a href='/otra'>otra página</a>. " * 5
    + "</p><ul><li>uno</li><li>dos</li></ul></article></body></html>"
)
SPANISH = "El niño comió: €5"


def loopback(address: IPAddress) -> bool:
    return address.is_loopback


class Site:
    """A server that answers as its `pages` say and counts what it was asked."""

    def __init__(self) -> None:
        self.pages: dict[str, web.StreamResponse | Exception] = {}
        self.requests: list[web.BaseRequest] = []
        self.port = 0

    def url(self, path: str = "/", host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"

    def says(self, path: str, body: str | bytes = "", **kwargs: object) -> str:
        data = body.encode() if isinstance(body, str) else body
        if not {"headers", "content_type"} & kwargs.keys():
            kwargs["content_type"] = "text/plain"
        self.pages[path] = web.Response(body=data, **kwargs)  # type: ignore[arg-type]
        return self.url(path)

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self.requests.append(request)
        if request.path == "/gota":
            return await self.drip(request)
        if request.path == "/infinita":
            return await self.endless(request)
        page = self.pages.pop(request.path, None)
        return page if isinstance(page, web.StreamResponse) else web.Response(status=404)

    async def drip(self, request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        await response.prepare(request)
        while True:
            await response.write(b".")
            await asyncio.sleep(0.05)

    async def endless(self, request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        await response.prepare(request)
        while True:
            await response.write(b"linea interminable\n" * 5_000)


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    site = Site()
    server = web.Server(site.answer)
    runner = web.ServerRunner(server, shutdown_timeout=0.1)
    await runner.setup()
    listener = web.TCPSite(runner, "127.0.0.1", 0)
    await listener.start()
    site.port = runner.addresses[0][1]
    yield site
    await runner.cleanup()


@pytest.fixture
async def fetcher(site: Site) -> AsyncIterator[WebFetcher]:
    fetcher = WebFetcher(allow=loopback, ports={site.port}, lookup=only_loopback, seconds=10)
    yield fetcher
    await fetcher.aclose()


@pytest.fixture
async def closing() -> AsyncIterator[Closing]:
    fetchers: list[WebFetcher] = []

    def remember(fetcher: WebFetcher) -> WebFetcher:
        fetchers.append(fetcher)
        return fetcher

    yield remember
    for fetcher in fetchers:
        await fetcher.aclose()


Closing = Callable[[WebFetcher], WebFetcher]


async def only_loopback(host: str, port: int) -> list[str]:
    return ["127.0.0.1"]


async def test_a_page_becomes_readable_markdown(site: Site, fetcher: WebFetcher) -> None:
    page = await fetcher.fetch(site.says("/a", ARTICLE, content_type="text/html", charset="utf-8"))
    assert page.title == "Una página & más"
    assert page.url == site.url("/a")
    assert "niño pingüino" in page.text
    assert "**camarón**" in page.text
    assert "](http" in page.text
    assert "- uno" in page.text
    assert "alert" not in page.text
    assert not page.truncated


async def test_a_page_without_an_article_still_gives_its_text(site: Site, fetcher: WebFetcher) -> None:
    html = "<html><head><title>t</title><style>p{}</style></head><body><p>Hola</p></body></html>"
    page = await fetcher.fetch(site.says("/a", html, content_type="text/html"))
    assert "Hola" in page.text
    assert "p{}" not in page.text


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("text/plain", SPANISH),
        ("application/json", '{"a": "ñ"}'),
        ("application/vnd.api+json; charset=utf-8", "{}"),
        ("application/rss+xml", "<rss>ñ</rss>"),
        ("text/markdown", "# ñ"),
        ("text/x-python", "print('ñ')"),
        ("", "sin tipo"),
    ],
)
async def test_text_comes_as_it_is(site: Site, fetcher: WebFetcher, kind: str, body: str) -> None:
    page = await fetcher.fetch(site.says("/a", body, headers={"Content-Type": kind}))
    assert page.text == body


@pytest.mark.parametrize(
    "kind",
    [
        "application/pdf",
        "image/png",
        "application/octet-stream",
        "video/mp4",
        "application/zip",
        "multipart/x-mixed-replace",
    ],
)
async def test_other_types_are_refused_by_name(site: Site, fetcher: WebFetcher, kind: str) -> None:
    with pytest.raises(FetchError, match=kind):
        await fetcher.fetch(site.says("/a", b"%PDF-1.7", headers={"Content-Type": kind}))


async def test_binary_data_that_calls_itself_text_is_refused(site: Site, fetcher: WebFetcher) -> None:
    with pytest.raises(FetchError, match="no es una página de texto"):
        await fetcher.fetch(site.says("/a", b"\x7fELF\0\0\0", headers={"Content-Type": "text/plain"}))


@pytest.mark.parametrize(
    ("kind", "data", "text"),
    [
        ("text/plain; charset=iso-8859-1", "El niño comió".encode("latin-1"), "El niño comió"),
        ("text/plain; charset=ISO-8859-1", b"\x80 5", "€ 5"),
        ("text/plain; charset=windows-1252", SPANISH.encode("cp1252"), SPANISH),
        ("text/plain", SPANISH.encode("cp1252"), SPANISH),
        ("text/plain", SPANISH.encode(), SPANISH),
        ("text/plain; charset=latin-1", b"\xef\xbb\xbf" + SPANISH.encode(), SPANISH),
        ("text/plain", SPANISH.encode("utf-16"), SPANISH),
        ("text/plain; charset=utf-16le", SPANISH.encode("utf-16-le"), SPANISH),
        ("text/plain; charset=shift_jis", "日本".encode("shift_jis"), "日本"),
        ("text/plain; charset=unicode_escape", rb"a\u0041", r"a\u0041"),
        ("text/plain; charset=punycode", b"a-b", "a-b"),
        ("text/plain; charset=inventado", SPANISH.encode(), SPANISH),
        ("application/xml", '<?xml version="1.0" encoding="iso-8859-15"?><a>€</a>'.encode("iso-8859-15"), "€"),
        ("text/html", b"<html><head><meta charset=latin-1></head><body><p>ma\xf1ana</p></body></html>", "mañana"),
        (
            "text/html",
            b"<html><meta http-equiv=content-type content='text/html; charset=koi8-r'><p>"
            + "привет".encode("koi8-r") + b"</p></html>",
            "привет",
        ),
        ("text/html; charset=utf-8", "<html><meta charset=latin-1><p>mañana</p></html>".encode(), "mañana"),
    ],
)  # fmt: skip
async def test_charsets(site: Site, fetcher: WebFetcher, kind: str, data: bytes, text: str) -> None:
    page = await fetcher.fetch(site.says("/a", data, headers={"Content-Type": kind}))
    assert text in page.text


@pytest.mark.parametrize(
    ("encoding", "data"),
    [
        ("gzip", gzip.compress(SPANISH.encode())),
        ("x-gzip", gzip.compress(SPANISH.encode()[:5]) + gzip.compress(SPANISH.encode()[5:])),
        ("deflate", zlib.compress(SPANISH.encode())),
        ("deflate", zlib.compress(SPANISH.encode())[2:-4]),
        ("identity", SPANISH.encode()),
    ],
)
async def test_compressed_pages(site: Site, fetcher: WebFetcher, encoding: str, data: bytes) -> None:
    headers = {"Content-Type": "text/plain", "Content-Encoding": encoding}
    page = await fetcher.fetch(site.says("/a", data, headers=headers))
    assert page.text == SPANISH
    assert site.requests[0].headers["Accept-Encoding"] == "gzip, deflate"


@pytest.mark.parametrize(
    ("encoding", "data"),
    [
        ("br", b"x"),
        ("gzip, gzip", gzip.compress(gzip.compress(b"x"))),
        ("gzip", b"no es gzip"),
        ("deflate", b"\xff" * 9),
    ],
)
async def test_what_cannot_be_inflated_is_refused(site: Site, fetcher: WebFetcher, encoding: str, data: bytes) -> None:
    headers = {"Content-Type": "text/plain", "Content-Encoding": encoding}
    with pytest.raises(FetchError, match="comprimida"):
        await fetcher.fetch(site.says("/a", data, headers=headers))


def bomb() -> bytes:
    compressor = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    block = b"a" * 10_000_000
    return b"".join([compressor.compress(block) for _ in range(30)] + [compressor.flush()])


@pytest.mark.parametrize("kind", ["text/plain", "text/html"])
async def test_a_gzip_bomb_costs_little(site: Site, fetcher: WebFetcher, kind: str) -> None:
    data = bomb()
    assert len(data) < 400_000
    url = site.says("/a", data, headers={"Content-Type": kind, "Content-Encoding": "gzip"})
    tracemalloc.start()
    page = await fetcher.fetch(url)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert page.truncated
    assert len(page.text) <= 20_000
    assert peak < 60_000_000


async def test_thousands_of_gzip_members_cost_little(site: Site, fetcher: WebFetcher) -> None:
    data = gzip.compress(b"") * 100_000
    began = time.perf_counter()
    await fetcher.fetch(site.says("/a", data, headers={"Content-Type": "text/plain", "Content-Encoding": "gzip"}))
    assert time.perf_counter() - began < 2


async def test_an_endless_page_is_cut(site: Site, fetcher: WebFetcher) -> None:
    page = await fetcher.fetch(site.url("/infinita"), max_chars=1_000)
    assert page.truncated
    assert len(page.text) == 1_000


async def test_a_drip_of_bytes_ends_at_the_deadline(site: Site, closing: Closing) -> None:
    fetcher = closing(WebFetcher(allow=loopback, ports={site.port}, seconds=0.3))
    began = time.perf_counter()
    with pytest.raises(FetchError, match=r"0\.3 s"):
        await fetcher.fetch(site.url("/gota"))
    assert time.perf_counter() - began < 1.5


async def test_the_deadline_covers_the_dns_and_all_hops(site: Site, closing: Closing) -> None:
    async def slow(host: str, port: int) -> list[str]:
        await asyncio.sleep(30)
        return []

    fetcher = closing(WebFetcher(allow=loopback, ports={site.port}, seconds=0.1, lookup=slow))
    with pytest.raises(FetchError, match=r"0\.1 s"):
        await fetcher.fetch(site.url("/", "www.example.com"))


async def test_fetches_run_in_parallel(closing: Closing) -> None:
    arrived = asyncio.Event()
    gathered = 0

    async def meet(request: web.BaseRequest) -> web.StreamResponse:
        nonlocal gathered
        gathered += 1
        if gathered == 8:
            arrived.set()
        await arrived.wait()
        return web.Response(text="juntos")

    runner = web.ServerRunner(web.Server(meet), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = runner.addresses[0][1]
    many = closing(WebFetcher(allow=loopback, ports={port}, seconds=5))
    pages = await asyncio.gather(*(many.fetch(f"http://127.0.0.1:{port}/{n}") for n in range(8)))
    assert {page.text for page in pages} == {"juntos"}
    await runner.cleanup()


async def test_redirects_are_followed_and_the_last_address_is_told(site: Site, fetcher: WebFetcher) -> None:
    site.says("/a", status=302, headers={"Location": "b?x=1#y"})
    site.says("/b", status=308, headers={"Location": f"//127.0.0.1:{site.port}/c"})
    site.says("/c", "llegué")
    page = await fetcher.fetch(site.url("/a"))
    assert (page.url, page.text) == (site.url("/c"), "llegué")


@pytest.mark.parametrize(
    "location",
    [
        "http://169.254.169.254/latest/meta-data/", "http://localhost/", "http://[::ffff:127.0.0.1]/", "file:///etc/passwd",
        "http://127.0.0.1:22/", "http://user@127.0.0.1/", "//10.0.0.1/", "http://2130706433/", "http://[::1",
        "http://[]@/", "//[]", "ftp://127.0.0.1/",
        "http://127.0.0.1\\@example.com/",
    ],
)  # fmt: skip
async def test_a_redirect_is_checked_like_the_first_address(site: Site, fetcher: WebFetcher, location: str) -> None:
    with pytest.raises(FetchError):
        await fetcher.fetch(site.says("/a", status=302, headers={"Location": location}))
    assert len(site.requests) == 1


async def test_a_redirect_from_a_public_page_to_a_private_one_is_refused(site: Site, closing: Closing) -> None:
    """`allow` lets the first address through, as a public page would be; the real rules judge where it leads."""
    public = {"127.0.0.1": True, "127.0.0.2": False}
    fetcher = closing(WebFetcher(allow=lambda address: public.get(str(address), False), ports={site.port}))
    with pytest.raises(FetchError, match="no es una dirección pública"):
        await fetcher.fetch(site.says("/a", status=301, headers={"Location": f"http://127.0.0.2:{site.port}/"}))
    assert [r.path for r in site.requests] == ["/a"]


async def test_a_redirect_to_where_a_secret_would_go_is_refused(site: Site, closing: Closing) -> None:
    guard = UrlGuard(SecretRedactor(["clave-muy-secreta"]))
    fetcher = closing(WebFetcher(allow=loopback, ports={site.port}, guard=guard))
    with pytest.raises(FetchError, match="contiene una clave"):
        await fetcher.fetch(site.says("/a", status=302, headers={"Location": "/b?k=clave-muy-secreta"}))
    assert [r.path for r in site.requests] == ["/a"]


async def test_of_an_enormous_page_the_beginning_is_read(site: Site, fetcher: WebFetcher) -> None:
    html = "<html><body><p>" + "x" * (readable.MAX_HTML + 1)
    page = await fetcher.fetch(site.says("/a", html, content_type="text/html"), max_chars=10**9)
    assert page.truncated
    assert len(page.text) < readable.MAX_HTML


async def test_a_redirect_without_end_is_left(site: Site, fetcher: WebFetcher) -> None:
    for n in range(10):
        site.says(f"/{n}", status=302, headers={"Location": f"/{n + 1}"})
    with pytest.raises(FetchError, match="demasiadas veces"):
        await fetcher.fetch(site.url("/0"))
    assert len(site.requests) == 6


async def test_the_name_is_looked_up_once_and_the_host_is_the_one_asked_for(site: Site, closing: Closing) -> None:
    """A second answer would lead elsewhere: rebinding has nothing to win."""
    answers = iter([["127.0.0.1"], ["10.0.0.1"]])

    async def rebinding(host: str, port: int) -> list[str]:
        return next(answers)

    fetcher = closing(WebFetcher(allow=loopback, ports={site.port}, lookup=rebinding))
    site.says("/", "hola")
    page = await fetcher.fetch(site.url("/", "www.example.com"))
    assert page.text == "hola"
    assert site.requests[0].headers["Host"] == f"www.example.com:{site.port}"
    with pytest.raises(FetchError, match="no es una dirección pública"):
        await fetcher.fetch(site.url("/", "www.example.com"))


async def test_tls_is_spoken_for_the_name_asked_for(closing: Closing) -> None:
    hello = asyncio.get_running_loop().create_future()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        hello.set_result(await reader.read(4_096))
        writer.close()

    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    fetcher = closing(WebFetcher(allow=loopback, ports={port}, lookup=only_loopback))
    with pytest.raises(FetchError):
        await fetcher.fetch(f"https://www.example.com:{port}/")
    assert b"www.example.com" in await hello
    server.close()


async def test_proxies_and_cookies_of_the_environment_are_ignored(
    site: Site, fetcher: WebFetcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    site.says("/a", "uno", headers={"Set-Cookie": "a=1", "Content-Type": "text/plain"})
    site.says("/b", "dos")
    await fetcher.fetch(site.url("/a"))
    assert (await fetcher.fetch(site.url("/b"))).text == "dos"
    assert "Cookie" not in site.requests[1].headers


async def test_the_control_loopback_is_only_reached_because_the_test_allows_it(site: Site, closing: Closing) -> None:
    site.says("/", "secreto")
    fetcher = closing(WebFetcher(ports={site.port}, lookup=only_loopback))
    for host in ("127.0.0.1", "www.example.com"):
        with pytest.raises(FetchError, match="no es una dirección pública"):
            await fetcher.fetch(site.url("/", host))
    assert site.requests == []
    open_to_all = closing(WebFetcher(allow=lambda address: True, ports={site.port}, lookup=only_loopback))
    assert (await open_to_all.fetch(site.url("/", "www.example.com"))).text == "secreto"


async def test_failures_are_told_in_words(site: Site, fetcher: WebFetcher, closing: Closing) -> None:
    with pytest.raises(FetchError, match="error 404"):
        await fetcher.fetch(site.url("/nada"))

    async def nobody(host: str, port: int) -> list[str]:
        raise OSError("no such name")

    lost = closing(WebFetcher(allow=loopback, ports={site.port, 1}, lookup=nobody))
    with pytest.raises(FetchError, match=r"No existe el sitio «www\.example\.com»"):
        await lost.fetch(site.url("/", "www.example.com"))
    with pytest.raises(FetchError, match="No se puede conectar"):
        await lost.fetch("http://127.0.0.1:1/")


async def test_nothing_that_is_parsed_holds_the_event_loop(site: Site, fetcher: WebFetcher) -> None:
    html = "<html><body><ul>" + "<li>a</li>" * 20_000 + "</ul></body></html>"
    url = site.says("/a", html, content_type="text/html")
    longest, last = 0.0, time.perf_counter()
    task = asyncio.create_task(fetcher.fetch(url))
    while not task.done():
        await asyncio.sleep(0.005)
        now = time.perf_counter()
        longest, last = max(longest, now - last), now
    assert (await task).text.startswith("- a")
    assert longest < 0.4


def test_limits_are_what_the_tests_assume() -> None:
    assert exchange.MAX_WIRE < fetch_module.MAX_BODY < 10_000_000
    assert ip_address("127.0.0.1").is_loopback
