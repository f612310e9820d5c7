"""python-telegram-bot's requests over one aiohttp session, with an honest answer to "did it leave?".

No request is ever sent twice: aiohttp repeats only idempotent methods (never POST), and redirects are not followed.
The bot's token is part of every URL, so errors are told in our words, scrubbed, and without their cause.
"""

from __future__ import annotations

import asyncio
import io
import json
import os
import re
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import IO, TYPE_CHECKING, Any, cast
from urllib.parse import urlencode

import aiohttp
from telegram.error import NetworkError, TelegramError, TimedOut
from telegram.request import BaseRequest, RequestData
from typing_extensions import override

if TYPE_CHECKING:
    from telegram._utils.types import ODVInput

# RetryAfter.retry_after as a timedelta: without this every flood answer raises a deprecation warning.
os.environ.setdefault("PTB_TIMEDELTA", "true")

_CHUNK = 256 * 1024
_TOKEN = re.compile(r"\d+(?::|%3A)[\w-]{10,}", re.IGNORECASE)


class RequestNotSent(NetworkError):
    """Not one byte left (DNS, connect, TLS, no free connection): repeating it is safe."""


class RequestUncertain(NetworkError):
    """It left, wholly or in part, and no answer came: it may have had its effect."""


class RequestTimedOut(RequestUncertain, TimedOut):
    """RequestUncertain because nobody answered, or read, in time."""


class RequestGarbled(RequestUncertain):
    """Somebody answered, but not Telegram: a proxy's or a portal's page, whatever its status."""


class FileTooLarge(TelegramError):
    pass


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds; None waits for ever. `connect`: DNS, TCP and TLS. `pool`: for a free connection. `write` and
    `media_write` (requests with files): between two pieces of a request. `read`: between two of an answer.
    """

    read: float | None = 5.0
    write: float | None = 5.0
    media_write: float | None = 20.0
    connect: float | None = 5.0
    pool: float | None = 1.0


class _Upload:
    """Follows one request out: whether it has begun, and that its bytes keep leaving.

    After the last piece the time for the answer to begin is added, because aiohttp starts its own read clock only
    once the socket has taken everything.
    """

    def __init__(self, size: int | None, write: float | None, read: float | None) -> None:
        self.begun = False
        self.deadline = asyncio.timeout(None)
        self._left = size
        self._write = write
        self._grace = None if write is None or read is None else write + read

    def piece_sent(self, size: int) -> None:
        self.begun = True
        if self._left is not None:
            self._left -= size
        seconds = self._write if self._left is not None and self._left > 0 else self._grace
        self.deadline.reschedule(None if seconds is None else asyncio.get_running_loop().time() + seconds)

    def failure(self, error: Exception) -> NetworkError:
        words = _TOKEN.sub("<token>", f"{type(error).__name__}: {error}".rstrip(": "))
        if not self.begun:
            return RequestNotSent(words)
        return RequestTimedOut(words) if isinstance(error, TimeoutError) else RequestUncertain(words)


class AiohttpRequest(BaseRequest):
    """At most `pool_size` requests at a time; use it between initialize() and shutdown()."""

    def __init__(self, timeouts: Timeouts = Timeouts(), pool_size: int = 256) -> None:
        self._timeouts = timeouts
        self._pool_size = pool_size
        self._slots = asyncio.Semaphore(pool_size)
        self._session: aiohttp.ClientSession | None = None

    @property
    @override
    def read_timeout(self) -> float | None:
        return self._timeouts.read

    @override
    async def initialize(self) -> None:
        if self._session is None:
            self._slots = asyncio.Semaphore(self._pool_size)
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0),  # our own slots have an exact time-out
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": self.USER_AGENT},
                trace_configs=[_follow_uploads()],
                trust_env=False,
            )

    @override
    async def shutdown(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    @override
    async def do_request(
        self,
        url: str,
        method: str,
        request_data: RequestData | None = None,
        read_timeout: ODVInput[float] = BaseRequest.DEFAULT_NONE,
        write_timeout: ODVInput[float] = BaseRequest.DEFAULT_NONE,
        connect_timeout: ODVInput[float] = BaseRequest.DEFAULT_NONE,
        pool_timeout: ODVInput[float] = BaseRequest.DEFAULT_NONE,
    ) -> tuple[int, bytes]:
        """The status and body of an answer of Telegram's. Raises RequestNotSent, RequestUncertain and its kinds."""
        default = self._timeouts
        has_files = request_data is not None and request_data.contains_files
        timeouts = Timeouts(
            read=_chosen(read_timeout, default.read),
            write=_chosen(write_timeout, default.media_write if has_files else default.write),
            connect=_chosen(connect_timeout, default.connect),
            pool=_chosen(pool_timeout, default.pool),
        )
        async with self._exchange(method, url, timeouts, _body(request_data)) as response:
            status, answer = response.status, await response.read()
        if method == "POST" and not _is_telegrams(status, answer):  # a GET brings a file
            raise RequestGarbled(f"The answer ({status}, {len(answer)} bytes) is not Telegram's")
        return status, answer

    async def download(self, url: str, path: Path, max_bytes: int) -> int:
        """Streams a file to `path`, wholly or not at all, and returns its size.

        Raises FileTooLarge, NetworkError, TelegramError (any answer but 200), OSError (the disk).
        """
        part = await asyncio.to_thread(_PartFile, path)
        try:
            async with self._exchange("GET", url, self._timeouts, None) as response:
                if response.status != 200:
                    raise TelegramError(f"The file server answered {response.status}")
                async for chunk in response.content.iter_chunked(_CHUNK):
                    if part.size + len(chunk) > max_bytes:
                        raise FileTooLarge(f"The file is larger than {max_bytes} bytes")
                    await asyncio.to_thread(part.write, chunk)
            await asyncio.to_thread(part.commit)
            return part.size
        finally:
            await asyncio.to_thread(part.discard)

    @asynccontextmanager
    async def _exchange(
        self, method: str, url: str, timeouts: Timeouts, body: aiohttp.payload.Payload | None
    ) -> AsyncGenerator[aiohttp.ClientResponse]:
        if self._session is None:
            raise RuntimeError("AiohttpRequest is not initialized")
        upload = _Upload(0 if body is None else body.size, timeouts.write, timeouts.read)
        async with self._slot(timeouts.pool):
            try:
                async with (
                    upload.deadline,
                    self._session.request(
                        method,
                        url,
                        data=body,
                        allow_redirects=False,
                        timeout=aiohttp.ClientTimeout(connect=timeouts.connect, sock_read=timeouts.read),
                        trace_request_ctx=upload,
                    ) as response,
                ):
                    upload.deadline.reschedule(None)
                    yield response
            except (aiohttp.ClientError, TimeoutError) as error:  # aiohttp wraps every OSError of the network
                raise upload.failure(error) from None

    @asynccontextmanager
    async def _slot(self, seconds: float | None) -> AsyncGenerator[None]:
        try:
            async with asyncio.timeout(seconds):
                await self._slots.acquire()
        except TimeoutError:
            raise RequestNotSent("Every connection is busy") from None
        try:
            yield
        finally:
            self._slots.release()


