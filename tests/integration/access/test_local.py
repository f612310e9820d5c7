"""Without a password: this machine alone, under its own names, from its own pages."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from pathlib import Path

import pytest

from app.config import CONFIG_FILE
from tests.access import OUTSIDE, PASSWORD, log_in, token
from tests.support import make_settings
from tests.web import LOCAL, Site, running_site

# ---------------------------------------------------------------- without a password


async def test_without_a_password_this_machine_gets_in(local: Site) -> None:
    for base in (LOCAL, "http://127.0.0.1:8000", "http://[::1]:8000"):
        async with local.browser(base) as browser:
            assert (await browser.get("/")).status_code == 200


@pytest.mark.parametrize(
    ("base", "peer", "headers"),
    [
        (LOCAL, OUTSIDE, {}),
        ("http://evil.example:8000", "127.0.0.1", {}),  # a name rebound to this machine
        ("http://localhost.evil.example:8000", "127.0.0.1", {}),
        ("http://192.168.1.5:8000", "127.0.0.1", {}),
    ],
)
async def test_without_a_password_nobody_else_does(local: Site, base: str, peer: str, headers: dict[str, str]) -> None:
    async with local.client(base, peer, **headers) as stranger:
        page, api = await stranger.get("/"), await stranger.get("/api/sessions")
        sent = await stranger.post("/api/v1/chat", json={"text": "hola"})
    assert [page.status_code, api.status_code, sent.status_code] == [403, 403, 403]
    assert "DASHBOARD_PASSWORD" in page.text
    assert not await local.house.store.list_sessions()


@pytest.mark.parametrize(
    "header",
    [
        "x-forwarded-for", "x-forwarded-proto", "x-forwarded-port", "x-forwarded-server", "forwarded", "via",
        "x-real-ip", "x-original-host", "cf-connecting-ip", "cf-ray", "true-client-ip", "fly-client-ip",
        "tailscale-user-login", "x-client-ip",
    ],
)  # fmt: skip
async def test_whoever_comes_through_a_proxy_is_not_this_machine(local: Site, header: str) -> None:
    async with local.browser() as browser:
        page = await browser.get("/", headers={header: "127.0.0.1"})
        sent = await browser.post("/api/v1/chat", json={"text": "hola"}, headers={header: "localhost"})
    assert [page.status_code, sent.status_code] == [403, 403]
    assert "proxy" in page.text
    assert "DASHBOARD_PASSWORD" in page.text


async def test_a_proxy_that_says_nothing_speaks_an_old_language(local: Site) -> None:
    """nginx's default: HTTP/1.0, no header of its own, and our own address as Host."""
    scope: dict[str, object] = {
        "type": "http", "http_version": "1.0", "method": "GET", "path": "/api/sessions", "query_string": b"",
        "scheme": "http", "headers": [(b"host", b"127.0.0.1:8000")], "client": ("127.0.0.1", 5),
    }  # fmt: skip
    sent: list[dict[str, object]] = []

    async def send(message: MutableMapping[str, object]) -> None:
        sent.append(dict(message))

    await local.app(scope, lambda: asyncio.Future(), send)
    assert sent[0]["status"] == 403


async def test_a_program_on_this_machine_may_write(local: Site) -> None:
    async with local.client() as program:
        assert (await program.post("/api/v1/chat", json={"text": "hola"})).status_code == 202
    await local.house.runner.lanes.idle()


# ---------------------------------------------------------------- foreign pages


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://localhost:3000"},  # another program's page on this machine
        {"origin": "http://127.0.0.1:8000"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
async def test_a_foreign_page_can_neither_write_nor_listen(local: Site, headers: dict[str, str]) -> None:
    async with local.client(**headers) as browser:
        sent = await browser.post("/api/v1/chat", json={"text": "borra todo"})
        stopped = await browser.post("/api/v1/sessions/web_0123456789ab/stop")
        heard = await browser.get("/api/v1/events", params={"session_id": "web_0123456789ab"})
        saved = await browser.post("/configuracion", data={"GROQ_API_KEY": "robada-robada"})
    assert [sent.status_code, stopped.status_code, heard.status_code, saved.status_code] == [403] * 4
    assert not await local.house.store.list_sessions()


async def test_a_session_without_an_origin_changes_nothing(guarded: Site) -> None:
    async with guarded.browser() as browser:
        await log_in(browser)
        del browser.headers["origin"]
        response = await browser.post("/api/v1/chat", json={"text": "hola"})
    assert response.status_code == 403


async def test_a_form_needs_the_token_of_its_own_browser(local: Site) -> None:
    async with local.browser() as browser, local.browser() as other:
        without = await browser.post("/configuracion", data={"GROQ_API_KEY": "gsk_12345678"})
        theirs = await token(other, "/configuracion")
        await token(browser, "/configuracion")
        crossed = await browser.post("/configuracion", data={"GROQ_API_KEY": "gsk_12345678", "csrf": theirs})
    assert [without.status_code, crossed.status_code] == [403, 403]
    assert not (local.house.settings.data_dir / CONFIG_FILE).exists()


# ---------------------------------------------------------------- names


@pytest.mark.parametrize(
    ("base", "status"),
    [
        ("https://bot.example.com", 303),
        ("http://localhost:8000", 303),
        ("http://192.168.1.5:8000", 303),  # a bare address cannot be rebound
        ("https://nanobot.onrender.com", 303),
        ("http://evil.example", 403),
        ("http://bot.example.com.evil.example", 403),
        ("http://0x7f000001", 403),
    ],
)
async def test_with_a_password_it_answers_to_its_own_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, base: str, status: int
) -> None:
    monkeypatch.setenv("RENDER_EXTERNAL_URL", "https://nanobot.onrender.com")
    settings = make_settings(
        tmp_path, dashboard_password=PASSWORD, public_url="https://bot.example.com", host="0.0.0.0"
    )
    async with running_site(settings) as site, site.browser(base, OUTSIDE) as browser:
        assert (await browser.get("/")).status_code == status


@pytest.mark.parametrize("host", ["localhost/static/", "localhost/login?", "localhost/static/#", "a@localhost"])
async def test_the_host_says_nothing_about_the_path(guarded: Site, host: str) -> None:
    async with guarded.client(peer=OUTSIDE, host=host) as stranger:
        assert (await stranger.get("/api/sessions")).status_code in {401, 403}


async def test_health_answers_under_any_name_and_tells_strangers_nothing(guarded: Site) -> None:
    async with guarded.client("http://10.1.2.3:9", OUTSIDE) as platform:
        asked = await platform.get("/api/status", headers={"host": "whatever"})
    assert asked.status_code == 200
    assert set(asked.json()) == {"status", "version"}
