"""GET /api/v1/events over a real connection: the cursor neither loses nor repeats a line."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from app.core.contracts import CallOptions, LiveEvent, ModelRequest
from app.core.events import UserLine
from app.core.messages import Reply
from app.web import events_api, logins
from tests.fakes.brain import ScriptedBrain, text
from tests.support import make_settings, until
from tests.web import Event, Site, collect, event_stream, lines, listening, read_events, running_site

ROOM = "web_0123456789ab"
PASSWORD = "una contraseña larga"


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with running_site(make_settings(tmp_path)) as running:
        yield running


@pytest.fixture
async def base(site: Site) -> AsyncIterator[str]:
    async with listening(site.app, site.house.hub) as address:
        yield address


async def write(site: Site, count: int) -> None:
    for number in range(count):
        await site.house.store.append(ROOM, UserLine(content=str(number)))


async def seqs(events: AsyncIterator[Event | str], upto: int) -> list[int]:
    found: list[int] = []
    async for event in events:
        if isinstance(event, Event) and event.id is not None:
            found.append(event.id)
            if event.id >= upto:
                return found
    return found


async def test_it_replays_after_the_cursor_and_the_browsers_header_wins(site: Site, base: str) -> None:
    await write(site, 5)
    async with event_stream(base, ROOM) as events:
        assert await seqs(events, 5) == [1, 2, 3, 4, 5]
    async with event_stream(base, ROOM, cursor=3) as events:
        assert await seqs(events, 5) == [4, 5]
    async with event_stream(base, ROOM, cursor=1, last_event_id=4) as events:
        assert await seqs(events, 5) == [5]


async def test_lines_written_while_it_replays_come_exactly_once(site: Site, base: str) -> None:
    total = 120

    async def view(delay: float, cursor: int) -> list[int]:
        await asyncio.sleep(delay)
        async with event_stream(base, ROOM, cursor=cursor) as events:
            return await seqs(events, total)

    writing = asyncio.create_task(write(site, total))
    viewers = [
        asyncio.create_task(view(index * 0.004, cursor)) for index, cursor in enumerate([0, 1, 0, 2, 0, 5, 0, 9])
    ]
    await writing
    for viewer, cursor in zip(viewers, [0, 1, 0, 2, 0, 5, 0, 9], strict=True):
        assert await viewer == list(range(cursor + 1, total + 1))


async def test_a_line_published_between_subscribing_and_reading_is_not_doubled(
    site: Site, base: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The narrow moment itself: the log already holds the line that also waits in the subscription."""
    store = site.house.store
    read = store.read_lines

    async def slow_read(session_id: str, after: int = 0) -> object:
        await store.append(ROOM, UserLine(content="en medio"))
        found = await read(session_id, after)
        await store.append(ROOM, UserLine(content="justo después"))
        return found

    monkeypatch.setattr(store, "read_lines", slow_read)
    async with event_stream(base, ROOM) as events:
        assert [event.id for event in await collect(events, "idle") if event.id] == [1, 2]


async def test_who_arrives_in_the_middle_sees_what_has_streamed(tmp_path: Path) -> None:
    more = asyncio.Event()

    async def slow(request: ModelRequest, call: CallOptions) -> Reply:
        call.emit(LiveEvent("delta", "fuera"))
        call.emit(LiveEvent("reset"))
        call.emit(LiveEvent("delta", "Había "))
        call.emit(LiveEvent("delta", "una "))
        call.emit(LiveEvent("status", "Groq en pausa, 38 s"))
        await more.wait()
        return text("vez")

    async with (
        running_site(make_settings(tmp_path), ScriptedBrain(slow)) as site,
        listening(site.app, site.house.hub) as base,
        httpx.AsyncClient(base_url=base) as client,
    ):
        await client.post("/api/v1/chat", json={"text": "cuenta", "session_id": ROOM})
        await until(lambda: len(site.app.state.web.live.snapshot(ROOM)) == 4)
        async with event_stream(base, ROOM) as events:
            before = await collect(events, "delta")
            more.set()
            after = await collect(events, "idle")
    shown = [(event.kind, event.data.get("text")) for event in before]
    assert shown[1:] == [("reset", ""), ("working", ""), ("status", "Groq en pausa, 38 s"), ("delta", "Había una ")]
    assert [event.kind for event in after] == ["delta", "line", "idle"]
    assert lines(after)[0]["content"] == "vez"


async def test_a_silent_stream_beats(site: Site, base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events_api, "HEARTBEAT_SECONDS", 0.02)
    async with event_stream(base, ROOM) as events:
        beats = [event async for event in take(events, 5) if event == ": heartbeat"]
    assert len(beats) >= 2


async def take(events: AsyncIterator[Event | str], count: int) -> AsyncIterator[Event | str]:
    for _ in range(count):
        yield await anext(events)


