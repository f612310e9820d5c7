"""Who gets in. Every refusal is asked for as an attacker would: another machine, name, page, cookie or code."""

from __future__ import annotations

import asyncio
import re
import stat
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
from itsdangerous import TimestampSigner
from loguru import logger

from app.config import CONFIG_FILE, Settings, load_settings
from app.web import login_pages
from app.web.access import Access
from app.web.attempts import Attempts
from app.web.configfile import read_config, update_config
from tests.support import make_settings
from tests.web import LOCAL, Site, running_site

PASSWORD = "una contraseña larga"
OUTSIDE = "203.0.113.7"


@pytest.fixture(autouse=True)
def quick_failures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(login_pages, "FAILURE_SECONDS", 0)


@pytest.fixture(autouse=True)
def no_public_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RENDER_EXTERNAL_URL", raising=False)


@pytest.fixture
def log() -> Iterator[list[str]]:
    said: list[str] = []
    sink = logger.add(lambda message: said.append(str(message)), level="DEBUG")
    yield said
    logger.remove(sink)


@pytest.fixture
async def local(tmp_path: Path) -> AsyncIterator[Site]:
    async with running_site(make_settings(tmp_path)) as site:
        yield site


@pytest.fixture
async def guarded(tmp_path: Path) -> AsyncIterator[Site]:
    settings = make_settings(
        tmp_path, dashboard_password=PASSWORD, public_url="https://bot.example.com", host="0.0.0.0"
    )
    async with running_site(settings) as site:
        yield site


@pytest.fixture
async def fresh(tmp_path: Path) -> AsyncIterator[Site]:
    """Open to the network, without a password."""
    async with running_site(make_settings(tmp_path, host="0.0.0.0")) as site:
        yield site


async def token(browser: httpx.AsyncClient, page: str) -> str:
    found = re.search(r'name="csrf" value="([\w-]+)"', (await browser.get(page)).text)
    assert found
    return found[1]


async def log_in(browser: httpx.AsyncClient, password: str = PASSWORD, after: str = "") -> httpx.Response:
    form = {"csrf": await token(browser, "/login"), "password": password, "a": after}
    return await browser.post("/login", data=form)


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
        (LOCAL, "127.0.0.1", {"x-forwarded-for": OUTSIDE}),
        (LOCAL, "127.0.0.1", {"forwarded": f"for={OUTSIDE}"}),
    ],
)
async def test_without_a_password_nobody_else_does(local: Site, base: str, peer: str, headers: dict[str, str]) -> None:
    async with local.client(base, peer, **headers) as stranger:
        page, api = await stranger.get("/"), await stranger.get("/api/sessions")
        sent = await stranger.post("/api/v1/chat", json={"text": "hola"})
    assert [page.status_code, api.status_code, sent.status_code] == [403, 403, 403]
    assert "DASHBOARD_PASSWORD" in page.text
    assert not await local.house.store.list_sessions()


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


async def test_health_answers_under_any_name_and_tells_strangers_nothing(guarded: Site) -> None:
    async with guarded.client("http://10.1.2.3:9", OUTSIDE) as platform:
        asked = await platform.get("/api/status", headers={"host": "whatever"})
    assert asked.status_code == 200
    assert set(asked.json()) == {"status", "version"}


# ---------------------------------------------------------------- the password


async def test_a_stranger_sees_only_the_login_page(guarded: Site) -> None:
    async with guarded.browser(peer=OUTSIDE) as stranger:
        for path in ("/", "/sesiones", "/sesiones/telegram_1", "/estado", "/configuracion"):
            response = await stranger.get(path)
            assert response.headers["location"].startswith("/login")
        for path in (
            "/api/sessions",
            "/api/sessions/telegram_1",
            "/api/v1/events?session_id=web_0123456789ab",
            "/docs",
        ):
            response = await stranger.get(path)
            assert response.status_code == (303 if path == "/docs" else 401)
        sent = await stranger.post("/api/v1/chat", json={"text": "hola"})
        assert sent.status_code == 401
        assert "contraseña" in sent.json()["error"]


