"""Who may answer a question: a person on a page of his own login. No token, no other page, nobody's leftovers."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from app.core.events import ApprovalGivenLine
from app.web.access import Caller
from tests.access import PASSWORD, log_in, make_token, token
from tests.fakes.brain import ScriptedBrain, calls, text
from tests.support import lines_of, make_settings, until
from tests.web import Site, page_token, running_site

ROOM = "web_0123456789ab"
RISKY = calls(("execute_shell", {"command": "echo hecho > marca"}))


@asynccontextmanager
async def asking(tmp_path: Path) -> AsyncGenerator[tuple[Site, str]]:
    """A site behind a password with an open question, and where it is answered."""
    settings = make_settings(tmp_path, dashboard_password=PASSWORD)
    async with running_site(settings, ScriptedBrain(RISKY, text("ya"))) as site:
        await site.house.inbox.session_message(ROOM, "hazlo", "web")
        context = await site.house.parts.contexts.get(ROOM)
        await until(lambda: bool(context.questions))
        yield site, f"/api/v1/approvals/{ROOM}/{next(iter(context.questions))}"


@asynccontextmanager
async def logged_in(site: Site) -> AsyncGenerator[httpx.AsyncClient]:
    async with site.browser() as browser:
        await log_in(browser)
        yield browser


async def decided(site: Site) -> list[str]:
    return [x.decision for x in await lines_of(site.house.store, ROOM) if isinstance(x, ApprovalGivenLine)]


async def test_no_token_of_the_api_approves_not_even_with_a_pages_secret(tmp_path: Path) -> None:
    async with asking(tmp_path) as (site, address), logged_in(site) as browser:
        page, writes = await page_token(browser), await make_token(browser, scope="escribir")
        async with site.client(authorization=f"Bearer {writes}") as program:
            for headers in ({}, page):
                for decision in ("allow", "always", "deny"):
                    refused = await program.post(address, json={"decision": decision}, headers=headers)
                    assert refused.status_code == 403 and "persona" in refused.json()["error"]
        refused = await browser.post(
            address, json={"decision": "allow"}, headers=page | {"authorization": f"Bearer {writes}"}
        )
        assert refused.status_code == 403, "who shows a token is judged by it alone"
        assert await decided(site) == []
        assert (await browser.post(address, json={"decision": "deny"}, headers=page)).status_code == 200
        assert await decided(site) == ["deny"]


async def test_the_secret_is_this_logins_alone(tmp_path: Path) -> None:
    async with asking(tmp_path) as (site, address), logged_in(site) as mine, logged_in(site) as other:
        page, theirs = await page_token(mine), await page_token(other)
        assert page != theirs
        assert (await mine.post(address, json={"decision": "allow"}, headers=theirs)).status_code == 403
        await mine.post("/logout", data={"csrf": await token(mine, "/permisos")})
        assert (await mine.post(address, json={"decision": "allow"}, headers=page)).status_code == 401
        await log_in(mine)
        assert (await mine.post(address, json={"decision": "allow"}, headers=page)).status_code == 403, "a new login"
        assert await decided(site) == []


async def test_a_token_has_no_page(tmp_path: Path) -> None:
    async with asking(tmp_path) as (site, _):
        access = site.app.state.web.access
        for credential, is_page in (("login abc", True), ("local", True), ("token abc", False)):
            caller = Caller(credential)
            assert access.is_a_page(caller, access.page_token(caller)) is is_page


async def test_strangers_see_no_secret(tmp_path: Path) -> None:
    async with asking(tmp_path) as (site, _), site.browser() as browser:
        for path in ("/login", "/", "/puesta-en-marcha"):
            assert "nanobot-page" not in (await browser.get(path, follow_redirects=True)).text


async def test_the_page_of_permissions_lists_and_takes_back(tmp_path: Path) -> None:
    async with asking(tmp_path) as (site, address), logged_in(site) as browser:
        page = await page_token(browser)
        assert (await browser.post(address, json={"decision": "always"}, headers=page)).status_code == 200
        await site.house.runner.lanes.idle()
        shown = await browser.get("/permisos")
        assert "«echo hecho &gt; marca»" in shown.text
        csrf = await token(browser, "/permisos")
        assert (await browser.post("/permisos/quitar", data={"number": "1"})).status_code == 403
        assert (await browser.post("/permisos/quitar", data={"csrf": "x" * 32, "number": "1"})).status_code == 403
        assert len(await site.house.parts.permissions.all()) == 1
        for number, status in (("x", 422), ("99", 303), ("1", 303), ("1", 303)):
            answer = await browser.post("/permisos/quitar", data={"csrf": csrf, "number": number})
            assert answer.status_code == status, number
        assert not await site.house.parts.permissions.all()
        assert "No hay ninguno" in (await browser.get("/permisos")).text
    async with running_site(make_settings(tmp_path, dashboard_password=PASSWORD)) as site, site.browser() as stranger:
        assert (await stranger.get("/permisos")).status_code == 303