async def test_other_sessions_stay_out_and_a_client_that_leaves_is_forgotten(site: Site, base: str) -> None:
    async with event_stream(base, ROOM) as events:
        await collect(events, "status")
        await site.house.store.append("web_ffffffffffff", UserLine(content="ajeno"))
        await write(site, 1)
        assert [event.data["content"] for event in [await anext(events)] if isinstance(event, Event)] == ["0"]
    hub = site.house.hub
    await until(lambda: not hub._subscriptions)  # pyright: ignore[reportPrivateUsage]


async def test_closing_the_hub_ends_every_stream(site: Site, base: str) -> None:
    async with event_stream(base, ROOM) as events:
        await collect(events, "status")
        site.house.hub.close()
        assert [event async for event in events] == []


@pytest.fixture
async def guarded(tmp_path: Path) -> AsyncIterator[Site]:
    async with running_site(make_settings(tmp_path, dashboard_password=PASSWORD)) as running:
        yield running


@asynccontextmanager
async def logged_in(base: str) -> AsyncGenerator[httpx.AsyncClient]:
    headers = {"origin": base, "sec-fetch-site": "same-origin"}
    async with httpx.AsyncClient(base_url=base, headers=headers, timeout=10) as browser:
        await browser.post("/login", data={"csrf": await token(browser, "/login"), "password": PASSWORD})
        yield browser


async def token(browser: httpx.AsyncClient, page: str) -> str:
    return (await browser.get(page)).text.split('name="csrf" value="')[1].partition('"')[0]


async def test_logging_out_ends_the_streams_of_that_login_at_once_and_no_others(guarded: Site) -> None:
    async with (
        listening(guarded.app, guarded.house.hub) as base,
        logged_in(base) as leaver,
        logged_in(base) as stayer,
        leaver.stream("GET", "/api/v1/events", params={"session_id": ROOM}) as left,
        stayer.stream("GET", "/api/v1/events", params={"session_id": ROOM}) as kept,
    ):
        ending, going_on = read_events(left), read_events(kept)
        await collect(ending, "status")
        await collect(going_on, "status")
        await leaver.post("/logout", data={"csrf": await token(leaver, "/")})
        async with asyncio.timeout(5):
            assert [event async for event in ending] == []
        await write(guarded, 1)
        assert await seqs(going_on, 1) == [1]


async def test_a_stream_ends_when_its_login_has_expired(guarded: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events_api, "HEARTBEAT_SECONDS", 0.02)
    async with (
        listening(guarded.app, guarded.house.hub) as base,
        logged_in(base) as browser,
        browser.stream("GET", "/api/v1/events", params={"session_id": ROOM}) as response,
    ):
        events = read_events(response)
        await collect(events, "status")
        monkeypatch.setattr(logins, "LOGIN_SECONDS", 0)
        async with asyncio.timeout(5):
            rest = [event async for event in events]
    assert [event for event in rest if event != ": heartbeat"] == []


async def test_a_malformed_session_is_refused(base: str) -> None:
    async with httpx.AsyncClient(base_url=base) as client:
        response = await client.get("/api/v1/events", params={"session_id": "../x"})
    assert response.status_code == 404


@pytest.mark.parametrize("options", [[], ["--reload", "--reload-dir", "tests/fakes"]], ids=["plain", "reload"])
async def test_a_signal_ends_the_server_at_once_though_a_stream_is_open(tmp_path: Path, options: list[str]) -> None:
    """uvicorn waits for open responses before it ends the lifespan: the signal itself has to close them."""
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "tests.fakes.site:create", "--factory", "--port", str(port), *options]
    flags = subprocess.CREATE_NEW_PROCESS_GROUP if sys.platform == "win32" else 0
    environment = {**os.environ, "SITE_FOLDER": str(tmp_path)}
    server = await asyncio.create_subprocess_exec(
        *command, env=environment, creationflags=flags, stderr=subprocess.PIPE, cwd=Path.cwd()
    )
    try:
        base = f"http://localhost:{port}"
        await answering(base)
        async with event_stream(base, ROOM) as events:
            await collect(events, "status")
            began = time.monotonic()
            server.send_signal(signal.CTRL_BREAK_EVENT if sys.platform == "win32" else signal.SIGTERM)
            assert [event async for event in events] == []
        _, log = await asyncio.wait_for(server.communicate(), 10)
        assert time.monotonic() - began < 3
        assert b"Traceback" not in log
        assert b"lifespan is over" in log
    finally:
        if server.returncode is None:
            server.kill()
            await server.wait()


def free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


async def answering(base: str) -> None:
    async with asyncio.timeout(20), httpx.AsyncClient(base_url=base) as client:
        while True:
            try:
                await client.get("/api/status")
                return
            except httpx.TransportError:
                await asyncio.sleep(0.05)
