"""AiohttpRequest on the wire: what left and what did not, time-outs, uploads, downloads, and no word of the token."""

from __future__ import annotations

import asyncio
import hashlib
import io
import socket
import threading
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from loguru import logger
from telegram import Bot, InputFile
from telegram.error import NetworkError, TelegramError, TimedOut
from telegram.request import RequestData
from telegram.request._requestparameter import RequestParameter

from app.cloud.telegram_http import (
    AiohttpRequest,
    FileTooLarge,
    RequestGarbled,
    RequestNotSent,
    RequestTimedOut,
    RequestUncertain,
    Timeouts,
)
from tests.fakes.telegram import FakeTelegram

SECRET = "AAGreatSecret_0123456789-abcdefgh"
OK = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 25\r\n\r\n{"ok":true,"result":true}\n'[:-1]


class Wire:
    """A bare TCP server. `answer(request, writer)` is called with every complete request; it may do anything."""

    def __init__(self, answer: Callable[[bytes, asyncio.StreamWriter], Awaitable[None]] | None) -> None:
        self.answer = answer
        self.connections = 0
        self.requests: list[bytes] = []
        self.arrived = asyncio.Event()
        self._writers: list[asyncio.StreamWriter] = []

    async def __aenter__(self) -> Wire:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.sleep(0)

    def url(self, scheme: str = "http") -> str:
        return f"{scheme}://127.0.0.1:{self.port}/bot123456789:{SECRET}/sendMessage"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.append(writer)
        if self.answer is None:  # reads nothing, says nothing
            return
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next((int(x[15:]) for x in head.split(b"\r\n") if x.lower().startswith(b"content-length:")), 0)
                request = head + await reader.readexactly(length)
                self.requests.append(request)
                self.arrived.set()
                await self.answer(request, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


async def polite(_request: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(OK)


async def silent(_request: bytes, _writer: asyncio.StreamWriter) -> None:
    pass


async def rude(_request: bytes, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


def form(**fields: str) -> RequestData:
    return RequestData([RequestParameter(name, value, None) for name, value in fields.items()])


@pytest.fixture
async def request_() -> AsyncIterator[AiohttpRequest]:
    async with AiohttpRequest() as request:
        yield request


# ---------------------------------------------------------------- the ordinary way


async def test_one_connection_serves_many_requests(request_: AiohttpRequest) -> None:
    async with Wire(polite) as wire:
        for i in range(3):
            status, body = await request_.do_request(wire.url(), "POST", form(text=f"ñ & {i}"))
            assert (status, body) == (200, b'{"ok":true,"result":true}')
        assert (wire.connections, len(wire.requests)) == (1, 3)
        assert wire.requests[0].endswith(b"\r\n\r\ntext=%C3%B1+%26+0")
        assert b"User-Agent: python-telegram-bot" in wire.requests[0]


async def test_the_environments_proxy_is_not_used(request_: AiohttpRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with Wire(polite) as wire:
        assert (await request_.do_request(wire.url(), "POST"))[0] == 200


async def test_it_can_be_opened_and_closed_again() -> None:
    request = AiohttpRequest()
    async with Wire(polite) as wire:
        with pytest.raises(RuntimeError, match="not initialized"):
            await request.do_request(wire.url(), "POST")
        for _ in range(2):
            await request.initialize()
            await request.initialize()
            assert (await request.do_request(wire.url(), "POST"))[0] == 200
            await request.shutdown()
            await request.shutdown()
        assert wire.connections == 2


# ---------------------------------------------------------------- certain and uncertain


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


async def test_a_refused_connection_is_certain(request_: AiohttpRequest) -> None:
    with pytest.raises(RequestNotSent):
        await request_.do_request(f"http://127.0.0.1:{free_port()}/bot1:{SECRET}/x", "POST")


async def test_an_unknown_host_is_certain(request_: AiohttpRequest) -> None:
    with pytest.raises(RequestNotSent):  # some systems resolve every *.localhost; then it is refused
        await request_.do_request(f"http://nobody-here.localhost:{free_port()}/bot1:{SECRET}/x", "POST")


async def test_failed_tls_is_certain(request_: AiohttpRequest) -> None:
    async def no_tls(_request: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with Wire(no_tls) as wire:

        async def greet(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"this is not TLS\r\n")
            writer.close()

        server = await asyncio.start_server(greet, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(RequestNotSent):
            await request_.do_request(f"https://127.0.0.1:{port}/bot1:{SECRET}/x", "POST")
        server.close()
        assert wire.requests == []


async def test_a_connection_that_takes_too_long_is_certain(request_: AiohttpRequest) -> None:
    async with Wire(None) as wire:  # accepts, and never answers the TLS greeting
        before = time.monotonic()
        with pytest.raises(RequestNotSent):
            await request_.do_request(wire.url("https"), "POST", connect_timeout=0.05)
        assert time.monotonic() - before < 1


async def test_no_free_connection_is_certain() -> None:
    async with Wire(silent) as wire, AiohttpRequest(Timeouts(pool=0.05), pool_size=1) as request:
        first = asyncio.create_task(request.do_request(wire.url(), "POST", read_timeout=None))
        await wire.arrived.wait()
        with pytest.raises(RequestNotSent, match="busy"):
            await request.do_request(wire.url(), "POST")
        first.cancel()
        await asyncio.wait([first])
        with pytest.raises(RequestTimedOut):  # the place is free again
            await request.do_request(wire.url(), "POST", read_timeout=0.02)
        assert len(wire.requests) == 2


async def test_no_answer_in_time_is_uncertain(request_: AiohttpRequest) -> None:
    async with Wire(silent) as wire:
        with pytest.raises(RequestTimedOut) as caught:
            await request_.do_request(wire.url(), "POST", form(text="x"), read_timeout=0.03)
        assert isinstance(caught.value, TimedOut)
        assert isinstance(caught.value, RequestUncertain)
        assert len(wire.requests) == 1


async def test_a_cut_answer_is_uncertain(request_: AiohttpRequest) -> None:
    async def half(_request: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(OK[:-5])
        writer.close()

    async with Wire(half) as wire:
        with pytest.raises(RequestUncertain):
            await request_.do_request(wire.url(), "POST", form(text="x"))


async def test_a_kept_connection_that_died_is_uncertain_and_not_tried_again(request_: AiohttpRequest) -> None:
    async def once(_request: bytes, writer: asyncio.StreamWriter) -> None:
        if len(wire.requests) == 1:
            writer.write(OK)
        else:
            writer.transport.abort()

    async with Wire(once) as wire:
        await request_.do_request(wire.url(), "POST", form(text="1"))
        with pytest.raises(RequestUncertain):
            await request_.do_request(wire.url(), "POST", form(text="2"))
        await asyncio.sleep(0.02)
        assert [r.rpartition(b"=")[2] for r in wire.requests] == [b"1", b"2"]
        assert wire.connections == 1


async def test_a_kept_connection_that_was_closed_is_replaced(request_: AiohttpRequest) -> None:
    closed = asyncio.Event()

    async def once(_request: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(OK)
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        closed.set()

    async with Wire(once) as wire:
        for _ in range(2):
            closed.clear()
            await request_.do_request(wire.url(), "POST")
            await closed.wait()
            await asyncio.sleep(0.02)
        assert wire.connections == 2


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_is_not_followed(request_: AiohttpRequest, status: int) -> None:
    async def elsewhere(_request: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(f"HTTP/1.1 {status} X\r\nLocation: {wire.url()}\r\nContent-Length: 0\r\n\r\n".encode())

    async with Wire(elsewhere) as wire:
        with pytest.raises(RequestGarbled, match=str(status)):
            await request_.do_request(wire.url(), "POST", form(text="x"))
        assert len(wire.requests) == 1


@pytest.mark.parametrize("status", [200, 401, 403, 404, 429, 502])
@pytest.mark.parametrize(
    "body",
    [
        "<html>Acceso denegado</html>",
        "null",
        "[]",
        '{"ok":true}',
        '{"ok":"true","result":1}',
        '{"ok":false}',
        '{"ok":false,"error":"blocked by policy"}',
        '{"ok":false,"error_code":"403","description":"x"}',
    ],
)
async def test_what_is_not_telegrams_is_uncertain(request_: AiohttpRequest, status: int, body: str) -> None:
    async def proxy(_request: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())

    async with Wire(proxy) as wire:
        with pytest.raises(RequestGarbled) as caught:
            await request_.do_request(wire.url(), "POST", form(text="x"))
        assert isinstance(caught.value, RequestUncertain)
        assert body not in str(caught.value)


async def test_the_four_timeouts_can_be_given_for_one_call() -> None:
    async def slow(_request: bytes, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.1)
        writer.write(OK)

    async with Wire(slow) as wire, AiohttpRequest(Timeouts(read=0.02)) as request:
        assert request.read_timeout == 0.02
        with pytest.raises(RequestTimedOut):
            await request.do_request(wire.url(), "POST")
        nothing = {"write_timeout": None, "connect_timeout": None, "pool_timeout": None}
        assert (await request.do_request(wire.url(), "POST", read_timeout=None, **nothing))[0] == 200
        assert (await request.do_request(wire.url(), "POST", form(a="b"), read_timeout=5))[0] == 200


async def test_a_long_answer_may_take_its_time_between_its_pieces() -> None:
    async def drip(_request: bytes, writer: asyncio.StreamWriter) -> None:
        head, body = OK[:-25], OK[-25:]
        writer.write(head)
        for start in range(0, len(body), 5):
            writer.write(body[start : start + 5])
            await asyncio.sleep(0.1)

    async with Wire(drip) as wire, AiohttpRequest(Timeouts(read=0.3, write=0.02)) as request:
        assert (await request.do_request(wire.url(), "POST", form(text="x")))[0] == 200


# ---------------------------------------------------------------- the token


@pytest.mark.parametrize("method", ["POST", "GET"])
@pytest.mark.parametrize("trouble", ["refused", "tls", "connect", "cut", "silent", "half", "address"])
async def test_no_error_says_the_token(trouble: str, method: str, caplog: pytest.LogCaptureFixture) -> None:
    async def half(_request: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 nonsense\r\n\r\n")

    caplog.set_level("DEBUG")
    lines: list[str] = []
    sink = logger.add(lines.append, level="TRACE", diagnose=False)
    answers = {"connect": None, "cut": rude, "silent": silent, "half": half}
    async with Wire(answers.get(trouble, polite)) as wire, AiohttpRequest(Timeouts(connect=0.03, read=0.03)) as request:
        urls = {
            "refused": f"http://127.0.0.1:{free_port()}/bot123456789:{SECRET}/x",
            "tls": wire.url("https"),
            "connect": wire.url("https"),
            "address": f"nonsense://bot123456789%3A{SECRET}/x",
        }
        with pytest.raises(NetworkError) as caught:
            await request.do_request(urls.get(trouble, wire.url()), method, form(text="x"))
        try:
            raise RuntimeError from caught.value
        except RuntimeError as outer:
            logger.opt(exception=outer).error("failed")
    logger.remove(sink)
    told = [str(caught.value), repr(caught.value), repr(request), *traceback.format_exception(caught.value)]
    assert SECRET not in "\n".join([*told, *lines, caplog.text])


# ---------------------------------------------------------------- uploads


class WatchedFile(io.BufferedReader):
    """Notes how much is read at a time, and in which thread."""

    def __init__(self, path: Path) -> None:
        super().__init__(io.FileIO(path))
        self.sizes: list[int] = []
        self.threads: set[str] = set()

    def read(self, size: int | None = -1, /) -> bytes:
        self.threads.add(threading.current_thread().name)
        data = super().read(size)
        self.sizes.append(len(data))
        return data


async def test_files_are_streamed_from_disk(tmp_path: Path) -> None:
    path = tmp_path / 'informe "año" 1.bin'
    content = hashlib.sha256(b"seed").digest() * 200_000  # 6.4 MB
    path.write_bytes(content)
    async with FakeTelegram() as telegram, AiohttpRequest() as request:
        telegram.add_chat(7)
        bot = Bot(telegram.token, f"{telegram.base_url}/bot", request=request, get_updates_request=request)
        with WatchedFile(path) as file:
            await bot.send_document(
                7,
                InputFile(file, read_file_handle=False),
                thumbnail=b"JPEG" * 300_000,
                caption="aquí: ñ & 😀\n=",
                filename=path.name,
            )
            assert max(file.sizes) <= 1024 * 1024
            assert threading.main_thread().name not in file.threads
        (call,) = telegram.calls_of("sendDocument")
        assert call.files["document"].content == content
        assert call.files["document"].filename == path.name
        assert call.params["caption"] == "aquí: ñ & 😀\n="
        thumbnail = call.files[call.params["thumbnail"].removeprefix("attach://")]
        assert thumbnail.content == b"JPEG" * 300_000


async def test_an_upload_that_nobody_reads_times_out(tmp_path: Path) -> None:
    path = tmp_path / "grande.bin"
    with path.open("wb") as file:
        file.truncate(64 * 1024 * 1024)
    timeouts = Timeouts(media_write=0.1, write=30, read=30)
    async with Wire(None) as wire, AiohttpRequest(timeouts) as request:
        with path.open("rb") as file:
            document = RequestParameter("document", None, [InputFile(file, read_file_handle=False)])
            before = time.monotonic()
            with pytest.raises(RequestTimedOut):
                await request.do_request(wire.url(), "POST", RequestData([document]))
            assert 0.1 <= time.monotonic() - before < 2


async def test_a_slow_upload_that_moves_is_not_cut(tmp_path: Path) -> None:
    content = bytes(3 * 1024 * 1024)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        received = 0
        while received < len(content):
            received += len(await reader.read(200_000))
            await asyncio.sleep(0.02)
        writer.write(OK)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=65536)
    port = server.sockets[0].getsockname()[1]
    async with AiohttpRequest(Timeouts(media_write=0.2, read=5)) as request:
        document = RequestParameter("document", None, [InputFile(io.BytesIO(content), read_file_handle=False)])
        status, _ = await request.do_request(f"http://127.0.0.1:{port}/bot1:x/y", "POST", RequestData([document]))
    assert status == 200
    server.close()


# ---------------------------------------------------------------- downloads


@pytest.fixture
async def telegram() -> AsyncIterator[FakeTelegram]:
    async with FakeTelegram() as telegram:
        yield telegram


def file_url(telegram: FakeTelegram, path: str) -> str:
    return f"{telegram.base_url}/file/bot{telegram.token.replace(':', '%3A')}/{path}"


async def test_a_file_comes_down_whole(telegram: FakeTelegram, request_: AiohttpRequest, tmp_path: Path) -> None:
    content = hashlib.sha256(b"x").digest() * 50_000
    telegram.add_file(content, "documents/a.bin")
    target = tmp_path / "a.bin"
    target.write_bytes(b"old")
    size = await request_.download(file_url(telegram, "documents/a.bin"), target, max_bytes=len(content))
    assert (size, target.read_bytes()) == (len(content), content)
    assert [p.name for p in tmp_path.iterdir()] == ["a.bin"]


async def test_a_file_that_is_too_large_cut_or_missing_leaves_nothing(
    telegram: FakeTelegram, request_: AiohttpRequest, tmp_path: Path
) -> None:
    telegram.add_file(bytes(1_000_000), "documents/a.bin")
    target = tmp_path / "a.bin"
    target.write_bytes(b"old")
    with pytest.raises(FileTooLarge):
        await request_.download(file_url(telegram, "documents/a.bin"), target, max_bytes=999_999)
    telegram.cut("file")
    with pytest.raises(RequestUncertain):
        await request_.download(file_url(telegram, "documents/a.bin"), target, max_bytes=2_000_000)
    with pytest.raises(TelegramError, match="404"):
        await request_.download(file_url(telegram, "documents/b.bin"), target, max_bytes=10)
    with pytest.raises(RequestNotSent):
        await request_.download(f"http://127.0.0.1:{free_port()}/file/bot1:{SECRET}/x", target, max_bytes=10)
    assert target.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.bin"]


async def test_the_disks_errors_are_the_disks(telegram: FakeTelegram, request_: AiohttpRequest, tmp_path: Path) -> None:
    telegram.add_file(b"x", "documents/a.bin")
    with pytest.raises(FileNotFoundError):
        await request_.download(file_url(telegram, "documents/a.bin"), tmp_path / "none" / "a.bin", max_bytes=10)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "full").touch()
    with pytest.raises(OSError, match="folder"):
        await request_.download(file_url(telegram, "documents/a.bin"), tmp_path / "folder", max_bytes=10)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["folder"]