async def test_the_right_password_opens_and_logout_closes(guarded: Site, log: list[str]) -> None:
    async with guarded.browser() as browser:
        wrong = await log_in(browser, "otra cosa")
        right = await log_in(browser, after="/estado")
        inside = await browser.get("/estado")
        bye = await browser.post("/logout", data={"csrf": await token(browser, "/estado")})
        outside = await browser.get("/estado")
    assert wrong.status_code == 403
    assert "no es correcta" in wrong.text
    assert (right.status_code, right.headers["location"]) == (303, "/estado")
    cookie = next(c for c in right.headers.get_list("set-cookie") if c.startswith("nanobot_session"))
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert "Secure" not in cookie
    assert inside.status_code == 200
    assert (bye.status_code, outside.status_code) == (303, 303)
    assert PASSWORD not in "".join(log)


async def test_over_https_the_cookies_never_travel_in_clear(guarded: Site) -> None:
    base = "https://bot.example.com"
    async with guarded.browser(base, OUTSIDE) as browser:
        page = await browser.get("/login")
        entered = await log_in(browser)
    # behind a proxy that ends TLS the connection looks plain: the public address says so
    async with guarded.client("http://bot.example.com", OUTSIDE, origin=base) as behind:
        plain = await behind.get("/login")
    cookies = [*page.headers.get_list("set-cookie"), *entered.headers.get_list("set-cookie")]
    cookies += plain.headers.get_list("set-cookie")
    assert len(cookies) == 3
    assert all("Secure" in cookie for cookie in cookies)


@pytest.mark.parametrize("after", ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)"])
async def test_login_leads_to_no_other_place(guarded: Site, after: str) -> None:
    async with guarded.browser() as browser:
        assert (await log_in(browser, after=after)).headers["location"] == "/"


async def test_guessing_is_slowed_down_even_for_the_right_password(guarded: Site) -> None:
    async with guarded.browser() as browser:
        for guess in range(5):
            assert (await log_in(browser, str(guess))).status_code == 403
        refused = await log_in(browser)
    assert refused.status_code == 429
    assert 0 < int(refused.headers["retry-after"]) <= 61


def test_attempts_come_back_one_by_one() -> None:
    now = [0.0]
    attempts = Attempts(most=2, seconds=60, clock=lambda: now[0])
    assert attempts.wait() == 0
    now[0] = 20
    assert attempts.wait() == 0
    assert attempts.wait() == 40
    now[0] = 60
    assert attempts.wait() == 0
    assert attempts.wait() == 20


