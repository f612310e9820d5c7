"""The API's tokens: what each may do, that it is stored as a digest alone, and that a revoked one ends at once."""

from __future__ import annotations

import asyncio
import json
import stat
import sys
from pathlib import Path

import httpx
import pytest

from app.core.errors import StorageError
from app.core.events import UserLine
from app.web.tokens import MOST, Token, Tokens, UnfitToken
from tests.access import OUTSIDE, PASSWORD, log_in, make_token, token
from tests.fakes.brain import ScriptedBrain, text
from tests.support import lines_of, make_settings
from tests.web import Site, collect, listening, read_events, running_site

ROOM = "web_0123456789ab"
ADDRESS = "/configuracion/accesos"


def bearer(value: str) -> dict[str, str]:
    return {"authorization": f"Bearer {value}"}


async def inside(site: Site, scope: str = "leer") -> str:
    async with site.browser() as browser:
        await log_in(browser)
        return await make_token(browser, scope=scope)


async def asked(site: Site, value: str, method: str = "GET", path: str = "/api/sessions") -> int:
    body = {"json": {"text": "hola"}} if method == "POST" else {}
    async with site.client("https://bot.example.com", OUTSIDE, **bearer(value)) as program:
        return (await program.request(method, path, **body)).status_code  # type: ignore[arg-type]


async def test_a_token_opens_the_api_as_far_as_its_scope_goes(guarded: Site) -> None:
    reads, writes = await inside(guarded, "leer"), await inside(guarded, "escribir")
    assert [await asked(guarded, value) for value in (reads, writes)] == [200, 200]
    assert [await asked(guarded, value, "POST", "/api/v1/chat") for value in (reads, writes)] == [403, 202]
    for path in (f"/api/v1/approvals/{ROOM}/1", f"/api/v1/sessions/{ROOM}/stop", "/api/v1/telegram/takeover"):
        assert await asked(guarded, reads, "POST", path) == 403
    await guarded.house.runner.lanes.idle()


async def test_no_other_token_does(guarded: Site) -> None:
    good = await inside(guarded)
    name, secret = good[:21], good[21:]
    wrong = "A" * 43
    bad = ["", "x", good[:-1], good + "x", good.upper(), name + wrong, f"nanobot_{'0' * 12}_{secret}", name]
    for value in bad:
        assert await asked(guarded, value) == 401, value
    async with guarded.client(peer=OUTSIDE) as program:
        odd = await program.get("/api/sessions", headers={b"authorization": b"Bearer " + good.encode() + b"\xe9"})
        assert odd.status_code == 401
    for scheme in ("Basic", "Token", "bearer_", ""):
        async with guarded.client(peer=OUTSIDE, authorization=f"{scheme} {good}") as program:
            assert (await program.get("/api/sessions")).status_code == 401
    async with guarded.client(peer=OUTSIDE) as program:
        for query in (f"?token={good}", f"?access_token={good}", f"?authorization=Bearer%20{good}"):
            assert (await program.get(f"/api/sessions{query}")).status_code == 401, "never in an address"
        refused = await program.get("/api/sessions", headers={"cookie": f"nanobot_session={good}"})
    assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")


async def test_it_opens_no_page_and_no_settings(guarded: Site) -> None:
    good = await inside(guarded, "escribir")
    async with guarded.client("https://bot.example.com", OUTSIDE, **bearer(good)) as program:
        for path in ("/", "/estado", "/configuracion", ADDRESS, "/openapi.json"):
            assert (await program.get(path)).headers["location"].startswith("/login"), path
        for path in ("/configuracion", ADDRESS, f"{ADDRESS}/revocar", "/configuracion/contrasena"):
            changed = await program.post(path, headers={"origin": "https://bot.example.com"})
            assert changed.headers["location"].startswith("/login"), path


async def test_a_foreign_name_or_page_is_refused_with_a_token_too(guarded: Site) -> None:
    good = await inside(guarded)
    async with guarded.client("http://evil.example", OUTSIDE, **bearer(good)) as program:
        assert (await program.get("/api/sessions")).status_code == 403
    async with guarded.client(peer=OUTSIDE, origin="https://evil.example", **bearer(good)) as program:
        assert (await program.get("/api/sessions")).status_code == 403


async def test_without_a_password_a_token_still_says_what_its_program_may_do(local: Site) -> None:
    async with local.browser() as browser:
        good = await make_token(browser)
    async with local.client(**bearer(good)) as program:
        assert (await program.get("/api/sessions")).status_code == 200
        assert (await program.post("/api/v1/chat", json={"text": "hola"})).status_code == 403
    async with local.client(**bearer("nanobot_000000000000_" + "x" * 43)) as program:
        assert (await program.get("/api/sessions")).status_code == 401, "a revoked one is no free pass"


async def test_it_is_shown_once_and_stored_as_a_digest(tmp_path: Path) -> None:
    settings = make_settings(
        tmp_path, dashboard_password=PASSWORD, host="0.0.0.0", public_url="https://bot.example.com"
    )
    async with running_site(settings) as site, site.browser() as browser:
        await log_in(browser)
        good = await make_token(browser, "copias <b>de</b> seguridad")
        page = await browser.get(ADDRESS)
        assert "sin usar" in page.text
        assert await asked(site, good) == 200
        used = await browser.get(ADDRESS)
        told = site.house.parts.machine.redactor.redact(f"es {good}")
    assert good not in page.text and "copias &lt;b&gt;de&lt;/b&gt; seguridad" in page.text
    assert "usado por última vez" in used.text and good not in told
    kept = {path: path.read_bytes() for path in (tmp_path / "data").rglob("*") if path.is_file()}
    assert not [path for path, data in kept.items() if good[21:].encode() in data]
    stored = tmp_path / "data" / "tokens.json"
    assert sys.platform == "win32" or stat.S_IMODE(stored.stat().st_mode) == 0o600
    assert next(iter(json.loads(stored.read_bytes()).values()))["used"] > 0
    async with running_site(settings) as site:
        assert await asked(site, good) == 200, "it outlives a restart"


