"""Who gets in. Every refusal is asked for as an attacker would: another machine, name, page, cookie or code."""

from __future__ import annotations

import asyncio
import json
import re
import stat
import sys
from collections.abc import AsyncIterator, Iterator, MutableMapping
from pathlib import Path

import httpx
import pytest
from itsdangerous import TimestampSigner
from loguru import logger
from starlette.requests import Request

from app.config import CONFIG_FILE, Settings, load_settings
from app.core.errors import ConfigError, StorageError
from app.web import login_pages, settings_page
from app.web.access import SESSION_COOKIE, Access
from app.web.attempts import Attempts, OneTimeCode
from app.web.configfile import read_config, update_config
from app.web.hosts import peer_of
from app.web.logins import LOGIN_SECONDS, Logins
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
    assert len(cookies) == 4
    assert all("Secure" in cookie for cookie in cookies)


@pytest.mark.parametrize("after", ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)"])
async def test_login_leads_to_no_other_place(guarded: Site, after: str) -> None:
    async with guarded.browser() as browser:
        assert (await log_in(browser, after=after)).headers["location"] == "/"


async def test_after_logging_out_a_kept_cookie_opens_nothing(tmp_path: Path) -> None:
    settings = make_settings(tmp_path, dashboard_password=PASSWORD)
    async with running_site(settings) as site, site.browser() as browser, site.browser() as other:
        await log_in(browser)
        await log_in(other)
        kept, theirs = browser.cookies[SESSION_COOKIE], other.cookies[SESSION_COOKIE]
        await browser.post("/logout", data={"csrf": await token(browser, "/")})
        at_once = [await status_with(site, cookie) for cookie in (kept, theirs)]
    async with running_site(settings) as site:
        restarted = [await status_with(site, cookie) for cookie in (kept, theirs)]
    assert at_once == restarted == [401, 200]


async def status_with(site: Site, cookie: str) -> int:
    async with site.client(cookie=f"{SESSION_COOKIE}={cookie}") as thief:
        return (await thief.get("/api/sessions")).status_code


async def test_logins_are_few_private_and_safe_to_lose(tmp_path: Path, log: list[str]) -> None:
    now, path = [1e9], tmp_path / "logins.json"
    logins = Logins(path, {}, clock=lambda: now[0])
    first = await logins.begin()
    assert logins.knows(first)
    assert not logins.knows("")
    assert sys.platform == "win32" or stat.S_IMODE(path.stat().st_mode) == 0o600
    for _ in range(200):
        last = await logins.begin()
    assert (logins.knows(first), logins.knows(last)) == (False, True)
    now[0] += LOGIN_SECONDS
    assert not logins.knows(last)
    await logins.begin()
    assert len(json.loads(path.read_bytes())) == 1
    path.write_bytes(b"[1, 2")
    assert not Logins.read(path).knows(last)
    assert "logins.json cannot be read" in "".join(log)