async def test_no_other_cookie_opens(guarded: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    async with guarded.browser() as browser:
        with monkeypatch.context() as past:
            past.setattr(TimestampSigner, "get_timestamp", lambda _: 1_000_000)
            await log_in(browser)
        old = browser.cookies["nanobot_session"]
        await log_in(browser)
        good = browser.cookies["nanobot_session"]
        forged = TimestampSigner(b"x" * 32, salt="nanobot.session").sign(good.partition(".")[0]).decode()
        for value in (old, forged, good[:-1], good + "x", ""):
            async with guarded.browser() as thief:
                thief.cookies.set("nanobot_session", value)
                assert (await thief.get("/api/sessions")).status_code == 401, value
        async with guarded.browser() as owner:
            owner.cookies.set("nanobot_session", good)
            assert (await owner.get("/api/sessions")).status_code == 200


async def test_a_session_outlives_a_restart_but_not_a_new_password(tmp_path: Path) -> None:
    async def enter(settings: Settings, cookie: str = "") -> tuple[str, int]:
        async with running_site(settings) as site, site.browser() as browser:
            if cookie:
                browser.cookies.set("nanobot_session", cookie)
            else:
                await log_in(browser)
                cookie = browser.cookies["nanobot_session"]
            return cookie, (await browser.get("/api/sessions")).status_code

    cookie, first = await enter(make_settings(tmp_path, dashboard_password=PASSWORD))
    _, restarted = await enter(make_settings(tmp_path, dashboard_password=PASSWORD), cookie)
    _, changed = await enter(make_settings(tmp_path, dashboard_password="otra contraseña"), cookie)
    assert [first, restarted, changed] == [200, 200, 401]


async def test_the_key_that_signs_sessions_is_private(guarded: Site) -> None:
    mode = (guarded.house.settings.data_dir / "secret.key").stat().st_mode
    assert sys.platform == "win32" or stat.S_IMODE(mode) == 0o600


# ---------------------------------------------------------------- set-up


def code_in(log: list[str]) -> str:
    codes = re.findall(r"[2-9A-Z]{5}-[2-9A-Z]{5}", "".join(log))
    return codes[-1] if codes else ""


async def choose(browser: httpx.AsyncClient, code: str, password: str = PASSWORD, again: str = "") -> httpx.Response:
    csrf = await token(browser, "/puesta-en-marcha")
    form = {"csrf": csrf, "code": code, "password": password, "again": again or password}
    return await browser.post("/puesta-en-marcha", data=form)


async def test_open_to_the_network_without_a_password_only_set_up_opens(fresh: Site) -> None:
    for peer in (OUTSIDE, "127.0.0.1"):
        async with fresh.browser(peer=peer) as browser:
            for path in ("/", "/estado", "/configuracion", "/login"):
                assert (await browser.get(path)).headers["location"] == "/puesta-en-marcha"
            assert (await browser.get("/api/sessions")).status_code == 401
            assert (await browser.post("/api/v1/chat", json={"text": "hola"})).status_code == 401
            assert (await browser.get("/puesta-en-marcha")).status_code == 200


async def test_the_code_from_the_log_sets_the_password_at_once(log: list[str], tmp_path: Path) -> None:
    settings = make_settings(tmp_path, host="0.0.0.0")
    async with running_site(settings) as site, site.browser(peer=OUTSIDE) as browser:
        code = code_in(log)
        done = await choose(browser, f" {code.lower()} ")
        inside = await browser.get("/api/sessions")
        async with site.browser(peer=OUTSIDE) as stranger:
            closed = await stranger.get("/puesta-en-marcha")
            late = await stranger.post("/puesta-en-marcha", data={"csrf": await token(stranger, "/login")})
            entered = await log_in(stranger)
    assert (done.status_code, done.headers["location"], inside.status_code) == (303, "/", 200)
    assert closed.headers["location"] == "/"
    assert late.headers["location"] == "/login"
    assert entered.headers["location"] == "/"
    config = tmp_path / "data" / CONFIG_FILE
    assert PASSWORD not in config.read_text("utf-8")
    assert sys.platform == "win32" or stat.S_IMODE(config.stat().st_mode) == 0o600
    restarted = load_settings(
        _env_file=None, data_dir=tmp_path / "data", workspace_dir=tmp_path / "home", host="0.0.0.0"
    )
    access = await Access.open(restarted)
    assert access.mode == "password"
    assert await access.check_password(PASSWORD)
    assert not await access.check_password(PASSWORD + "x")


async def test_the_code_cannot_be_guessed(log: list[str], fresh: Site) -> None:
    access: Access = fresh.app.state.web.access
    access.attempts = Attempts(most=100)
    first = code_in(log)
    async with fresh.browser(peer=OUTSIDE) as browser:
        for _ in range(5):
            assert (await choose(browser, "AAAAA-AAAAA")).status_code == 403
        assert code_in(log) != first
        assert (await choose(browser, first)).status_code == 403
        access.attempts = Attempts(most=1)
        await choose(browser, "AAAAA-AAAAA")
        assert (await choose(browser, code_in(log))).status_code == 429


async def test_a_password_that_will_not_do_costs_no_try(fresh: Site) -> None:
    async with fresh.browser() as browser:
        assert "entre 10 y 200" in (await choose(browser, "x", "corta")).text
        assert "no son iguales" in (await choose(browser, "x", again="distinta de la otra")).text
    assert fresh.app.state.web.access.attempts.wait() == 0


async def test_of_two_who_know_the_code_the_first_wins(fresh: Site) -> None:
    access: Access = fresh.app.state.web.access
    results = await asyncio.gather(access.choose_password("la primera de todas"), access.choose_password("la segunda"))
    assert results == [True, False]
    assert await access.check_password("la primera de todas")


# ---------------------------------------------------------------- settings page


async def test_settings_are_stored_privately_and_never_shown(local: Site) -> None:
    data = local.house.settings.data_dir
    async with local.browser() as browser:
        form = {"csrf": await token(browser, "/configuracion"), "GROQ_API_KEY": "gsk_muysecreta'\\x"}
        saved = await browser.post("/configuracion", data=form | {"TELEGRAM_USER_ID": "42"})
        page = await browser.get(saved.headers["location"])
        kept = await browser.post("/configuracion", data={"csrf": form["csrf"], "TELEGRAM_USER_ID": "43"})
        removed = await browser.post("/configuracion", data={"csrf": form["csrf"], "quitar": "TELEGRAM_USER_ID"})
    assert "se aplicará al reiniciar" in page.text.lower()
    assert "muysecreta" not in page.text
    assert "Configurada" in page.text
    assert [kept.status_code, removed.status_code] == [303, 303]
    settings = load_settings(_env_file=None, data_dir=data, workspace_dir=data.parent / "home")
    assert settings.groq_api_key is not None
    assert settings.groq_api_key.get_secret_value() == "gsk_muysecreta'\\x"
    assert settings.telegram_user_id is None


async def test_what_the_environment_fixes_is_locked(local: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROQ_API_KEY", "gsk_delentorno")
    async with local.browser() as browser:
        page = await browser.get("/configuracion")
        form = {"csrf": await token(browser, "/configuracion"), "GROQ_API_KEY": "gsk_intrusa"}
        await browser.post("/configuracion", data=form)
    assert 'name="GROQ_API_KEY"' not in page.text
    assert "Fijada por el entorno" in page.text
    assert "delentorno" not in page.text
    assert read_config(local.house.settings.data_dir / CONFIG_FILE) == {}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("GROQ_API_KEY", "corta"),
        ("GROQ_API_KEY", "con un espacio"),
        ("GROQ_API_KEY", "con\nsalto-de-linea"),
        ("TELEGRAM_TOKEN", "no-es-un-token"),
        ("TELEGRAM_USER_ID", "-5"),
        ("TELEGRAM_USER_ID", "<script>alert(1)</script>"),
    ],
)
async def test_a_value_of_the_wrong_form_is_not_stored(local: Site, name: str, value: str) -> None:
    async with local.browser() as browser:
        form = {"csrf": await token(browser, "/configuracion"), name: value}
        refused = await browser.post("/configuracion", data=form)
    assert refused.status_code == 422
    assert value not in refused.text
    assert not (local.house.settings.data_dir / CONFIG_FILE).exists()


