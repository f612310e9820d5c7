"""POST and GET of the API on a whole house: what is accepted is on disk, what is refused says why in Spanish."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import pytest

from app.cloud.providers import ProviderManager
from app.core.contracts import CallOptions, ModelRequest
from app.core.errors import Unreachable
from app.core.events import AssistantLine, ReplyLine, UserLine
from app.core.messages import NativeBlocks, Reply
from tests.fakes.brain import ScriptedBrain, calls, text
from tests.fakes.channel import FakeChannel
from tests.support import CHAT, kinds, lines_of, make_settings, until
from tests.web import Site, page_token, running_site

ROOM = "web_0123456789ab"


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with running_site(make_settings(tmp_path), ScriptedBrain(text("uno"), text("dos"))) as running:
        yield running


async def test_an_accepted_message_is_on_disk_and_gets_answered(site: Site, tmp_path: Path) -> None:
    async with site.browser() as browser:
        response = await browser.post("/api/v1/chat", json={"text": "  hola  "})
    session_id = response.json()["session_id"]
    first = (tmp_path / "data/sessions" / f"{session_id}.jsonl").read_text("utf-8").splitlines()[0]
    assert response.status_code == 202
    assert response.json()["id"] == json.loads(first)["seq"] == 1
    assert json.loads(first)["content"] == "hola"
    await site.house.runner.lanes.idle()
    assert await kinds(site.house.store, session_id) == ["user", "assistant"]


async def test_the_same_delivery_twice_is_one_message(site: Site) -> None:
    key = {"Idempotency-Key": "abc"}
    async with site.client() as program:
        first = await program.post("/api/v1/chat", json={"text": "hola"}, headers=key)
        again = await program.post("/api/v1/chat", json={"text": "hola"}, headers=key)
        other = await program.post("/api/v1/chat", json={"text": "hola", "idempotency_key": "otra"})
    assert again.status_code == 202
    assert again.json() == first.json()
    assert other.json()["session_id"] != first.json()["session_id"]
    await site.house.runner.lanes.idle()
    assert (await kinds(site.house.store, first.json()["session_id"])).count("user") == 1


async def test_the_same_delivery_at_the_same_moment_is_one_message(site: Site) -> None:
    async with site.client() as program:

        async def send() -> object:
            return (await program.post("/api/v1/chat", json={"text": "hola", "idempotency_key": "k"})).json()

        answers = await asyncio.gather(*(send() for _ in range(8)))
    assert answers == [answers[0]] * 8
    await site.house.runner.lanes.idle()
    assert (await kinds(site.house.store, answers[0]["session_id"])).count("user") == 1  # type: ignore[index]


async def test_a_repeated_command_is_carried_out_once(site: Site) -> None:
    body = {"text": "/estado", "session_id": ROOM, "idempotency_key": "k"}
    async with site.client() as program:
        first, again = [(await program.post("/api/v1/chat", json=body)).json() for _ in range(2)]
    assert first == again == {"session_id": ROOM, "id": 1}
    assert await kinds(site.house.store, ROOM) == ["command", "reply"]


@pytest.mark.parametrize("words", ["/nuevo", "/Nuevo", "/nuevo por favor"])
async def test_nuevo_leads_to_another_conversation_and_moves_nobody_elses(site: Site, words: str) -> None:
    await site.house.inbox.message("telegram_42", "desde Telegram", "42", reply_to=CHAT, key="tg:1")
    await site.house.runner.lanes.idle()
    async with site.browser() as browser:
        for session_id in ("telegram_42", ROOM):
            answer = (await browser.post("/api/v1/chat", json={"text": words, "session_id": session_id})).json()
            assert answer["session_id"] not in ("telegram_42", ROOM)
            assert answer["id"] == 0
            sent = await browser.post("/api/v1/chat", json={"text": "hola", "session_id": answer["session_id"]})
            assert sent.status_code == 202
    assert await site.house.store.chats.session_of("telegram_42") == "telegram_42"
    assert await kinds(site.house.store, "telegram_42") == ["user", "assistant"]
    await site.house.runner.lanes.idle()


async def test_without_any_key_the_answer_says_what_to_do(tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    real = cast("ScriptedBrain", ProviderManager(settings))
    async with running_site(settings, real) as site, site.browser() as browser:
        await browser.post("/api/v1/chat", json={"text": "hola", "session_id": ROOM})
        await site.house.runner.lanes.idle()
        page = (await browser.get("/")).text
        answer = (await browser.get(f"/api/sessions/{ROOM}")).json()["lines"][-1]
    assert answer["failed"] is True
    assert "GROQ_API_KEY" in answer["content"]
    assert "https://console.groq.com/keys" in answer["content"]
    assert "Falta un modelo" in page


async def test_a_telegram_conversation_goes_on_here_and_is_answered_only_here(tmp_path: Path) -> None:
    channel = FakeChannel()
    async with running_site(make_settings(tmp_path), ScriptedBrain(text("allí"), text("aquí"))) as site:
        await site.house.inbox.message("telegram_42", "desde Telegram", "42", reply_to=CHAT, key="tg:1")
        await site.house.runner.lanes.idle()
        async with site.browser() as browser:
            sent = await browser.post("/api/v1/chat", json={"text": "desde aquí", "session_id": "telegram_42"})
        await site.house.runner.lanes.idle()
        lines = await lines_of(site.house.store, "telegram_42")
    answers = [line for line in lines if isinstance(line, AssistantLine)]
    assert sent.json() == {"session_id": "telegram_42", "id": 3}
    assert [(answer.content, answer.reply_to) for answer in answers] == [("allí", CHAT), ("aquí", None)]
    assert not channel.sent


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        ({"text": " \n "}, 422, "vacío"),
        ({}, 422, "text"),
        ({"text": "hola", "session_id": "web_nadie"}, 404, "No existe"),
        ({"text": "hola", "session_id": "../secret"}, 404, "no vale"),
        ({"text": "x" * 30_001}, 413, "30"),
        ({"text": "x" * 200_000}, 413, "30"),
    ],
)
async def test_what_cannot_be_accepted_says_why(site: Site, body: dict[str, str], status: int, says: str) -> None:
    async with site.browser() as browser:
        response = await browser.post("/api/v1/chat", json=body)
    assert response.status_code == status
    assert says in response.json()["error"]
    assert not await site.house.store.list_sessions()


@pytest.mark.parametrize("text", ["漢" * 30_000, 'ñ"\n' * 9_999 + "fin", "😀" * 15_000], ids=["漢", "mixed", "emoji"])
@pytest.mark.parametrize("escaped", [False, True])
async def test_the_longest_text_of_the_page_is_accepted(site: Site, text: str, escaped: bool) -> None:
    body = json.dumps({"text": text, "session_id": ROOM}, ensure_ascii=escaped).encode()
    async with site.browser() as browser:
        response = await browser.post("/api/v1/chat", content=body, headers={"content-type": "application/json"})
    first = (await lines_of(site.house.store, ROOM))[0]
    assert response.status_code == 202
    assert isinstance(first, UserLine)
    assert first.content == text


@pytest.mark.parametrize("field", ["text", "session_id", "idempotency_key"])
async def test_half_a_character_is_refused(site: Site, field: str) -> None:
    body = json.dumps({"text": "hola", field: "a\ud800b"}).encode()
    async with site.browser() as browser:
        response = await browser.post("/api/v1/chat", content=body, headers={"content-type": "application/json"})
    assert response.status_code == 422
    assert f"Revisa: {field}" in response.json()["error"]
    assert not await site.house.store.list_sessions()


async def test_a_body_without_a_length_is_cut_off_as_well(site: Site) -> None:
    async def endless() -> AsyncIterator[bytes]:
        yield b'{"text": "'
        for _ in range(400):
            yield b"x" * 4096

    async with site.browser() as browser:
        response = await browser.post("/api/v1/chat", content=endless(), headers={"content-type": "application/json"})
    assert response.status_code == 413


async def test_a_full_disk_is_no_acceptance(site: Site, tmp_path: Path) -> None:
    (tmp_path / "data/sessions" / f"{ROOM}.jsonl").mkdir()  # nothing can be appended here
    async with site.browser() as browser:
        response = await browser.post("/api/v1/chat", json={"text": "hola", "session_id": ROOM})
    assert response.status_code == 507
    assert "disco" in response.json()["error"] or "leer" in response.json()["error"]


@pytest.mark.parametrize(("decision", "ran"), [("allow", True), ("deny", False)])
async def test_a_question_is_decided_once(tmp_path: Path, decision: str, ran: bool) -> None:
    settings = make_settings(tmp_path)
    brain = ScriptedBrain(calls(("execute_shell", {"command": "echo hecho > marca"})), text("ya"))
    async with running_site(settings, brain) as site, site.browser() as browser:
        await browser.post("/api/v1/chat", json={"text": "hazlo", "session_id": ROOM})
        context = await site.house.parts.contexts.get(ROOM)
        await until(lambda: bool(context.questions))
        asked = next(iter(context.questions))
        browser.headers.update(await page_token(browser))
        foreign = await browser.post(f"/api/v1/approvals/{ROOM}/{asked}", json={"decision": "skipped"})
        first = await browser.post(f"/api/v1/approvals/{ROOM}/{asked}", json={"decision": decision})
        second = await browser.post(f"/api/v1/approvals/{ROOM}/{asked}", json={"decision": "allow"})
        await site.house.runner.lanes.idle()
    assert (foreign.status_code, first.status_code, second.status_code) == (422, 200, 409)
    assert (settings.projects_dirs[0] / "marca").exists() is ran


async def test_stop_ends_the_turn_and_retry_answers_it(tmp_path: Path) -> None:
    async def forever(request: ModelRequest, call: CallOptions) -> Reply:
        await asyncio.Event().wait()
        return text("nunca")

    brain = ScriptedBrain(forever, text("por fin"))
    async with running_site(make_settings(tmp_path), brain) as site, site.browser() as browser:
        await browser.post("/api/v1/chat", json={"text": "hola", "session_id": ROOM})
        await until(lambda: bool(brain.requests))
        stopped = await browser.post(f"/api/v1/sessions/{ROOM}/stop")
        retried = await browser.post(f"/api/v1/sessions/{ROOM}/retry")
        await site.house.runner.lanes.idle()
        answers = [line for line in await lines_of(site.house.store, ROOM) if isinstance(line, AssistantLine)]
    assert (stopped.status_code, retried.status_code) == (202, 202)
    assert [(answer.failed, answer.content == "por fin") for answer in answers] == [(True, False), (False, True)]


async def test_stopping_a_conversation_that_does_not_exist_makes_none(site: Site) -> None:
    async with site.browser() as browser:
        assert (await browser.post("/api/v1/sessions/telegram_9/stop")).status_code == 404
    assert not await site.house.store.list_sessions()


async def test_commands_are_understood_and_paths_are_not_commands(site: Site) -> None:
    async with site.browser() as browser:
        await browser.post("/api/v1/chat", json={"text": "/Ayuda", "session_id": ROOM})
        await browser.post("/api/v1/chat", json={"text": "/usr/bin está lleno", "session_id": ROOM})
    await site.house.runner.lanes.idle()
    lines = await lines_of(site.house.store, ROOM)
    assert [line.type for line in lines] == ["command", "reply", "user", "assistant"]
    assert isinstance(lines[2], UserLine)
    assert lines[2].content == "/usr/bin está lleno"


async def test_every_command_works_here(tmp_path: Path) -> None:
    (tmp_path / "home/proyectos/tienda/.git").mkdir(parents=True)
    said: dict[str, str] = {}
    async with running_site(make_settings(tmp_path)) as site, site.browser() as browser:
        for words in ("/proyecto", "/proyecto tienda", "/estado", "/reintentar", "/para", "/ayuda", "/inventada"):
            await browser.post("/api/v1/chat", json={"text": words, "session_id": ROOM})
            replies = [line for line in await lines_of(site.house.store, ROOM) if isinstance(line, ReplyLine)]
            said[words] = replies[-1].content
    assert "tienda" in said["/proyecto"]
    assert "tienda" in said["/proyecto tienda"]
    assert len(set(said.values())) == 7
    assert "inventada" in said["/inventada"]


async def test_sessions_and_their_lines_can_be_read(site: Site) -> None:
    blocks = NativeBlocks(provider="anthropic", model="m", blocks=[{"signature": "opaque"}])
    await site.house.store.append(ROOM, UserLine(content="¿y bien?"), AssistantLine(content="bien", native=blocks))
    async with site.browser() as browser:
        listed = (await browser.get("/api/sessions")).json()
        read = (await browser.get(f"/api/sessions/{ROOM}")).json()
        missing = await browser.get("/api/sessions/telegram_77")
    assert [(info["session_id"], info["title"], info["channel"]) for info in listed] == [(ROOM, "¿y bien?", "web")]
    assert [(line["seq"], line["type"], line["content"]) for line in read["lines"]] == [
        (1, "user", "¿y bien?"),
        (2, "assistant", "bien"),
    ]
    assert "opaque" not in json.dumps(read)
    assert missing.status_code == 404


async def test_status_has_the_details_for_whoever_may_see_them(site: Site) -> None:
    async with site.browser() as browser:
        status = (await browser.get("/api/status")).json()
    assert status["status"] == "ok"
    assert status["routes"][0]["provider"] == "scripted"
    assert {item["variable"] for item in status["missing"]} >= {"GROQ_API_KEY", "TELEGRAM_TOKEN"}


async def test_a_failed_answer_is_a_line_like_any_other(tmp_path: Path) -> None:
    brain = ScriptedBrain(Unreachable("Groq no responde"))
    async with running_site(make_settings(tmp_path), brain) as site, site.browser() as browser:
        await browser.post("/api/v1/chat", json={"text": "hola", "session_id": ROOM})
        await site.house.runner.lanes.idle()
        read = (await browser.get(f"/api/sessions/{ROOM}")).json()
    assert read["lines"][-1]["failed"] is True


async def test_forgetting_a_session_of_the_web_leads_to_another(tmp_path: Path) -> None:
    async with running_site(make_settings(tmp_path), ScriptedBrain(text("ya"))) as site, site.browser() as browser:
        await browser.post("/api/v1/chat", json={"text": "un secreto", "session_id": ROOM})
        await site.house.runner.lanes.idle()
        asked = (await browser.post("/api/v1/chat", json={"text": "/olvidar", "session_id": ROOM})).json()
        assert asked["session_id"] == ROOM and asked["id"] > 0
        gone = (await browser.post("/api/v1/chat", json={"text": "/olvidar sí", "session_id": ROOM})).json()
        assert gone["session_id"] != ROOM and gone["id"] == 0
        assert (await browser.get(f"/api/sessions/{ROOM}")).status_code == 404
        assert (await browser.get("/api/sessions")).json() == []
