"""Guessing passwords, cookies and codes."""

from __future__ import annotations

import stat
import sys
from pathlib import Path

import pytest
from itsdangerous import TimestampSigner
from starlette.requests import Request

from app.config import Settings
from app.web.access import SESSION_COOKIE
from app.web.attempts import Attempts
from app.web.hosts import peer_of
from tests.access import OUTSIDE, PASSWORD, log_in, token
from tests.support import make_settings
from tests.web import Site, running_site


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
