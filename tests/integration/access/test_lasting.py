"""How long a login, a body and a stream may last: what is idle, slow, large or too many ends."""

from __future__ import annotations

import asyncio
import json
import socket
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import httpx
import pytest

from app.web import gate, viewers
from app.web.access import SESSION_COOKIE
from app.web.gate import MOST_BODY_BYTES
from app.web.logins import IDLE_SECONDS, LOGIN_SECONDS, Logins
from app.web.passwords import Password
from tests.access import OUTSIDE, PASSWORD, log_in, token
from tests.support import make_settings, until
from tests.web import Site, event_stream, listening, running_site

ROOM = "web_0123456789ab"


async def status_with(site: Site, cookie: str) -> int:
    async with site.client(cookie=f"{SESSION_COOKIE}={cookie}") as thief:
        return (await thief.get("/api/sessions")).status_code


# ---------------------------------------------------------------- logins


async def test_a_login_ends_when_nobody_uses_it_and_when_it_is_old(tmp_path: Path) -> None:
    now, path = [1e9], tmp_path / "logins.json"
    logins = Logins(path, {}, clock=lambda: now[0])
    idle, used = await logins.begin(), await logins.begin()
    while now[0] < 1e9 + IDLE_SECONDS:
        now[0] += 86_400
        logins.use(used)
    assert (logins.knows(idle), logins.knows(used)) == (False, True)
    await logins.close()
    again = Logins(path, dict(Logins.read(path)._known), clock=lambda: now[0])  # pyright: ignore[reportPrivateUsage]
    assert again.knows(used), "that it was used outlives a restart"
    while now[0] < 1e9 + LOGIN_SECONDS:
        assert logins.knows(used)
        now[0] += 86_400
        logins.use(used)
    assert not logins.knows(used)
    await logins.close()


async def test_asking_counts_as_use(tmp_path: Path) -> None:
    settings = make_settings(tmp_path, dashboard_password=PASSWORD)
    async with running_site(settings) as site, site.browser() as browser:
        await log_in(browser)
        logins: Logins = site.app.state.web.access.logins
        now = [logins._clock()]  # pyright: ignore[reportPrivateUsage]
        logins._clock = lambda: now[0]  # pyright: ignore[reportPrivateUsage]
        for _ in range(3):
            now[0] += IDLE_SECONDS - 60
            assert (await browser.get("/api/sessions")).status_code == 200
        now[0] += IDLE_SECONDS
        assert (await browser.get("/api/sessions")).status_code == 401


async def test_the_logins_of_an_older_version_are_out(tmp_path: Path) -> None:
    path = tmp_path / "logins.json"
    path.write_text(json.dumps({"a" * 32: 1e9}), "utf-8")
    assert not Logins.read(path).knows("a" * 32)


async def test_logging_in_makes_a_new_session_and_ends_the_one_before(tmp_path: Path) -> None:
    settings = make_settings(tmp_path, dashboard_password=PASSWORD)
    async with running_site(settings) as site, site.browser() as browser:
        planted = await token(browser, "/login")
        await log_in(browser)
        first = browser.cookies[SESSION_COOKIE]
        assert browser.cookies["nanobot_csrf"] != planted
        await log_in_again(browser)
        second = browser.cookies[SESSION_COOKIE]
        assert first != second
        assert [await status_with(site, cookie) for cookie in (first, second)] == [401, 200]


async def log_in_again(browser: httpx.AsyncClient) -> None:
    form = {"csrf": await token(browser, "/configuracion"), "password": PASSWORD}
    assert (await browser.post("/login", data=form)).status_code == 303


@pytest.mark.parametrize(("everywhere", "other_stays"), [({}, 200), ({"everywhere": "true"}, 401)])
async def test_logging_out_ends_this_browser_or_all(
    tmp_path: Path, everywhere: dict[str, str], other_stays: int
) -> None:
    settings = make_settings(tmp_path, dashboard_password=PASSWORD)
    async with running_site(settings) as site, site.browser() as browser, site.browser() as other:
        await log_in(browser)
        await log_in(other)
        form = {"csrf": await token(browser, "/configuracion/accesos"), **everywhere}
        assert (await browser.post("/logout", data=form)).status_code == 303
        assert (await browser.get("/api/sessions")).status_code == 401
        assert (await other.get("/api/sessions")).status_code == other_stays
    async with running_site(settings) as site:
        assert await status_with(site, other.cookies[SESSION_COOKIE]) == other_stays


def test_a_plain_password_is_kept_as_its_hash_alone() -> None:
    password = Password.of(PASSWORD, b"k" * 32)
    assert PASSWORD not in str(vars(password))
    assert vars(password)["_hash"].startswith("$argon2id$")


