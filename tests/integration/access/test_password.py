"""The password, and what a login is worth. Every refusal is asked for as an attacker would."""

from __future__ import annotations

import asyncio
import json
import stat
import sys
from pathlib import Path

import pytest

from app.config import CONFIG_FILE, load_settings
from app.core.errors import ConfigError, StorageError
from app.web.access import SESSION_COOKIE, Access
from app.web.configfile import read_config, update_config
from app.web.logins import LOGIN_SECONDS, Logins
from tests.access import OUTSIDE, PASSWORD, change, log_in, stored_in, token
from tests.support import make_settings
from tests.web import Site, running_site

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
    assert len(cookies) == 5
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


# ---------------------------------------------------------------- changing the password


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
