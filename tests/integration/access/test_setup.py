"""Open to the network without a password: the one-time code of the log."""

from __future__ import annotations

import re
import stat
import sys
from pathlib import Path

import httpx

from app.config import CONFIG_FILE, load_settings
from app.web.access import Access
from app.web.attempts import OneTimeCode
from tests.access import OUTSIDE, PASSWORD, log_in, token
from tests.support import make_settings
from tests.web import Site, running_site


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