# ---------------------------------------------------------------- bodies


async def raw(base: str, *pieces: bytes, pause: float = 0.0) -> bytes:
    """What the server says to bytes sent as they are; it need not wait for all of them."""
    loop, said = asyncio.get_running_loop(), bytearray()

    async def send() -> None:
        with suppress(ConnectionError):
            for piece in pieces:
                await loop.sock_sendall(client, piece)
                await asyncio.sleep(pause)

    with socket.create_connection(("127.0.0.1", int(base.rpartition(":")[2]))) as client:
        client.setblocking(False)
        sending = asyncio.create_task(send())
        async with asyncio.timeout(10):
            with suppress(ConnectionError):
                while data := await loop.sock_recv(client, 65_536):
                    said += data
        sending.cancel()
        await asyncio.wait([sending])
    return bytes(said)


def head(base: str, path: str, *lines: str) -> bytes:
    host = base.removeprefix("http://")
    form = "Content-Type: application/x-www-form-urlencoded"
    return "\r\n".join([f"POST {path} HTTP/1.1", f"Host: {host}", f"Origin: {base}", form, *lines, "", ""]).encode()


@pytest.mark.parametrize("path", ["/login", "/api/v1/chat"])
@pytest.mark.parametrize("length", ["Content-Length: 500", "Transfer-Encoding: chunked"])
async def test_a_body_that_drips_is_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, length: str
) -> None:
    monkeypatch.setattr(gate, "BODY_SECONDS", 0.3)
    settings = make_settings(tmp_path) if path != "/login" else make_settings(tmp_path, dashboard_password=PASSWORD)
    async with running_site(settings) as site, listening(site.app, site.house.hub) as base:
        drops = [b"1\r\nx\r\n" if "chunked" in length else b"x"] * 400
        said = await raw(base, head(base, path, length), *drops, pause=0.05)
        assert said.startswith(b"HTTP/1.1 408") and b"connection: close" in said.lower()
        async with httpx.AsyncClient(base_url=base) as client:
            assert (await client.get("/api/status")).status_code == 200


async def test_a_body_without_a_length_is_no_longer_than_one_with(tmp_path: Path) -> None:
    async with running_site(make_settings(tmp_path)) as site, listening(site.app, site.house.hub) as base:
        chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
        said = await raw(base, head(base, "/api/v1/chat", "Transfer-Encoding: chunked"), *[chunk] * 60)
        assert said.startswith(b"HTTP/1.1 413")
        said = await raw(base, head(base, "/api/v1/chat", f"Content-Length: {MOST_BODY_BYTES + 1}"))
        assert said.startswith(b"HTTP/1.1 413")
        async with httpx.AsyncClient(base_url=base) as client:
            assert (await client.post("/api/v1/chat", json={"text": "ñ" * 29_000})).status_code == 202
        await site.house.runner.lanes.idle()


async def test_a_stranger_cannot_make_the_server_read_a_body(guarded: Site) -> None:
    """He is refused before: not even the fifth part of it is taken."""
    taken = 0

    async def endless():
        nonlocal taken
        for _ in range(100):
            taken += 1
            yield b"x" * 1_000

    async with guarded.client(peer=OUTSIDE) as stranger:
        assert (await stranger.post("/api/v1/chat", content=endless())).status_code == 401
        assert (await stranger.post("/configuracion", content=endless())).status_code in {303, 403}


# ---------------------------------------------------------------- streams


async def test_one_viewer_opens_so_many_streams_and_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(viewers, "MOST_STREAMS", 3)
    async with (
        running_site(make_settings(tmp_path)) as site,
        listening(site.app, site.house.hub) as base,
        httpx.AsyncClient(base_url=base) as client,
    ):
        async with AsyncExitStack() as streams:
            for _ in range(3):
                events = await streams.enter_async_context(event_stream(base, ROOM))
                await anext(events)
            refused = await client.get("/api/v1/events", params={"session_id": ROOM})
            assert (refused.status_code, refused.headers["retry-after"]) == (429, "10")
        open_now: viewers.Viewers = site.app.state.web.access.viewers
        await until(lambda: not open_now.full("local"))
        async with event_stream(base, ROOM) as events:
            await anext(events)


async def test_a_websocket_is_refused(tmp_path: Path) -> None:
    async with running_site(make_settings(tmp_path)) as site, listening(site.app, site.house.hub) as base:
        lines = ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13",
                 "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="]  # fmt: skip
        asked = head(base, "/api/v1/events?session_id=web_0123456789ab", *lines).replace(b"POST", b"GET", 1)
        said = await raw(base, asked.replace(base.encode(), b"https://evil.example"))
        assert said.startswith(b"HTTP/1.1 403")
