"""Reads public web pages. The address that is checked is the address that is connected to, on every hop."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Collection
from contextlib import suppress

from yarl import URL

from app.core import texts_fetch as texts
from app.core.contracts import Page
from app.core.errors import FetchError
from app.safety import body
from app.safety.addresses import PORTS, AddressPolicy, parse_url, read_url
from app.safety.dialing import Dialer
from app.safety.exchange import Answer, requested
from app.safety.leaks import UrlGuard
from app.safety.lookup import Lookup, system_lookup
from app.safety.own import is_elsewhere
from app.safety.readable import MAX_HTML, PageReader

MAX_HOPS = 5
MAX_BODY = 6_000_000  # bytes once inflated
_AT_ONCE = 16  # pages on their way; each may hold MAX_BODY
_READING = 8.0  # s for the text of one page
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


class WebFetcher:
    """`allow` and `ports` are the address policy, `lookup` the DNS; `seconds` is for one page with all its hops.

    `guard` says which URLs would leak a secret.
    """

    def __init__(
        self,
        *,
        seconds: float = 20.0,
        allow: AddressPolicy = is_elsewhere,
        ports: Collection[int] = PORTS,
        lookup: Lookup = system_lookup,
        guard: UrlGuard | None = None,
    ) -> None:
        self._seconds = seconds
        self._dialer = Dialer(allow, lookup)
        self._ports = ports
        self._guard = guard
        self._reader = PageReader()
        self._tls: ssl.SSLContext | None = None
        self._places = asyncio.Semaphore(_AT_ONCE)

    async def fetch(self, url: str, max_chars: int = 20_000) -> Page:
        """Raises FetchError."""
        target = self._checked(url)
        async with self._places:
            end = asyncio.get_running_loop().time() + self._seconds
            title = ""
            try:
                async with asyncio.timeout_at(end):
                    final, kind, data, cut = await self._follow(target)
                    text = await asyncio.to_thread(_text, data, kind)
                    if body.is_html(kind[0], text):
                        cut = cut or len(text) > MAX_HTML
                        title, text = await self._readable(text, str(final), end)
            except TimeoutError:
                raise FetchError(texts.fetch_timeout(self._seconds)) from None
        return Page(str(final), title, text[:max_chars], truncated=cut or len(text) > max_chars)

    async def aclose(self) -> None:
        await asyncio.to_thread(self._reader.close)

    def _checked(self, url: str) -> URL:
        target = parse_url(url, self._dialer.allow, self._ports)
        if self._guard is not None and self._guard.carries_secret(url):
            raise FetchError(texts.URL_LEAKS)
        return target

    async def _follow(self, url: URL) -> tuple[URL, body.Kind, bytes, bool]:
        for _ in range(MAX_HOPS + 1):
            async with requested(self._dialer, url, await self._context(url)) as answer:
                if answer.status not in _REDIRECTS:
                    return url, *await _download(answer)
                url = self._next(url, answer)
        raise FetchError(texts.TOO_MANY_REDIRECTS)

    def _next(self, url: URL, answer: Answer) -> URL:
        locations = set(answer.headers(b"location"))
        if len(locations) != 1:
            raise FetchError(texts.fetch_redirect_nowhere(answer.status))
        following = self._checked(str(_join(url, locations.pop())))
        if url.scheme == "https" and following.scheme == "http":
            raise FetchError(texts.URL_DOWNGRADE)
        return following

    async def _readable(self, text: str, url: str, end: float) -> tuple[str, str]:
        left = end - asyncio.get_running_loop().time()
        return await self._reader.read(text, url, min(_READING, left * 0.8))  # the rest is for the plain way

    async def _context(self, url: URL) -> ssl.SSLContext | None:
        if url.scheme == "https" and self._tls is None:
            self._tls = await asyncio.to_thread(ssl.create_default_context)
        return self._tls if url.scheme == "https" else None


def _join(url: URL, location: str) -> URL:
    following = read_url(location)
    with suppress(ValueError):
        return url.join(following)
    raise FetchError(texts.URL_UNREADABLE)


async def _download(answer: Answer) -> tuple[body.Kind, bytes, bool]:
    if not 200 <= answer.status < 300:
        raise FetchError(texts.fetch_status(answer.status))
    kind = body.content_type((answer.headers(b"content-type") or [""])[-1])
    body.check_textual(kind[0])
    encoding = ",".join(answer.headers(b"content-encoding"))
    raw, cut = await answer.body()
    if not raw:
        raise FetchError(texts.FETCH_EMPTY)
    data, missing = await asyncio.to_thread(body.inflate, raw, encoding, MAX_BODY)
    return kind, data, cut or missing


def _text(data: bytes, kind: body.Kind) -> str:
    body.check_is_text(data, *kind)
    return body.decode(data, kind[1])
