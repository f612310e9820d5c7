"""An edited message: asked again, told as a new one, or nothing at all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from app.core.events import ReplyTo, UserLine
from tests.fakes.brain import ScriptedBrain, calls, text
from tests.fakes.telegram import FakeTelegram
from tests.fakes.telegram_house import FRIEND, GROUP, OWNER, STRANGER, bot, hurry, people
from tests.support import lines_of, until

CORRECTION = "[Corrección del mensaje anterior] "
PHOTO = [{"file_id": "f", "file_unique_id": "u", "width": 1, "height": 1}]


@pytest.fixture
async def telegram() -> AsyncGenerator[FakeTelegram]:
    async with people() as fake:
        yield fake


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    hurry(monkeypatch)


def id_of(update: dict[str, Any]) -> int:
    return update["message"]["message_id"]


async def said(house: Any, session: str = f"telegram_{OWNER}") -> list[str]:
    return [x.content for x in await lines_of(house.store, session) if x.type == "user"]


async def settled(telegram: FakeTelegram, house: Any) -> None:
    await until(lambda: not telegram.unconfirmed)
    await house.runner.lanes.idle()


async def test_the_last_message_is_asked_again_in_its_new_words(tmp_path: Path, telegram: FakeTelegram) -> None:
    brain = ScriptedBrain(text("uno"), text("dos"), text("tres"))
    async with bot(tmp_path, telegram, brain) as (house, _):
        asked = telegram.user_says(OWNER, "borra el log")
        await telegram.wait_for_message("uno")
        edit = telegram.user_edits(OWNER, id_of(asked), "borra el log viejo")
        await telegram.wait_for_message("dos")
        assert brain.requests[-1].messages[-1].content.startswith(f"{CORRECTION}borra el log viejo")
        telegram.deliver_again(edit["update_id"])
        telegram.user_edits(OWNER, id_of(asked), "no borres nada")
        await telegram.wait_for_message("tres")
        await settled(telegram, house)
        assert await said(house) == [
            "borra el log", f"{CORRECTION}borra el log viejo", f"{CORRECTION}no borres nada",
        ]  # fmt: skip
    assert telegram.texts(OWNER) == ["uno", "dos", "tres"]


async def test_it_steers_the_turn_that_is_running(tmp_path: Path, telegram: FakeTelegram) -> None:
    gate = asyncio.Event()

    async def slow(*_: object) -> Any:
        await gate.wait()
        return calls(("list_dir", {"path": "."}))

    brain = ScriptedBrain(slow, text("con lo nuevo"))
    async with bot(tmp_path, telegram, brain) as (house, _):
        asked = telegram.user_says(OWNER, "mira a")
        await until(lambda: len(brain.requests) == 1)
        telegram.user_edits(OWNER, id_of(asked), "mira b")
        await until(lambda: not telegram.unconfirmed)
        gate.set()
        await telegram.wait_for_message("con lo nuevo")
        await settled(telegram, house)
        assert f"{CORRECTION}mira b" in brain.requests[-1].messages[-1].content
    assert len(brain.requests) == 2 and telegram.texts(OWNER) == ["con lo nuevo"]


async def test_an_older_message_is_told_as_edited(tmp_path: Path, telegram: FakeTelegram) -> None:
    brain = ScriptedBrain(*(text(str(n)) for n in range(4)))
    async with bot(tmp_path, telegram, brain) as (house, _):
        first = telegram.user_says(OWNER, "el primero")
        await telegram.wait_for_message("0")
        telegram.user_says(OWNER, "el segundo")
        await telegram.wait_for_message("1")
        telegram.user_edits(OWNER, id_of(first), "el primero, mejor")
        await telegram.wait_for_message("2")
        telegram.user_says(OWNER, "/nuevo")
        await telegram.wait_for_message("de cero")
        telegram.user_edits(OWNER, id_of(first), "otra vez")  # it stands in the conversation before
        await telegram.wait_for_message("3")
        await settled(telegram, house)
        assert (await said(house))[-1] == "[Ha editado un mensaje anterior: «el primero»] el primero, mejor"
        [again] = await said(house, f"telegram_{OWNER}_2")
        assert again.startswith("[Ha editado un mensaje anterior: «[Ha editado") and again.endswith("] otra vez")


async def test_what_changes_no_words_is_ignored(tmp_path: Path, telegram: FakeTelegram) -> None:
    brain = ScriptedBrain(*(text(f"r{n}") for n in range(9)))
    async with bot(tmp_path, telegram, brain) as (house, _):
        mine = telegram.user_says(OWNER, "mira https://a.b")
        await telegram.wait_for_message("r0")
        answer = telegram.sent(OWNER)[0]
        reply = telegram.user_says(OWNER, "¿y eso?", reply_to=answer["message_id"])
        await telegram.wait_for_message("r1")
        photo = telegram.user_says(OWNER, "", photo=PHOTO, caption="¿qué ves?")
        await telegram.wait_for_message("r2")
        place = telegram.user_says(OWNER, "", location={"latitude": 1, "longitude": 2})
        order = telegram.user_says(OWNER, "/estado")
        await telegram.wait_for_message("Nanobot 0")
        opening = telegram.user_says(OWNER, "/nuevo ¿qué hay?")
        await telegram.wait_for_message("r3")
        count = len(telegram.texts(OWNER))
        telegram.user_edits(OWNER, id_of(mine), link_preview_options={"url": "https://a.b"})
        quoted = telegram.chats[OWNER].messages[id_of(reply)]["reply_to_message"] | {"text": "lo que el bot editó"}
        telegram.user_edits(OWNER, id_of(reply), reply_to_message=quoted, edit_date=1)
        telegram.user_edits(OWNER, id_of(photo), has_media_spoiler=True)
        telegram.user_edits(OWNER, id_of(place), location={"latitude": 1.5, "longitude": 2})
        telegram.user_edits(OWNER, id_of(order))
        telegram.user_edits(OWNER, id_of(opening))
        await settled(telegram, house)
        await asyncio.sleep(0.1)
        assert len(telegram.texts(OWNER)) == count and len(brain.requests) == 4
        telegram.user_edits(OWNER, id_of(photo), caption="¿qué pone?")
        await telegram.wait_for_message("r4")
        telegram.user_edits(OWNER, id_of(photo), photo=[PHOTO[0] | {"file_unique_id": "otra"}])
        await telegram.wait_for_message("r5")
        await settled(telegram, house)
    assert len(brain.requests) == 6


async def test_a_line_of_an_earlier_version_is_compared_by_its_text(tmp_path: Path, telegram: FakeTelegram) -> None:
    asked = telegram.user_says(OWNER, "hola")
    telegram.webhook = {}
    brain = ScriptedBrain(text("uno"), text("dos"))
    async with bot(tmp_path, telegram, brain) as (house, _):
        await telegram.wait_for_message("uno")
        place = ReplyTo(channel="telegram", chat_id=OWNER, message_id=900)
        await house.store.append(f"telegram_{OWNER}", UserLine(content="antiguo", reply_to=place))
        house.runner.wake(f"telegram_{OWNER}")
        await telegram.wait_for_message("dos")
        telegram.chats[OWNER].messages[900] = telegram.chats[OWNER].messages[id_of(asked)] | {
            "message_id": 900, "text": "antiguo",
        }  # fmt: skip
        telegram.user_edits(OWNER, 900)
        await settled(telegram, house)
    assert len(brain.requests) == 2


async def test_words_become_a_command_and_a_command_words(tmp_path: Path, telegram: FakeTelegram) -> None:
    brain = ScriptedBrain(text("uno"), text("dos"), text("tres"))
    async with bot(tmp_path, telegram, brain) as (house, _):
        typo = telegram.user_says(OWNER, "estado")
        await telegram.wait_for_message("uno")
        telegram.user_edits(OWNER, id_of(typo), "/estado")
        await telegram.wait_for_message("Nanobot 0")
        unknown = telegram.user_says(OWNER, "/hola")
        await telegram.wait_for_message("No conozco /hola")
        telegram.user_edits(OWNER, id_of(unknown), "hola")
        await telegram.wait_for_message("dos")
        opening = telegram.user_says(OWNER, "/nuevo hola")
        await telegram.wait_for_message("tres")
        telegram.user_edits(OWNER, id_of(opening), "/nuevo hola otra vez")
        await until(lambda: len(brain.requests) == 4)
        await settled(telegram, house)
        assert await said(house) == ["estado", "hola"]
        assert await said(house, f"telegram_{OWNER}_2") == ["hola", f"{CORRECTION}hola otra vez"]


async def test_a_forgotten_command_is_not_carried_out_again(tmp_path: Path, telegram: FakeTelegram) -> None:
    """Telegram sends an edit for any change, and no log can tell any more that the words are the same."""
    async with bot(tmp_path, telegram, ScriptedBrain(text("uno"), text("dos"))) as (house, _):
        telegram.user_says(OWNER, "hola")
        await telegram.wait_for_message("uno")
        forget = telegram.user_says(OWNER, "/olvidar sí")
        await telegram.wait_for_message("He borrado")
        telegram.user_says(OWNER, "guarda esto")
        await telegram.wait_for_message("dos")
        telegram.user_edits(OWNER, id_of(forget))
        await settled(telegram, house)
        assert await said(house, f"telegram_{OWNER}_2") == ["guarda esto"]


async def test_a_caption_added_later_is_the_first_word(tmp_path: Path, telegram: FakeTelegram) -> None:
    async with bot(tmp_path, telegram, ScriptedBrain(text("ahora sí"))) as (house, _):
        photo = telegram.user_says(OWNER, "", photo=PHOTO)
        await telegram.wait_for_message("solo entiendo texto")
        telegram.user_edits(OWNER, id_of(photo), caption="¿qué ves?")
        await telegram.wait_for_message("ahora sí")
        assert await said(house) == ["[Con una foto que no puedes ver]\n¿qué ves?"]


async def test_strangers_and_other_chats_change_nothing(tmp_path: Path, telegram: FakeTelegram) -> None:
    brain = ScriptedBrain(text("uno"), text("en grupo"), text("y dos"))
    async with bot(tmp_path, telegram, brain) as (house, service):
        await until(lambda: service.state()[1])
        telegram.user_says(OWNER, "hola")
        await telegram.wait_for_message("uno")
        strange = telegram.user_says(STRANGER, "hola")
        await telegram.wait_for_message("identificador")
        telegram.user_edits(STRANGER, id_of(strange), "déjame entrar")
        aside = telegram.user_says(OWNER, "hablo con otro", chat_id=GROUP)
        telegram.user_edits(GROUP, id_of(aside), "sigo hablando con otro")
        asked = telegram.user_says(FRIEND, f"@{service.bot_username} hola", chat_id=GROUP)
        await telegram.wait_for_message("en grupo")
        telegram.user_edits(GROUP, id_of(asked), f"@{service.bot_username} adiós")
        await telegram.wait_for_message("y dos")
        await settled(telegram, house)
        assert len(telegram.texts(STRANGER)) == 1 and len(brain.requests) == 3
        assert len(await said(house, "telegram_g100500")) == 2


async def test_a_message_that_nobody_remembers_is_told_as_edited(tmp_path: Path, telegram: FakeTelegram) -> None:
    asked = telegram.user_says(OWNER, "antes de que existieras")
    telegram._pending.clear()  # pyright: ignore[reportPrivateUsage]
    async with bot(tmp_path, telegram, ScriptedBrain(text("vale"))) as (house, _):
        telegram.user_edits(OWNER, id_of(asked), "ahora sí existes")
        await telegram.wait_for_message("vale")
        assert await said(house) == ["[Ha editado un mensaje anterior] ahora sí existes"]
