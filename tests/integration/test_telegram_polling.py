"""Polling goes on whatever comes: what cannot be read, proxies, refusals, a disk that fails, its own death."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from loguru import logger

from app.cloud import telegram_poller, telegram_setbacks, telegram_webhook
from app.core.errors import StorageError
from tests.fakes.brain import ScriptedBrain, text
from tests.fakes.telegram import FakeTelegram
from tests.fakes.telegram_house import FRIEND, OWNER, bot, hurry, people
from tests.support import kinds, lines_of, until

PAGE = "<html>No puedes pasar</html>"
UNREADABLE = {
    "message_id": 5, "from": {"id": OWNER}, "chat": {"id": OWNER, "type": "private"}, "date": 1, "text": "secreto",
}  # fmt: skip


@pytest.fixture
async def telegram() -> AsyncGenerator[FakeTelegram]:
    async with people() as fake:
        yield fake


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    hurry(monkeypatch)


async def test_an_unreadable_update_is_kept_told_once_and_passed(tmp_path: Path, telegram: FakeTelegram) -> None:
    logged: list[str] = []
    sink = logger.add(lambda message: logged.append(str(message)))
    async with bot(tmp_path, telegram, ScriptedBrain(text("sigo aquí"))):
        await telegram.wait_until_polled()
        odd = [telegram.injects("message", UNREADABLE), telegram.injects("message", {"text": "ni siquiera"})]
        telegram.user_says(OWNER, "hola")
        await telegram.wait_for_message("sigo aquí")
        await telegram.wait_for_message("no he podido entender")
        await until(lambda: not telegram.unconfirmed)
    logger.remove(sink)
    kept = [json.loads(x) for x in (tmp_path / "data" / "telegram_unreadable.jsonl").read_text().splitlines()]
    assert [k["update"] for k in kept] == odd
    assert min(telegram.texts(OWNER)).startswith("Telegram me ha pasado") and len(telegram.texts(OWNER)) == 2
    assert any("cannot be read" in x for x in logged) and "secreto" not in "".join(logged)


async def test_an_update_that_cannot_be_handled_is_kept_as_well(
    tmp_path: Path, telegram: FakeTelegram, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with bot(tmp_path, telegram, ScriptedBrain(text("sigo"))) as (house, _):
        await telegram.wait_until_polled()
        real = house.store.append

        async def broken(session_id: str, *lines: Any) -> Any:
            if getattr(lines[0], "content", "") == "rompe":
                raise KeyError("rompe")
            return await real(session_id, *lines)

        monkeypatch.setattr(house.store, "append", broken)
        broken_one = telegram.user_says(OWNER, "rompe")
        telegram.user_says(OWNER, "hola")
        await telegram.wait_for_message("sigo")
    kept = json.loads((tmp_path / "data" / "telegram_unreadable.jsonl").read_text())
    assert kept["update"]["update_id"] == broken_one["update_id"]


async def test_what_cannot_even_be_kept_is_not_confirmed(tmp_path: Path, telegram: FakeTelegram) -> None:
    async with bot(tmp_path, telegram, ScriptedBrain(text("hola, amigo"))) as (_, service):
        await telegram.wait_until_polled()
        blocked = tmp_path / "data" / "telegram_unreadable.jsonl"
        blocked.mkdir()
        odd = telegram.injects("message", UNREADABLE)
        telegram.user_says(FRIEND, "hola")
        await telegram.wait_for_message("hola, amigo")
        await until(lambda: not service.state()[1])
        assert odd["update_id"] in telegram.unconfirmed
        blocked.rmdir()
        await until(lambda: not telegram.unconfirmed and service.state()[1])
        assert "secreto" in blocked.read_text()


@pytest.mark.parametrize(
    ("status", "body"),
    [(502, "null"), (502, '"Bad Gateway"'), (200, '{"ok":true}'), (200, PAGE), (401, PAGE), (403, PAGE), (404, PAGE)],
)
async def test_a_proxys_answer_is_survived(tmp_path: Path, telegram: FakeTelegram, status: int, body: str) -> None:
    async with bot(tmp_path, telegram, ScriptedBrain(text("sigo"))) as (_, service):
        await telegram.wait_until_polled()
        telegram.garble("getUpdates", status, body, times=20)
        telegram.user_says(OWNER, "hola")
        await until(lambda: "en lugar de Telegram" in service.state()[0] and not service.state()[1])
        await telegram.wait_for_message("sigo", timeout=20)


@pytest.mark.parametrize(
    ("error", "state"),
    [
        ((409, "Conflict: terminated by other getUpdates request"), "Otro programa"),
        ((409, "Conflict: can't use getUpdates method while webhook is active"), "un webhook de otro servidor"),
        ((403, "Forbidden: bot was deactivated"), "no deja recibir"),
        ((400, "Bad Request: odd"), "no deja recibir"),
        ((500, "Internal Server Error: restart"), "No consigo hablar"),
        ((401, "Unauthorized"), "ya no acepta el token"),
        ((404, "Not Found"), "ya no acepta el token"),
    ],
)
async def test_the_state_says_what_is_wrong(
    tmp_path: Path, telegram: FakeTelegram, error: tuple[int, str], state: str
) -> None:
    async with bot(tmp_path, telegram, ScriptedBrain(text("sigo"))) as (_, service):
        await telegram.wait_until_polled()
        telegram.fail("getUpdates", *error, times=5)
        telegram.user_says(OWNER, "hola")
        await until(lambda: state in service.state()[0] and not service.state()[1])
        await telegram.wait_for_message("sigo", timeout=20)
        await until(lambda: service.state()[1])


async def test_a_flooded_poll_waits_as_long_as_told_and_says_so(tmp_path: Path, telegram: FakeTelegram) -> None:
    async with bot(tmp_path, telegram, ScriptedBrain()) as (_, service):
        await telegram.wait_until_polled()
        telegram.flood(None, 3600, method="getUpdates")
        telegram.user_says(OWNER, "hola")
        await until(lambda: "pausa de 3600 s" in service.state()[0])
        count = len(telegram.calls_of("getUpdates"))
        await asyncio.sleep(0.1)
        assert len(telegram.calls_of("getUpdates")) == count


async def test_a_left_webhook_is_told_and_not_taken_over(tmp_path: Path, telegram: FakeTelegram) -> None:
    telegram.webhook = {"url": "https://otro", "secret_token": "", "max_connections": 1}
    async with bot(tmp_path, telegram, ScriptedBrain(text("ya"))) as (_, service):
        telegram.user_says(OWNER, "hola")
        await until(lambda: "lo usa otro servidor (otro)" in service.state()[0])
        assert not telegram.calls_of("deleteWebhook") and telegram.webhook
        telegram.webhook = {}  # the other server removes it
        await telegram.wait_for_message("ya", timeout=20)


async def test_a_rejected_token_is_tried_again_slowly_and_logged_once(tmp_path: Path, telegram: FakeTelegram) -> None:
    logged: list[str] = []
    sink = logger.add(lambda message: logged.append(str(message)), level="ERROR")
    telegram.fail("getMe", 401, "Unauthorized", times=5)
    async with bot(tmp_path, telegram, ScriptedBrain(text("ahora sí"))) as (_, service):
        await until(lambda: "rechaza el token" in service.state()[0])
        telegram.user_says(OWNER, "hola")
        await telegram.wait_for_message("ahora sí")
    logger.remove(sink)
    assert len([x for x in logged if "rejects the token" in x]) == 1
    assert telegram_setbacks.TOKEN_PAUSE < 1, "the pause of this test, five minutes in life"


@pytest.mark.parametrize("trouble", ["flood", "refused", "slow"])
async def test_the_menu_never_holds_anything_up(tmp_path: Path, telegram: FakeTelegram, trouble: str) -> None:
    if trouble == "flood":
        telegram.flood(None, 3600, method="setMyCommands")
    elif trouble == "refused":
        telegram.fail("setMyCommands", 400, "Bad Request: BOT_COMMAND_INVALID", times=100)
    else:
        telegram.delay("setMyCommands", 20)
    async with bot(tmp_path, telegram, ScriptedBrain(text("hola"))) as (_, service):
        telegram.user_says(OWNER, "hola")
        await telegram.wait_for_message("hola")
        await until(lambda: service.state()[1])
        await telegram.wait_for_call("setMyCommands")
        assert len(telegram.calls_of("getMe")) == 1
        methods = [call.method for call in telegram.calls]
        assert methods.index("getupdates") < methods.index("setmycommands")


async def test_a_chat_that_cannot_be_stored_stops_no_other_and_keeps_its_order(
    tmp_path: Path, telegram: FakeTelegram
) -> None:
    log = tmp_path / "data" / "sessions" / f"telegram_{OWNER}.jsonl"
    brain = ScriptedBrain(text("hola, amigo"), text("hola, dueño"), text("otra"))
    async with bot(tmp_path, telegram, brain) as (house, service):
        await telegram.wait_until_polled()
        log.mkdir()  # the disk refuses this one file
        first = telegram.user_says(OWNER, "primero")
        telegram.user_says(FRIEND, "hola")
        telegram.user_says(OWNER, "segundo")
        await telegram.wait_for_message("hola, amigo", chat_id=FRIEND)
        await until(lambda: "No puedo" in service.state()[0] and not service.state()[1])
        assert telegram.unconfirmed[0] == first["update_id"]
        await telegram.wait_for_message("el disco no me deja", chat_id=OWNER)
        await asyncio.sleep(0.1)
        log.rmdir()
        await until(lambda: not telegram.unconfirmed and service.state()[1])
        await house.runner.lanes.idle()
        assert (await kinds(house.store, f"telegram_{FRIEND}")).count("user") == 1
        said = [m.content for m in (await house.store.load_session(f"telegram_{OWNER}")).messages if m.role == "user"]
        assert said == ["primero", "segundo"]
        assert sum("el disco no me deja" in words for words in telegram.texts(OWNER)) == 1


async def test_what_stands_behind_a_message_that_failed_once_waits_for_it(
    tmp_path: Path, telegram: FakeTelegram, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with bot(tmp_path, telegram, ScriptedBrain(text("uno"), text("dos"))) as (house, service):
        await telegram.wait_until_polled()
        real, faults = house.store.append, [StorageError("No puedo guardar")]

        async def fails_once(session_id: str, *lines: Any) -> Any:
            if faults and getattr(lines[0], "content", "") == "primero":
                raise faults.pop()
            return await real(session_id, *lines)

        monkeypatch.setattr(house.store, "append", fails_once)
        telegram.user_says(OWNER, "primero")
        telegram.user_says(OWNER, "segundo")
        await until(lambda: not faults)
        await until(lambda: not telegram.unconfirmed and service.state()[1])
        await house.runner.lanes.idle()
        said = [x.content for x in await lines_of(house.store, f"telegram_{OWNER}") if x.type == "user"]
        assert said == ["primero", "segundo"]


async def test_a_damaged_list_of_chats_is_told_and_nothing_confirmed(tmp_path: Path, telegram: FakeTelegram) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "chats.json").write_text("[]")
    async with bot(tmp_path, telegram, ScriptedBrain(text("aquí estoy"))) as (_, service):
        telegram.user_says(OWNER, "no me pierdas")
        await until(lambda: "chats.json" in service.state()[0])
        assert telegram.unconfirmed
        (tmp_path / "data" / "chats.json").unlink()
        await telegram.wait_for_message("aquí estoy")


async def test_polling_that_dies_is_noticed_and_begins_again(
    tmp_path: Path, telegram: FakeTelegram, monkeypatch: pytest.MonkeyPatch
) -> None:
    deaths: list[BaseException] = [ValueError("imposible"), asyncio.CancelledError()]
    real = telegram_poller.TelegramPoller._round

    async def dying(self: telegram_poller.TelegramPoller) -> None:
        if deaths:
            raise deaths.pop()
        await real(self)

    async def no_help(_self: telegram_poller.TelegramPoller, error: Exception) -> None:
        raise error

    monkeypatch.setattr(telegram_poller.TelegramPoller, "_round", dying)
    monkeypatch.setattr(telegram_poller.TelegramPoller, "_survive", no_help)
    async with bot(tmp_path, telegram, ScriptedBrain(text("he vuelto"))):
        telegram.user_says(OWNER, "hola")
        await telegram.wait_for_message("he vuelto")
    assert not deaths


@pytest.mark.parametrize("public", [False, True])
async def test_silence_is_noticed_and_ended(
    tmp_path: Path, telegram: FakeTelegram, monkeypatch: pytest.MonkeyPatch, public: bool
) -> None:
    """An answer that never ends: bytes keep coming, so no time-out between two of them would ever notice."""
    assert telegram_poller.SILENCE_SECONDS == 3 * telegram_poller.POLL_SECONDS
    monkeypatch.setattr(telegram_poller, "SILENCE_SECONDS", 0.3)
    monkeypatch.setattr(telegram_webhook, "SILENCE_SECONDS", 0.3)
    logged: list[str] = []
    sink = logger.add(lambda message: logged.append(str(message)), level="ERROR")
    telegram.trickle("getWebhookInfo" if public else "getUpdates", times=2)
    telegram.user_says(OWNER, "hola")
    values = {"public_url": "https://nanobot.example", "telegram_mode": "webhook"} if public else {}
    telegram.lives_at("https://nanobot.example", "http://127.0.0.1:9")
    async with bot(tmp_path, telegram, ScriptedBrain(text("despierto")), **values) as (_, service):
        await until(lambda: service.state()[1])
        if not public:
            await telegram.wait_for_message("despierto")
    logger.remove(sink)
    assert len([x for x in logged if "no sign of life" in x]) == 2


async def test_a_long_pause_is_no_silence(
    tmp_path: Path, telegram: FakeTelegram, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telegram_poller, "SILENCE_SECONDS", 0.2)
    async with bot(tmp_path, telegram, ScriptedBrain()) as (_, service):
        await telegram.wait_until_polled()
        telegram.flood(None, 3600, method="getUpdates")
        telegram.user_says(OWNER, "hola")
        await until(lambda: "pausa de 3600 s" in service.state()[0])
        count = len(telegram.calls_of("getUpdates"))
        await asyncio.sleep(0.6)
        assert len(telegram.calls_of("getUpdates")) == count


async def test_stopping_never_raises(tmp_path: Path, telegram: FakeTelegram, monkeypatch: pytest.MonkeyPatch) -> None:
    async def dying(_self: telegram_poller.TelegramPoller) -> None:
        raise ValueError("imposible")

    monkeypatch.setattr(telegram_poller.TelegramPoller, "run", dying)
    async with bot(tmp_path, telegram, ScriptedBrain()) as (_, service):
        await asyncio.sleep(0.02)
        await service.stop_polling()


async def test_only_new_messages_are_messages(tmp_path: Path, telegram: FakeTelegram) -> None:
    telegram.user_says(OWNER, "borra el log")
    channel = {"id": -1001, "type": "channel", "title": "c"}
    telegram.injects("channel_post", {"message_id": 1, "chat": channel, "date": 1, "text": "canal"})
    private = {"id": 777, "type": "private", "first_name": "cliente"}
    owner = {"id": OWNER, "is_bot": False, "first_name": "x"}
    business = {
        "message_id": 9,
        "business_connection_id": "b1",
        "from": owner,
        "chat": private,
        "date": 1,
        "text": "hola",
    }
    telegram.injects("business_message", business)
    brain = ScriptedBrain(text("uno"), text("dos"))
    async with bot(tmp_path, telegram, brain) as (house, _):
        await telegram.wait_for_message("uno")
        await until(lambda: not telegram.unconfirmed)
        await house.runner.lanes.idle()
        assert len(brain.requests) == 1
        assert [i.session_id for i in await house.store.list_sessions()] == [f"telegram_{OWNER}"]
    assert not (tmp_path / "data" / "telegram_unreadable.jsonl").exists()
