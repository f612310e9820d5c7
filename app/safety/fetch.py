"""Reads public web pages. The address that is checked is the address that is connected to, on every hop."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Collection, Sequence
from ipaddress import IPv6Address, ip_address

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from loguru import logger
from yarl import URL

from app.core import texts_safety as texts
from app.core.contracts import Page
from app.core.errors import FetchError
from app.safety import body
from app.safety.addresses import PORTS, AddressPolicy, is_elsewhere, parse_url, read_url
from app.safety.readable import readable

Lookup = Callable[[str, int], Awaitable[Sequence[str]]]

MAX_HOPS = 5
MAX_WIRE = 3_000_000  # bytes received
MAX_BODY = 6_000_000  # bytes once inflated
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_HEADERS = {
    "User-Agent": "Mozilla/5.0 (compatible; Nanobot/0.1; personal agent)",
    "Accept": "text/html,text/markdown,text/plain,application/json,application/xml;q=0.9,text/*;q=0.8",
    "Accept-Language": "es,en;q=0.7",
    "Accept-Encoding": "gzip, deflate",
}


class WebFetcher:
    """`allow` and `ports` are the address policy, `lookup` the DNS; `seconds` is for one page with all its hops."""

    def __init__(
        self,
        *,
        seconds: float = 20.0,
        allow: AddressPolicy = is_elsewhere,
        ports: Collection[int] = PORTS,
        lookup: Lookup | None = None,
    ) -> None:
        self._seconds = seconds
        self._allow = allow
        self._ports = ports
        self._lookup = lookup or _system_lookup
        self._session: aiohttp.ClientSession | None = None

    async def fetch(self, url: str, max_chars: int = 20_000) -> Page:
        target = parse_url(url, self._allow, self._ports)
        try:
            async with asyncio.timeout(self._seconds):
                return await self._follow(target, max_chars)
        except TimeoutError:
            raise FetchError(texts.fetch_timeout(self._seconds)) from None
        except aiohttp.ClientConnectorDNSError as error:
            raise FetchError(texts.fetch_no_dns(error.host)) from None
        except (aiohttp.ClientSSLError, ssl.SSLError):
            raise FetchError(texts.fetch_bad_certificate(target.raw_host or "")) from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            logger.debug("fetch failed: {}", type(error).__name__)
            raise FetchError(texts.fetch_no_connection(target.raw_host or "")) from None

    async def aclose(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _follow(self, url: URL, max_chars: int) -> Page:
        for _ in range(MAX_HOPS + 1):
            async with self._client().get(url, allow_redirects=False) as response:
                location = response.headers.get("Location")
                if response.status not in _REDIRECTS or location is None:
                    return await _page(response, url, max_chars)
            url = self._next(url, location)
        raise FetchError(texts.TOO_MANY_REDIRECTS)

    def _next(self, url: URL, location: str) -> URL:
        following = parse_url(str(url.join(read_url(location))), self._allow, self._ports)
        if url.scheme == "https" and following.scheme == "http":
            raise FetchError(texts.URL_DOWNGRADE)
        return following

    def _client(self) -> aiohttp.ClientSession:
        """One for the fetcher's life, made inside the running loop. No proxy, no cookie, no connection kept."""
        if self._session is None:
            connector = aiohttp.TCPConnector(
                resolver=_CheckedResolver(self._lookup, self._allow), use_dns_cache=False, force_close=True
            )
            self._session = aiohttp.ClientSession(
                connector=connector, cookie_jar=aiohttp.DummyCookieJar(), headers=_HEADERS, auto_decompress=False,
                trust_env=False, timeout=aiohttp.ClientTimeout(total=None),
            )  # fmt: skip
        return self._session


class _CheckedResolver(AbstractResolver):
    """Resolves once and gives only what was checked: there is no second look-up between check and connection."""

    def __init__(self, lookup: Lookup, allow: AddressPolicy) -> None:
        self._lookup = lookup
        self._allow = allow

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        addresses = [ip_address(found) for found in await self._lookup(host, port)]
        if not addresses:
            raise OSError("no address")
        if not all(map(self._allow, addresses)):
            raise FetchError(texts.url_private(host))
        return [
            ResolveResult(
                hostname=host, host=str(address), port=port, proto=socket.IPPROTO_TCP, flags=socket.AI_NUMERICHOST,
                family=socket.AF_INET6 if isinstance(address, IPv6Address) else socket.AF_INET,
            )
            for address in addresses
        ]  # fmt: skip

    async def close(self) -> None:
        pass


async def _system_lookup(host: str, port: int) -> list[str]:
    """In a thread. Raises OSError."""
    loop = asyncio.get_running_loop()
    answers = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    return list(dict.fromkeys(str(answer[4][0]) for answer in answers))


async def _page(response: aiohttp.ClientResponse, url: URL, max_chars: int) -> Page:
    if response.status >= 400:
        raise FetchError(texts.fetch_status(response.status))
    kind, charset = body.content_type(response.headers.get("Content-Type", ""))
    body.check_textual(kind)
    encoding = ",".join(response.headers.getall("Content-Encoding", []))
    raw, cut = await _receive(response)
    return await asyncio.to_thread(_read, raw, encoding, (kind, charset), str(url), max_chars=max_chars, cut=cut)


async def _receive(response: aiohttp.ClientResponse) -> tuple[bytes, bool]:
    received = bytearray()
    async for chunk in response.content.iter_any():
        received += chunk
        if len(received) > MAX_WIRE:
            return bytes(received[:MAX_WIRE]), True
    return bytes(received), False


def _read(raw: bytes, encoding: str, kind: tuple[str, str], url: str, *, max_chars: int, cut: bool) -> Page:
    data, more = body.inflate(raw, encoding, MAX_BODY)
    if b"\0" in data[:8192] and not data.startswith((b"\xff\xfe", b"\xfe\xff")) and "utf-16" not in kind[1]:
        raise FetchError(texts.fetch_not_text(kind[0] or texts.unknown_kind("")))
    text = body.decode(data, kind[1])
    title, text = readable(text, url) if body.is_html(kind[0], text) else ("", text)
    return Page(url, title, text[:max_chars], truncated=cut or more or len(text) > max_chars)
