"""A streamed HTTP body to StreamItems: server-sent events, patience with a slow provider, the sum of a stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Iterable, Iterator
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Protocol, TypeVar

from app.cloud.failures import Origin
from app.core.contracts import StreamEnd, StreamItem, TextDelta, ToolCallDelta
from app.core.errors import BrokenReply
from app.core.messages import Reply, ToolCall, Usage

T = TypeVar("T")
MAX_EVENT = 1_000_000  # bytes of one event
_DRAIN_SECONDS = 0.25
_LAST_WORD_SECONDS = 3.0  # for the usage after a complete answer
_SILENT_STALLS = 6  # so many stalls long may a reply that has begun consist of keep-alives alone
# What a reply of so many tokens may weigh: what the model says, and that with the JSON around every piece of it.
_SAID_PER_TOKEN, _SAID_EXTRA = 16, 65_536
_WIRE_PER_TOKEN, _WIRE_EXTRA = 1_024, 1_048_576


class ReplyReader(Protocol):
    """Turns one provider's events into items. Every method may raise a ProviderError."""

    @property
    def started(self) -> bool:
        """The model has begun to answer (thinking counts, keep-alives do not)."""
        ...

    @property
    def complete(self) -> bool:
        """The reason why the model stopped is known: nothing of the answer is missing."""
        ...

    @property
    def finished(self) -> bool:
        """The provider has said its last word."""
        ...

    @property
    def said(self) -> int:
        """Characters of text, thinking and arguments so far."""
        ...

    @property
    def usage(self) -> Usage:
        """As far as it is known; the output of an incomplete reply is estimated, an unknown input is 0."""
        ...

    def feed(self, event: str, data: str) -> Iterable[StreamItem]: ...

    def end(self) -> Iterable[StreamItem]:
        """Tool calls and the StreamEnd. Raises BrokenReply when the reply is not complete."""
        ...


@dataclass(slots=True)
class Progress:
    """How far a streamed reply has come, for whoever must account for one that breaks."""

    reader: ReplyReader | None = None
    shown: bool = False  # some of its text

    @property
    def started(self) -> bool:
        return self.reader is not None and self.reader.started

    @property
    def usage(self) -> Usage:
        return self.reader.usage if self.reader else Usage()


class EventDecoder:
    """Server-sent events from raw bytes: (event name, data), fed chunk by chunk. Raises ValueError at a huge one."""

    def __init__(self) -> None:
        self._line: list[bytes] = []  # the pieces of a line that has not ended: joined once, however many they are
        self._size = 0  # of the event so far
        self._event = ""
        self._data: list[str] = []

    def feed(self, chunk: bytes) -> Iterator[tuple[str, str]]:
        for position, piece in enumerate(chunk.split(b"\n")):
            if position:  # a line ended before it
                yield from self._take_line()
            self._line.append(piece)
            self._size += len(piece) + 1
            if self._size > MAX_EVENT:
                raise ValueError("an event without end")

    def _take_line(self) -> Iterator[tuple[str, str]]:
        line = b"".join(self._line).rstrip(b"\r")
        self._line.clear()
        if line.startswith(b"data:"):
            self._data.append(line[5:].removeprefix(b" ").decode("utf-8", "replace"))
        elif line.startswith(b"event:"):
            self._event = line[6:].strip().decode("utf-8", "replace")
        elif not line:
            if self._data:
                yield self._event, "\n".join(self._data)
            self._event, self._data, self._size = "", [], 0


class Patience:
    """What one call may take: `first` seconds in all until the model begins; then `stall` seconds without a byte,
    several times as long without an event; and what a reply of `max_tokens` can weigh.
    """

    def __init__(self, first: float, stall: float, max_tokens: int, origin: Origin) -> None:
        self._now = asyncio.get_running_loop().time
        self._begin_by = self._now() + first
        self._silent_until = self._begin_by
        self._stall = stall
        self._most_said = _SAID_PER_TOKEN * max_tokens + _SAID_EXTRA
        self._wire_left = _WIRE_PER_TOKEN * max_tokens + _WIRE_EXTRA
        self._origin = origin

    async def opened(self, opening: Awaitable[T]) -> T:
        try:
            async with asyncio.timeout_at(self._begin_by):
                return await opening
        except TimeoutError:
            raise self._origin.unreachable() from None

    async def next(self, chunks: AsyncIterator[bytes], reader: ReplyReader) -> bytes | None:
        """The next piece of the body, None at its end."""
        stall = min(self._stall, _LAST_WORD_SECONDS) if reader.complete else self._stall
        limit = min(self._now() + stall, self._silent_until) if reader.started else self._begin_by
        try:
            async with asyncio.timeout_at(limit):
                return await anext(chunks, None)
        except TimeoutError:
            raise (self._origin.broken() if reader.started else self._origin.unreachable()) from None

    def events(self, decoder: EventDecoder, chunk: bytes, said: int) -> Iterator[tuple[str, str]]:
        self._wire_left -= len(chunk)
        if self._wire_left < 0 or said > self._most_said:
            raise self._origin.broken()
        try:
            for event, data in decoder.feed(chunk):
                if event != "ping":
                    self._silent_until = self._now() + _SILENT_STALLS * self._stall
                yield event, data
        except ValueError:
            raise self._origin.broken() from None


async def guarded(
    chunks: AsyncIterator[bytes], failures: tuple[type[Exception], ...], origin: Origin
) -> AsyncIterator[bytes]:
    """The body of an answer; an HTTP library's own `failures` in its middle become BrokenReply."""
    try:
        async for chunk in chunks:
            yield chunk
    except failures:
        raise origin.broken() from None


async def read_reply(
    chunks: AsyncIterator[bytes], reader: ReplyReader, patience: Patience
) -> AsyncIterator[StreamItem]:
    decoder = EventDecoder()
    try:
        while not reader.finished:
            chunk = await patience.next(chunks, reader)
            if chunk is None:
                break
            for event, data in patience.events(decoder, chunk, reader.said):
                for item in reader.feed(event, data):
                    yield item
    except BrokenReply:
        if not reader.complete:
            raise
    last = list(reader.end())
    # A body read to its end leaves a connection that can be used again; the reply is whole either way.
    with suppress(TimeoutError, BrokenReply):
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