async def test_a_full_disk_lets_in_but_says_that_it_cannot_forget(tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(b"")  # nothing can be written below
    logins = Logins(tmp_path / "data" / "logins.json", {})
    login = await logins.begin()
    assert logins.knows(login)
    with pytest.raises(StorageError):
        await logins.end(login)
    assert not logins.knows(login)


# ---------------------------------------------------------------- guessing


async def test_guessing_is_slowed_down_even_for_the_right_password(guarded: Site) -> None:
    async with guarded.browser(peer=OUTSIDE) as guesser:
        for guess in range(5):
            assert (await log_in(guesser, str(guess))).status_code == 403
        refused = await log_in(guesser)
    assert refused.status_code == 429
    assert 0 < int(refused.headers["retry-after"]) <= 61


async def test_a_stranger_cannot_lock_the_owner_out(guarded: Site) -> None:
    async with guarded.browser() as owner, guarded.browser(peer=OUTSIDE) as stranger, guarded.browser() as new:
        await log_in(owner)
        await owner.post("/logout", data={"csrf": await token(owner, "/")})
        for guess in range(7):
            await log_in(stranger, str(guess))
            await log_in(new, str(guess))  # behind a proxy a stranger has the owner's own address
        assert (await log_in(new)).status_code == 429
        assert (await log_in(owner)).status_code == 303


async def test_many_strangers_share_one_budget_and_the_owner_keeps_his(guarded: Site) -> None:
    guarded.app.state.web.access.attempts = Attempts(each=5, together=3)
    async with guarded.browser() as owner:
        await log_in(owner)
        for number in range(3):
            async with guarded.browser(peer=f"203.0.113.{number}") as stranger:
                last = await log_in(stranger, "x")
        assert last.status_code == 429
        owner.cookies.delete(SESSION_COOKIE)
        assert (await log_in(owner)).status_code == 303


async def test_the_right_password_forgives_the_wrong_ones(guarded: Site) -> None:
    async with guarded.browser() as owner:
        for _ in range(3):
            for guess in range(4):
                await log_in(owner, str(guess))
            assert (await log_in(owner)).status_code == 303
            owner.cookies.delete(SESSION_COOKIE)


def test_attempts_come_back_one_by_one() -> None:
    now = [0.0]
    attempts = Attempts(each=2, seconds=60, clock=lambda: now[0])
    assert attempts.wait("a", stranger=True) == 0
    now[0] = 20
    assert attempts.wait("a", stranger=True) == 0
    assert attempts.wait("a", stranger=True) == 40
    assert attempts.wait("b", stranger=True) == 0
    now[0] = 60
    assert attempts.wait("a", stranger=True) == 0
    assert attempts.wait("a", stranger=True) == 20


def test_attempts_remember_a_thousand_guessers_at_most() -> None:
    attempts = Attempts(each=1, together=10_000)
    for number in range(1_100):
        attempts.wait(str(number), stranger=True)
    assert attempts.wait("1099", stranger=True) > 0
    assert len(attempts._guessers) <= 1_000  # pyright: ignore[reportPrivateUsage]


def test_an_ipv6_customer_is_one_guesser() -> None:
    def peer(address: str) -> str:
        return peer_of(Request({"type": "http", "client": (address, 1), "headers": []}))

    assert peer("2001:db8::1") == peer("2001:db8::ffff:2") != peer("2001:db8:0:1::1")
    assert peer("::ffff:203.0.113.7") == peer("203.0.113.7")


async def test_no_other_cookie_opens(guarded: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    async with guarded.browser() as browser:
        with monkeypatch.context() as past:
            past.setattr(TimestampSigner, "get_timestamp", lambda _: 1_000_000)
            await log_in(browser)
        old = browser.cookies[SESSION_COOKIE]
        await log_in(browser)
        good = browser.cookies[SESSION_COOKIE]
        forged = TimestampSigner(b"x" * 32, salt="nanobot.session").sign(good.partition(".")[0]).decode()
        for value in (old, forged, good[:-1], good + "x", ""):
            async with guarded.browser() as thief:
                thief.cookies.set(SESSION_COOKIE, value)
                assert (await thief.get("/api/sessions")).status_code == 401, value
        async with guarded.browser() as owner:
            owner.cookies.set(SESSION_COOKIE, good)
            assert (await owner.get("/api/sessions")).status_code == 200


async def test_a_session_outlives_a_restart_but_not_a_new_password(tmp_path: Path) -> None:
    async def enter(settings: Settings, cookie: str = "") -> tuple[str, int]:
        async with running_site(settings) as site, site.browser() as browser:
            if cookie:
                browser.cookies.set(SESSION_COOKIE, cookie)
            else:
                await log_in(browser)
                cookie = browser.cookies[SESSION_COOKIE]
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


async def test_wrong_codes_are_limited_and_neither_change_nor_close_the_right_one(log: list[str], fresh: Site) -> None:
    first = code_in(log)
    async with fresh.browser(peer=OUTSIDE) as browser:
        wrong = [(await choose(browser, "AAAAA-AAAAA")).status_code for _ in range(7)]
        assert code_in(log) == first
        right = await choose(browser, first)
    assert wrong == [403] * 5 + [429] * 2
    assert right.status_code == 303
    assert f"wrong one-time code from {OUTSIDE}" in "".join(log)


def test_after_very_many_wrong_codes_there_is_another(log: list[str]) -> None:
    code = OneTimeCode()
    first = code_in(log)
    for _ in range(999):
        code.missed("x")
    assert code.matches(first.lower())
    code.missed("x")
    assert not code.matches(first)
    assert code.matches(code_in(log))


async def test_a_password_that_will_not_do_costs_no_try(fresh: Site) -> None:
    async with fresh.browser() as browser:
        for short in ("corta", "once letras", "x" * 1_001):
            assert "entre 12 y 1000" in (await choose(browser, "x", short)).text
        assert "no son iguales" in (await choose(browser, "x", again="distinta de la otra")).text
        for _ in range(5):
            assert (await choose(browser, "x")).status_code == 403


# ---------------------------------------------------------------- the configured password


@pytest.mark.parametrize(
    "stored",
    ["$argon2id$broken", "$argon2id", "$argon2id$v=19$m=65536,t=3,p=4$abc$!!!", "$argon2id=19=65536,t=3", "x" * 1_001],
)
async def test_a_password_that_could_never_open_stops_the_start(tmp_path: Path, stored: str) -> None:
    with pytest.raises(ConfigError, match=r"^Configuración: DASHBOARD_PASSWORD ") as refused:
        await Access.open(make_settings(tmp_path, dashboard_password=stored))
    assert "\n" not in str(refused.value)
    assert stored not in str(refused.value)


@pytest.mark.parametrize(("host", "password", "warned"), [
    ("0.0.0.0", "corta", True), ("127.0.0.1", "corta", False), ("0.0.0.0", PASSWORD, False),
])  # fmt: skip
async def test_a_short_password_open_to_the_network_is_warned_of(
    tmp_path: Path, log: list[str], host: str, password: str, warned: bool
) -> None:
    settings = make_settings(tmp_path, host=host, dashboard_password=password)
    async with running_site(settings) as site, site.browser() as browser:
        assert (await log_in(browser, password)).status_code == 303
    assert ("fewer than 12" in "".join(log)) is warned


async def test_the_longest_password_opens(tmp_path: Path) -> None:
    longest = "ñ" * 1_000
    async with running_site(make_settings(tmp_path, dashboard_password=longest)) as site, site.browser() as browser:
        assert (await log_in(browser, longest + "x")).status_code == 403
        assert (await log_in(browser, longest)).status_code == 303


async def test_of_two_who_know_the_code_the_first_wins(fresh: Site) -> None:
    access: Access = fresh.app.state.web.access
    results = await asyncio.gather(access.choose_password("la primera de todas"), access.choose_password("la segunda"))
    assert results == [True, False]
    assert await access.check_password("la primera de todas")


# ---------------------------------------------------------------- settings page


async def save(browser: httpx.AsyncClient, **values: str) -> httpx.Response:
    return await browser.post("/configuracion", data={"csrf": await token(browser, "/configuracion"), **values})


def stored_in(site: Site) -> dict[str, str]:
    return read_config(site.house.settings.data_dir / CONFIG_FILE)


async def test_secrets_are_stored_privately_and_never_shown(local: Site) -> None:
    data = local.house.settings.data_dir
    async with local.browser() as browser:
        saved = await save(browser, GROQ_API_KEY="gsk_muysecreta'\\x", TELEGRAM_USER_ID="42")
        page = await browser.get(saved.headers["location"])
        kept = await save(browser, GROQ_API_KEY="", TELEGRAM_USER_ID="43")
        after = stored_in(local)
        removed = await save(browser, quitar="GROQ_API_KEY", TELEGRAM_USER_ID="")
    assert "se aplicará al reiniciar" in page.text.lower()
    assert "muysecreta" not in page.text
    assert "Guardado: escribe" in page.text
    assert [kept.status_code, removed.status_code] == [303, 303]
    assert after == {"GROQ_API_KEY": "gsk_muysecreta'\\x", "TELEGRAM_USER_ID": "43"}
    assert stored_in(local) == {}
    assert sys.platform == "win32" or stat.S_IMODE((data / CONFIG_FILE).stat().st_mode) == 0o600


async def test_everything_else_is_shown_and_comes_back_at_the_next_start(local: Site) -> None:
    values = {
        "GROQ_MODEL": "openai/gpt-oss-20b",
        "ANTHROPIC_MODEL": "claude-sonnet-5-5",
        "LOCAL_LLM_BASE_URL": "http://localhost:11434/v1",
        "LOCAL_LLM_MODEL": "qwen3:8b",
        "DAILY_BUDGET_USD": "2.5",
        "TIMEZONE": "America/Bogota",
    }
    async with local.browser() as browser:
        assert (await save(browser, **values)).status_code == 303
        page = await browser.get("/configuracion")
        assert (await save(browser, LOCAL_LLM_MODEL="")).status_code == 303
    assert all(f'value="{value}"' in page.text for value in values.values())
    data = local.house.settings.data_dir
    settings = load_settings(_env_file=None, data_dir=data, workspace_dir=data.parent / "home")
    assert (settings.groq_model, settings.anthropic_model) == ("openai/gpt-oss-20b", "claude-sonnet-5-5")
    assert (settings.local_llm_base_url, settings.local_llm_model) == ("http://localhost:11434/v1", "default")
    assert (settings.daily_budget_usd, settings.timezone) == (2.5, "America/Bogota")


async def test_an_address_with_a_password_in_it_is_a_secret(local: Site) -> None:
    address = "http://ana:s3creta@servidor.example/v1"
    async with local.browser() as browser:
        await save(browser, LOCAL_LLM_BASE_URL=address)
        page = await browser.get("/configuracion")
        await save(browser, LOCAL_LLM_BASE_URL="", TIMEZONE="Europe/Madrid")
    assert "s3creta" not in page.text
    assert stored_in(local) == {"LOCAL_LLM_BASE_URL": address, "TIMEZONE": "Europe/Madrid"}


async def test_what_the_environment_fixes_is_locked(local: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROQ_API_KEY", "gsk_delentorno")
    monkeypatch.setenv("DASHBOARD_PASSWORD", PASSWORD)
    async with local.browser() as browser:
        page = await browser.get("/configuracion")
        await save(browser, GROQ_API_KEY="gsk_intrusa", quitar="GROQ_API_KEY")
        changed = await change(browser, "una nueva y larga")
    assert 'name="GROQ_API_KEY"' not in page.text
    assert 'name="GROQ_MODEL"' in page.text
    assert 'name="again"' not in page.text
    assert "fijado por el entorno" in page.text
    assert "delentorno" not in page.text
    assert changed.status_code == 409
    assert stored_in(local) == {}


async def test_a_locked_value_that_is_no_secret_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROQ_MODEL", "del/entorno")
    async with running_site(make_settings(tmp_path)) as site, site.browser() as browser:
        page = await browser.get("/configuracion")
    assert "<code>del/entorno</code>" in page.text
    assert 'name="GROQ_MODEL"' not in page.text


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("GROQ_API_KEY", "corta", "al menos 8"),
        ("GROQ_API_KEY", "con un espacio", "ningún espacio"),
        ("GROQ_API_KEY", "con\nsalto-de-linea", "ningún espacio"),
        ("GROQ_API_KEY", "abc${HOME}xyzw1", "no se pueden guardar"),
        ("TELEGRAM_TOKEN", "no-es-un-token", "@BotFather"),
        ("TELEGRAM_USER_ID", "-5", "TELEGRAM_USER_ID debe ser mayor que 0"),
        ("TELEGRAM_USER_ID", "<script>alert(1)</script>", "debe ser un número entero"),
        ("LOCAL_LLM_BASE_URL", "localhost:11434", "http://"),
        ("DAILY_BUDGET_USD", "-1", "DAILY_BUDGET_USD debe ser 0"),
        ("DAILY_BUDGET_USD", "inf", "DAILY_BUDGET_USD"),
        ("DAILY_BUDGET_USD", "mucho", "debe ser un número"),
        ("TIMEZONE", "Marte/Olympus", "zona horaria"),
    ],
)
async def test_a_wrong_value_is_named_and_nothing_is_stored(local: Site, name: str, value: str, says: str) -> None:
    async with local.browser() as browser:
        refused = await save(browser, GROQ_MODEL="uno/bueno", **{name: value})
    assert refused.status_code == 422
    assert says in refused.text
    assert refused.text.count('role="alert"') == 1
    assert "<script>alert" not in refused.text
    assert 'value="uno/bueno"' in refused.text, "what was typed stays"
    assert ("API_KEY" in name and value in refused.text) is False
    assert not (local.house.settings.data_dir / CONFIG_FILE).exists()


async def test_what_no_file_can_hold_is_no_inner_failure(local: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever it is noticed."""
    monkeypatch.setattr(settings_page, "_problem", lambda *_: "")
    async with local.browser() as browser:
        refused = await save(browser, GROQ_API_KEY="abc${HOME}xyzw1")
    assert refused.status_code == 422
    assert "GROQ_API_KEY tiene caracteres que no se pueden guardar" in refused.text


# ---------------------------------------------------------------- changing the password


async def change(browser: httpx.AsyncClient, new: str, current: str = "", again: str = "") -> httpx.Response:
    csrf = await token(browser, "/configuracion")
    form = {"csrf": csrf, "current": current, "password": new, "again": again or new}
    return await browser.post("/configuracion/contrasena", data=form)


async def test_a_password_can_be_put_from_this_machine_and_holds_at_once(local: Site) -> None:
    new = "una nueva y larga"
    async with local.browser() as browser, local.browser() as other:
        assert "entre 12 y 1000" in (await change(browser, "corta")).text
        assert "no son iguales" in (await change(browser, new, again="otra distinta")).text
        assert (await change(browser, new)).status_code == 303
        assert "ya vale" in (await browser.get("/configuracion?guardado=contrasena")).text
        assert (await browser.get("/api/sessions")).status_code == 200
        assert (await other.get("/api/sessions")).status_code == 401
        assert (await log_in(other, new)).status_code == 303
    assert stored_in(local)["DASHBOARD_PASSWORD"].startswith("$argon2id$")


async def test_a_new_password_needs_the_old_one_and_ends_every_login(tmp_path: Path) -> None:
    new = "una nueva y larga"
    settings = make_settings(tmp_path, dashboard_password=PASSWORD)
    async with running_site(settings) as site, site.browser() as browser, site.browser() as other:
        await log_in(browser)
        await log_in(other)
        wrong = await change(browser, new, "no la sé")
        right = await change(browser, new, PASSWORD)
        inside = [(await client.get("/api/sessions")).status_code for client in (browser, other)]
        old, fresh = await log_in(other), await log_in(other, new)
    assert [wrong.status_code, right.status_code, old.status_code, fresh.status_code] == [403, 303, 403, 303]
    assert "no es correcta" in wrong.text
    assert inside == [200, 401]


async def test_the_old_password_cannot_be_guessed_from_inside(tmp_path: Path) -> None:
    settings = make_settings(tmp_path, dashboard_password=PASSWORD)
    async with running_site(settings) as site, site.browser() as browser:
        await log_in(browser)
        tries = [(await change(browser, "una nueva y larga", str(guess))).status_code for guess in range(6)]
    assert tries == [403] * 5 + [429]


@pytest.mark.parametrize(
    "value", ["plain", "with 'quotes' and \\ back\\slash\\", '"double"', "$argon2id$v=19$m=65536", "ñ # no"]
)
def test_config_env_gives_back_what_it_was_given(tmp_path: Path, value: str) -> None:
    path = tmp_path / "new" / CONFIG_FILE
    update_config(path, {"A": "1", "GROQ_MODEL": value})
    update_config(path, {"A": ""})
    settings = load_settings(_env_file=None, data_dir=path.parent, workspace_dir=tmp_path / "home")
    assert read_config(path) == {"GROQ_MODEL": value}
    assert settings.groq_model == value


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


async def test_a_key_saved_in_the_dashboard_is_hidden_at_once(tmp_path: Path) -> None:
    async with running_site(make_settings(tmp_path)) as site, site.browser() as browser:
        form = {"GROQ_API_KEY": "clave-nueva-0123456789", "csrf": await token(browser, "/configuracion")}
        assert (await browser.post("/configuracion", data=form)).status_code == 303
        assert "clave-nueva" not in site.house.parts.machine.redactor.redact("la clave-nueva-0123456789 es")