class _PartFile:
    """A hidden file beside its target that takes its name only when it is whole. Its methods block."""

    def __init__(self, path: Path) -> None:
        self.size = 0
        self._path = path
        handle, name = tempfile.mkstemp(prefix=f".{path.name[:40]}.", suffix=".part", dir=path.parent)
        self._temporary = Path(name)
        self._file = os.fdopen(handle, "wb")

    def write(self, chunk: bytes) -> None:
        self.size += self._file.write(chunk)

    def commit(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._temporary.replace(self._path)

    def discard(self) -> None:
        self._file.close()
        self._temporary.unlink(missing_ok=True)


def _chosen(value: ODVInput[float], default: float | None) -> float | None:
    return default if value is BaseRequest.DEFAULT_NONE else cast("float | None", value)


def _is_telegrams(status: int, answer: bytes) -> bool:
    """What every answer of the Bot API has; without it a 403 or 404 says nothing about the chat or the token."""
    try:
        found: Any = json.loads(answer.decode("utf-8", "replace"))
    except ValueError:
        return False
    match found:
        case {"ok": True, "result": _}:
            return 200 <= status < 300
        case {"ok": False, "error_code": int(), "description": str()}:
            return not 200 <= status < 300
        case _:
            return False


def _body(request_data: RequestData | None) -> aiohttp.payload.Payload | None:
    """Files are streamed: aiohttp reads them in a worker thread, piece by piece."""
    if request_data is None:
        return None
    if not request_data.contains_files:
        encoded = urlencode(request_data.json_parameters).encode()
        return aiohttp.BytesPayload(encoded, content_type="application/x-www-form-urlencoded")
    form = aiohttp.FormData(quote_fields=False)  # Telegram shows a quoted file name as it comes: "informe%20final"
    for name, value in request_data.json_parameters.items():
        form.add_field(name, value, content_type="text/plain; charset=utf-8")
    for name, (filename, content, mime_type) in request_data.multipart_data.items():
        file: IO[bytes] = io.BytesIO(content) if isinstance(content, bytes) else content
        safe_name = re.sub(r"[\r\n\x00]", " ", filename)
        form.add_field(name, file, filename=safe_name, content_type=mime_type)
    return form()


def _follow_uploads() -> aiohttp.TraceConfig:
    async def headers_sent(
        _session: aiohttp.ClientSession,
        context: SimpleNamespace,
        _params: aiohttp.TraceRequestHeadersSentParams,
    ) -> None:
        context.trace_request_ctx.piece_sent(0)

    async def chunk_sent(
        _session: aiohttp.ClientSession, context: SimpleNamespace, params: aiohttp.TraceRequestChunkSentParams
    ) -> None:
        context.trace_request_ctx.piece_sent(len(params.chunk))

    config = aiohttp.TraceConfig()
    config.on_request_headers_sent.append(headers_sent)
    config.on_request_chunk_sent.append(chunk_sent)
    return config
