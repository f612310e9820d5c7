"""What both SDKs need of their HTTP client: an error's body may not fill the memory. Knows no HTTP library."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Protocol, cast

import aiohttp

MAX_ERROR_BYTES = 65_536


class ByteStream(Protocol):
    def __aiter__(self) -> AsyncIterator[bytes]: ...

    async def aclose(self) -> None: ...


class Response(Protocol):
    """httpx.Response and httpx2.Response."""

    status_code: int
    headers: Any
    stream: Any


class _Capped:
    def __init__(self, whole: ByteStream) -> None:
        self._whole = whole

    async def __aiter__(self) -> AsyncIterator[bytes]:
        left = MAX_ERROR_BYTES
        async for chunk in self._whole:
            yield chunk[:left]
            left -= len(chunk)
            if left <= 0:
                return

    async def aclose(self) -> None:
        await self._whole.aclose()


def cap_errors(base: type) -> Callable[[Response], Awaitable[None]]:
    """An event hook for the client: the SDK reads an error's body to its end, so the end must come soon.

    `base`: the library's AsyncByteStream, which it insists on.
    """
    stream_class = cast("Callable[[ByteStream], ByteStream]", type("CappedStream", (_Capped, base), {}))

    async def hook(response: Response) -> None:
        if response.status_code >= 400:
            response.headers.pop("content-encoding", None)  # we asked for none, and 64 KB can unpack to gigabytes
            response.stream = stream_class(response.stream)

    return hook


async def read_capped(content: aiohttp.StreamReader, limit: int) -> bytes:
    """At most `limit` bytes of a body, however many pieces it comes in."""
    pieces: list[bytes] = []
    while limit > 0 and (piece := await content.read(limit)):
        pieces.append(piece)
        limit -= len(piece)
    return b"".join(pieces)
