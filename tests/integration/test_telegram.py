"""The real python-telegram-bot, our polling and delivery, against the strict Bot API: one house, scripted brain."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from tests.fakes.brain import ScriptedBrain, text
from tests.fakes.telegram import FakeTelegram
from tests.fakes.telegram_house import FRIEND, GROUP, OWNER, STRANGER, bot, hurry, people
from tests.support import lines_of, until


@pytest.fixture
async def telegram() -> AsyncGenerator[FakeTelegram]:
    async with people() as fake:
        yield fake


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    hurry(monkeypatch)


async def test_a_message_is_answered_with_its_formatting(tmp_path: Path, telegram: FakeTelegram) -> None:
    async with bot(tmp_path, telegram, ScriptedBrain(text("Esto es **importante** y `código`."))):
        telegram.user_says(OWNER, "hola")
        message = await telegram.wait_for_message("importante")
        assert message["text"] == "Esto es importante y código."
        assert [e["type"] for e in message["entities"]] == ["bold", "code"]
        assert telegram.calls_of("sendChatAction")
        await telegram.wait_for_call("setMyCommands")
        assert [c["command"] for menu in telegram.commands.values() for c in menu][:2] == ["nuevo", "proyecto"]


async def test_a_long_answer_arrives_in_parts_in_order(tmp_path: Path, telegram: FakeTelegram) -> None:
    long = "\n\n".join(f"Párrafo {n}: " + "palabra 👋 " * 40 for n in range(40))
    async with bot(tmp_path, telegram, ScriptedBrain(text(long))):
        telegram.user_says(OWNER, "cuéntame")
        await telegram.wait_for_message("Párrafo 39")
        parts = telegram.texts(OWNER)
        assert len(parts) > 3 and all(len(p.encode("utf-16-le")) // 2 <= 4096 for p in parts)
        assert "".join("".join(parts).split()) == "".join(long.split())


async def test_an_update_delivered_again_is_answered_once(tmp_path: Path, telegram: FakeTelegram) -> None:
    brain = ScriptedBrain(text("una vez"), text("dos veces"))
    async with bot(tmp_path, telegram, brain) as (house, _):
        update = telegram.user_says(OWNER, "hola")
        await telegram.wait_for_message("una vez")
        telegram.deliver_again(update["update_id"])
        await until(lambda: not telegram.unconfirmed)
        await house.runner.lanes.idle()
    async with bot(tmp_path, telegram, brain) as (house, _):
        telegram.deliver_again(update["update_id"])
        await until(lambda: not telegram.unconfirmed)
        await house.runner.lanes.idle()
    assert telegram.texts(OWNER) == ["una vez"] and len(brain.requests) == 1


async def test_the_first_poll_has_no_offset_and_drops_nothing(tmp_path: Path, telegram: FakeTelegram) -> None:
    telegram.user_says(OWNER, "antes de arrancar")
    async with bot(tmp_path, telegram, ScriptedBrain(text("leído"))):
        await telegram.wait_for_message("leído")
    polls = telegram.calls_of("getUpdates")
    assert "offset" not in polls[0].params
    assert not telegram.calls_of("deleteWebhook") and not telegram.calls_of("setWebhook")


async def test_an_update_is_on_disk_before_it_is_acknowledged(tmp_path: Path, telegram: FakeTelegram) -> None:
    sessions = tmp_path / "data" / "sessions"
    async with bot(tmp_path, telegram, ScriptedBrain(text("guardado"))) as (_, service):
        log = sessions / f"telegram_{OWNER}.jsonl"
        log.mkdir()  # the disk refuses
        telegram.user_says(OWNER, "no me pierdas")
        await until(lambda: "No puedo" in service.state()[0])
        assert telegram.unconfirmed, "not acknowledged"
        log.rmdir()
        await telegram.wait_for_message("guardado")
        await until(lambda: not telegram.unconfirmed)


async def test_only_the_allowed_may_write(tmp_path: Path, telegram: FakeTelegram) -> None:
    brain = ScriptedBrain(text("hola, amigo"))
    async with bot(tmp_path, telegram, brain) as (house, _):
        for _ in range(3):
            telegram.user_says(STRANGER, "déjame entrar")
        telegram.user_says(STRANGER, "/estado")
        telegram.user_says(FRIEND, "hola")
        await telegram.wait_for_message("hola, amigo")
        assert [t for t in telegram.texts(STRANGER) if str(STRANGER) in t] == telegram.texts(STRANGER)
        assert len(telegram.texts(STRANGER)) == 1 and len(brain.requests) == 1
        assert [i.session_id for i in await house.store.list_sessions()] == [f"telegram_{FRIEND}"]


async def test_nobody_may_write_when_nobody_is_named(tmp_path: Path, telegram: FakeTelegram) -> None:
    values: dict[str, object] = {"telegram_user_id": None, "telegram_allowed_users": []}
    async with bot(tmp_path, telegram, ScriptedBrain(), **values):
        telegram.user_says(OWNER, "soy yo")
        assert str(OWNER) in (await telegram.wait_for_message("identificador"))["text"]


async def test_a_group_is_heard_only_when_addressed_and_has_its_own_file(
    tmp_path: Path, telegram: FakeTelegram
) -> None:
    async with bot(tmp_path, telegram, ScriptedBrain(text("en grupo"))) as (house, service):
        await until(lambda: service.state()[1])
        name = service.bot_username
        telegram.user_says(OWNER, "hablo con otro", chat_id=GROUP)
        telegram.user_says(OWNER, f"@{name} ¿qué tal?", chat_id=GROUP)
        message = await telegram.wait_for_message("en grupo")
        assert message["chat"]["id"] == GROUP
        lines = await lines_of(house.store, "telegram_g100500")
        assert [x.type for x in lines][:1] == ["user"] and len([x for x in lines if x.type == "user"]) == 1


async def test_another_poller_is_told_and_survived(tmp_path: Path, telegram: FakeTelegram) -> None:
    async with bot(tmp_path, telegram, ScriptedBrain(text("sigo"))) as (_, service):
        await telegram.wait_until_polled()
        telegram.fail("getUpdates", 409, "Conflict: terminated by other getUpdates request", times=2)
        telegram.user_says(OWNER, "hola")
        await telegram.wait_for_message("sigo")
        telegram.fail("getUpdates", 409, "Conflict: terminated by other getUpdates request", times=500)
        telegram.user_says(OWNER, "/ayuda")
        await until(lambda: "Otro programa" in service.state()[0])


async def test_trouble_with_telegram_loses_nothing(tmp_path: Path, telegram: FakeTelegram) -> None:
    telegram.drop("getMe", times=2)
    telegram.garble("getUpdates", times=2)
    async with bot(tmp_path, telegram, ScriptedBrain(text("a pesar de todo"))):
        telegram.user_says(OWNER, "hola")
        await telegram.wait_for_message("a pesar de todo")


async def test_a_flooded_chat_waits_and_stops_no_other(tmp_path: Path, telegram: FakeTelegram) -> None:
    async with bot(tmp_path, telegram, ScriptedBrain(text("uno"), text("dos"))):
        telegram.flood(OWNER, retry_after=1, method="sendMessage")
        telegram.user_says(OWNER, "hola")
        await telegram.wait_until(lambda: telegram.calls_of("sendMessage") or None)
        telegram.user_says(FRIEND, "hola")
        await telegram.wait_for_message("dos", chat_id=FRIEND)
        assert telegram.texts(OWNER) == []
        await telegram.wait_for_message("uno", chat_id=OWNER)


async def test_a_blocked_chat_ends_quietly(tmp_path: Path, telegram: FakeTelegram) -> None:
    async with bot(tmp_path, telegram, ScriptedBrain(text("nadie lo lee"))) as (house, _):
        telegram.block(OWNER)
        telegram.user_says(OWNER, "hola")
        await telegram.wait_until(lambda: telegram.calls_of("sendMessage") or None)
        await until(lambda: not house.delivery.lanes.busy)
        assert not (await house.store.load_session(f"telegram_{OWNER}")).is_busy


async def test_a_send_cut_before_its_answer_is_repeated_marked(tmp_path: Path, telegram: FakeTelegram) -> None:
    async with bot(tmp_path, telegram, ScriptedBrain(text("**la** respuesta"))):
        telegram.cut("sendMessage")
        asked = telegram.user_says(OWNER, "hola")
        repeated = await telegram.wait_for_message("(puede que ya te haya llegado)")
        assert telegram.texts(OWNER) == ["la respuesta", "(puede que ya te haya llegado)\nla respuesta"]
        assert repeated["reply_to_message"]["message_id"] == asked["message"]["message_id"]
        assert repeated["entities"][0]["offset"] == len("(puede que ya te haya llegado)\n")


async def test_what_is_no_text_is_answered_politely(tmp_path: Path, telegram: FakeTelegram) -> None:
    async with bot(tmp_path, telegram, ScriptedBrain(text("leo el pie"))):
        telegram.user_sends_file(OWNER, "foto.png", b"png")
        await telegram.wait_for_message("solo entiendo texto")
        telegram.user_sends_file(OWNER, "foto.png", b"png", caption="¿qué ves?")
        await telegram.wait_for_message("leo el pie")
    await asyncio.sleep(0)
