"""A streamed HTTP body to StreamItems: server-sent events, patience with a slow provider, the sum of a stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Iterable, Iterator
from contextlib import aclosing, suppress
from typing import Protocol, TypeVar

from app.cloud.failures import Origin
from app.core.contracts import StreamEnd, StreamItem, TextDelta, ToolCallDelta
from app.core.messages import Reply, ToolCall

T = TypeVar("T")
_DRAIN_SECONDS = 0.25


class ReplyReader(Protocol):
    """Turns one provider's events into items. Every method may raise a ProviderError."""

    @property
    def started(self) -> bool:
        """The model has begun to answer (thinking counts, keep-alives do not)."""
        ...

    @property
    def finished(self) -> bool:
        """The provider has said its last word."""
        ...

    def feed(self, event: str, data: str) -> Iterable[StreamItem]: ...

    def end(self) -> Iterable[StreamItem]:
        """Tool calls and the StreamEnd. Raises BrokenReply when the reply is not complete."""
        ...


class EventDecoder:
    """Server-sent events from raw bytes: (event name, data), fed chunk by chunk."""

    def __init__(self) -> None:
        self._tail = b""
        self._event = ""
        self._data: list[str] = []

    def feed(self, chunk: bytes) -> Iterator[tuple[str, str]]:
        *lines, self._tail = (self._tail + chunk).split(b"\n")
        for line in lines:
            line = line.rstrip(b"\r")
            if line.startswith(b"data:"):
                self._data.append(line[5:].removeprefix(b" ").decode("utf-8", "replace"))
            elif line.startswith(b"event:"):
                self._event = line[6:].strip().decode("utf-8", "replace")
            elif not line and self._data:
                yield self._event, "\n".join(self._data)
                self._event, self._data = "", []
            elif not line:
                self._event = ""


class Patience:
    """How long a call waits: `first` seconds in all until the model begins, then `stall` seconds without a byte."""

    def __init__(self, first: float, stall: float, origin: Origin) -> None:
        self._begin_by = asyncio.get_running_loop().time() + first
        self._stall = stall
        self._origin = origin

    async def opened(self, opening: Awaitable[T]) -> T:
        try:
            async with asyncio.timeout_at(self._begin_by):
                return await opening
        except TimeoutError:
            raise self._origin.unreachable() from None

    async def next(self, chunks: AsyncIterator[bytes], started: bool) -> bytes | None:
        """The next piece of the body, None at its end."""
        limit = asyncio.get_running_loop().time() + self._stall if started else self._begin_by
        try:
            async with asyncio.timeout_at(limit):
                return await anext(chunks, None)
        except TimeoutError:
            raise (self._origin.broken() if started else self._origin.unreachable()) from None


async def read_reply(
    chunks: AsyncIterator[bytes], reader: ReplyReader, patience: Patience
) -> AsyncIterator[StreamItem]:
    decoder = EventDecoder()
    while not reader.finished:
        chunk = await patience.next(chunks, reader.started)
        if chunk is None:
            break
        for event, data in decoder.feed(chunk):
            for item in reader.feed(event, data):
                yield item
    last = list(reader.end())
    with suppress(TimeoutError):  # a body read to its end leaves a connection that can be used again
        async with asyncio.timeout(_DRAIN_SECONDS):
            while await anext(chunks, None) is not None:
                pass
    for item in last:
        yield item


async def collect(stream: AsyncGenerator[StreamItem, None], origin: Origin) -> Reply:
    """The sum of a stream. Raises BrokenReply when it ends without a StreamEnd."""
    text: list[str] = []
    calls: list[ToolCall] = []
    async with aclosing(stream) as items:
        async for item in items:
            match item:
                case TextDelta(piece):
                    text.append(piece)
                case ToolCallDelta(call):
                    calls.append(call)
                case StreamEnd():
                    return build_reply("".join(text), calls, item, origin)
    raise origin.broken()


def build_reply(text: str, calls: Iterable[ToolCall], end: StreamEnd, origin: Origin) -> Reply:
    return Reply(
        text=text, tool_calls=tuple(calls), usage=end.usage, stop_reason=end.stop_reason,
        provider=origin.provider, model=origin.model, native=end.native,
    )  # fmt: skip