@pytest.mark.parametrize(
    "value", ["plain", "with 'quotes' and \\ back\\slash\\", '"double"', "$argon2id$v=19$m=65536", "ñ # no"]
)
def test_config_env_gives_back_what_it_was_given(tmp_path: Path, value: str) -> None:
    path = tmp_path / "new" / CONFIG_FILE
    update_config(path, {"A": "1", "GROQ_API_KEY": value})
    update_config(path, {"A": ""})
    settings = load_settings(_env_file=None, data_dir=path.parent, workspace_dir=tmp_path / "home")
    assert read_config(path) == {"GROQ_API_KEY": value}
    assert settings.groq_api_key is not None
    assert settings.groq_api_key.get_secret_value() == value


# ---------------------------------------------------------------- headers


@pytest.mark.parametrize("path", ["/", "/static/base.css", "/api/status", "/api/sessions", "/nada", "/api/sessions/x"])
async def test_every_response_is_strict_about_what_a_browser_may_do(local: Site, path: str) -> None:
    async with local.browser() as browser:
        response = await browser.get(path)
    policy = response.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["referrer-policy"] == "same-origin"
    assert response.headers["cache-control"] == ("no-cache" if path.startswith("/static") else "no-store")


async def test_pages_carry_no_inline_code_and_nothing_from_elsewhere(local: Site) -> None:
    async with local.browser() as browser:
        for path in ("/", "/sesiones", "/estado", "/configuracion", "/nada"):
            html = (await browser.get(path)).text
            assert not re.search(r"\son\w+=|style=|<style|javascript:", html), path
            scripts = re.findall(r"<script([^>]*)>", html)
            assert all("src=" in script or "application/json" in script for script in scripts), path
            assert not re.search(r'(?:src|href)="(?:https?:)?//[^"]*"(?! rel="noopener)', html), path