async def test_a_revoked_one_is_out_at_once_and_after_a_restart(tmp_path: Path) -> None:
    settings = make_settings(
        tmp_path, dashboard_password=PASSWORD, host="0.0.0.0", public_url="https://bot.example.com"
    )
    async with running_site(settings) as site, site.browser() as browser:
        await log_in(browser)
        gone, stays = await make_token(browser, "el-primero"), await make_token(browser, "dos")
        form = {"csrf": await token(browser, ADDRESS), "token": gone.split("_")[1]}
        assert (await browser.post(f"{ADDRESS}/revocar", data={**form, "csrf": "x"})).status_code == 403
        assert await asked(site, gone) == 200
        assert (await browser.post(f"{ADDRESS}/revocar", data=form)).status_code == 303
        assert (await browser.post(f"{ADDRESS}/revocar", data=form)).status_code == 303, "twice is no harm"
        assert [await asked(site, value) for value in (gone, stays)] == [401, 200]
        assert "el-primero" not in (await browser.get(ADDRESS)).text
    async with running_site(settings) as site:
        assert [await asked(site, value) for value in (gone, stays)] == [401, 200]


async def test_an_open_stream_ends_with_its_token(guarded: Site) -> None:
    good = await inside(guarded)
    access = guarded.app.state.web.access
    async with (
        listening(guarded.app, guarded.house.hub) as base,
        httpx.AsyncClient(base_url=base, timeout=10) as client,
    ):
        address = f"/api/v1/events?session_id={ROOM}"
        async with client.stream("GET", address, headers=bearer(good)) as response:
            events = read_events(response)
            await collect(events, "status")
            await access.tokens.revoke(good.split("_")[1])
            assert await collect(events, "never") == []
        async with client.stream("GET", address, headers=bearer(good)) as response:
            assert response.status_code == 401


async def test_who_wrote_is_the_token_and_not_the_browser(tmp_path: Path) -> None:
    settings = make_settings(
        tmp_path, dashboard_password=PASSWORD, host="0.0.0.0", public_url="https://bot.example.com"
    )
    async with running_site(settings, ScriptedBrain(text("hola"))) as site:
        good = await inside(site, "escribir")
        assert await asked(site, good, "POST", "/api/v1/chat") == 202
        await site.house.runner.lanes.idle()
        session = (await site.house.store.list_sessions())[0].session_id
        writers = [line.user_id for line in await lines_of(site.house.store, session) if isinstance(line, UserLine)]
    assert writers == [f"api-{good.split('_')[1]}"]


@pytest.mark.parametrize(
    ("name", "scope"), [("", "leer"), ("x" * 61, "leer"), ("a\u202eb", "leer"), ("x", "todo"), ("x", "")]
)
async def test_a_token_that_will_not_do_is_not_made(local: Site, name: str, scope: str) -> None:
    async with local.browser() as browser:
        form = {"csrf": await token(browser, ADDRESS), "name": name, "scope": scope}
        refused = await browser.post(ADDRESS, data=form)
        foreign = await browser.post(ADDRESS, data={"name": "x", "scope": "leer"})
    assert (refused.status_code, foreign.status_code) == (422, 403)
    assert 'role="alert"' in refused.text
    assert not local.app.state.web.access.tokens.all


async def test_tokens_are_few_and_a_damaged_file_lets_nobody_in(tmp_path: Path, log: list[str]) -> None:
    path = tmp_path / "tokens.json"
    tokens = Tokens(path, {})
    made = [await tokens.create(f"n{number}", "leer") for number in range(MOST)]
    with pytest.raises(UnfitToken, match="revoca alguno"):
        await tokens.create("otro", "leer")
    assert tokens.id_of(made[0])
    await tokens.close()
    path.write_bytes(path.read_bytes()[:-20])
    assert not Tokens.read(path).id_of(made[0])
    assert "no API token is valid" in "".join(log)


async def test_a_full_disk_makes_no_token_and_says_when_one_may_come_back(tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(b"")
    tokens = Tokens(tmp_path / "data" / "tokens.json", {"a" * 12: Token(name="x", digest="", scope="leer", created=0)})
    with pytest.raises(StorageError):
        await tokens.create("x", "leer")
    assert list(tokens.all) == ["a" * 12]
    with pytest.raises(StorageError):
        await tokens.revoke("a" * 12)
    assert tokens.scope("a" * 12) is None


async def test_the_last_use_is_not_written_at_every_request(tmp_path: Path) -> None:
    now = [1e9]
    tokens = Tokens(tmp_path / "tokens.json", {}, clock=lambda: now[0])
    good = await tokens.create("x", "leer")

    async def written() -> bytes:
        tokens.id_of(good)
        await tokens.close()
        await asyncio.sleep(0)
        return (tmp_path / "tokens.json").read_bytes()

    first = await written()
    now[0] += 1
    assert await written() == first
    now[0] += 60
    assert await written() != first
