"""Questions and their buttons; what happens beside the polling; 'typing…'."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from app.core.events import ReplyTo, UserLine
from tests.fakes.brain import ScriptedBrain, calls, text
from tests.fakes.telegram import FakeTelegram, button_of
from tests.fakes.telegram_house import FORUM, FRIEND, OWNER, STRANGER, bot, hurry, people
from tests.fakes.telegram_wire import Json
from tests.support import lines_of, until

RISKY = calls(("execute_shell", {"command": "echo x > y"}))


@pytest.fixture
async def telegram() -> AsyncGenerator[FakeTelegram]:
    async with people() as fake:
        yield fake


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    hurry(monkeypatch)


async def question_of(telegram: FakeTelegram, user_id: int = OWNER) -> tuple[Json, str, str]:
    telegram.user_says(user_id, "hazlo")
    question = await telegram.wait_for_message("¿Lo permito?")
    yes, no = question["reply_markup"]["inline_keyboard"][0]
    return question, yes["callback_data"], no["callback_data"]


def answers(telegram: FakeTelegram) -> list[str]:
    return [call.params.get("text", "") for call in telegram.calls_of("answerCallbackQuery")]


async def test_a_stranger_cannot_press_the_owners_buttons(tmp_path: Path, telegram: FakeTelegram) -> None:
    async with bot(tmp_path, telegram, ScriptedBrain(RISKY, text("fin"))) as (house, _):
        question, yes, no = await question_of(telegram)
        telegram.presses(question, yes, user_id=STRANGER)
        telegram.presses(question, no)
        telegram.presses(question, yes)
        await telegram.wait_for_message("fin")
        given = [x for x in await lines_of(house.store, f"telegram_{OWNER}") if x.type == "approval_given"]
        assert [g.decision for g in given if g.type == "approval_given"] == ["deny"]
        await until(lambda: len(answers(telegram)) == 3)
        assert sorted(answers(telegram)) == ["", "Esta pregunta ya no está abierta.", "Rechazado"]


async def test_a_press_counts_only_in_the_chat_that_was_asked(tmp_path: Path, telegram: FakeTelegram) -> None:
    async with bot(tmp_path, telegram, ScriptedBrain(RISKY, text("fin"))) as (house, service):
        question, yes, _ = await question_of(telegram)
        elsewhere = question | {"chat": telegram.chats[FRIEND].as_json(), "message_id": 900}
        telegram.presses(elsewhere, yes, user_id=FRIEND)
        telegram.presses(question, yes, user_id=FRIEND)  # no client shows him that chat
        telegram.presses(question | {"chat": telegram.chats[FORUM].as_json()}, yes, user_id=OWNER)
        await until(lambda: len(answers(telegram)) == 3)
        assert set(answers(telegram)) == {"Esta pregunta ya no está abierta."}
        given = [x for x in await lines_of(house.store, f"telegram_{OWNER}") if x.type == "approval_given"]
        assert given == []
        assert service.state()[1]
        telegram.presses(question, yes)
        await telegram.wait_for_message("fin")


async def test_every_press_is_answered_whatever_it_says(tmp_path: Path, telegram: FakeTelegram) -> None:
    async with bot(tmp_path, telegram, ScriptedBrain(RISKY, text("fin"))) as (_, service):
        question, yes, _ = await question_of(telegram)
        for data in ("algo|viejo", "si|../../etc|1", "si|telegram_42|99", ""):
            telegram.presses(question, data)
        inaccessible = {k: question[k] for k in ("message_id", "chat")} | {"date": 0}
        telegram.presses(inaccessible, yes)
        await telegram.wait_for_message("fin")
        await until(lambda: len(answers(telegram)) == 5)
        assert answers(telegram).count("Permitido") == 1
        await until(lambda: "reply_markup" not in telegram.chats[OWNER].messages[question["message_id"]])
        assert service.state()[1]
    assert not (tmp_path / "data" / "telegram_unreadable.jsonl").exists()


async def test_the_same_press_again_was_taken_and_leaves_its_trace(tmp_path: Path, telegram: FakeTelegram) -> None:
    async with bot(tmp_path, telegram, ScriptedBrain(RISKY, text("fin"))):
        question, yes, _ = await question_of(telegram)
        press = telegram.presses(question, yes)
        await telegram.wait_for_message("fin")
        telegram.deliver_again(press["update_id"])
        await until(lambda: len(answers(telegram)) == 2)
        assert answers(telegram) == ["Permitido", "Permitido"]
        shown = await telegram.wait_for_message("✅ Permitido")
        assert shown["message_id"] == question["message_id"] and "reply_markup" not in shown
        assert shown["text"].startswith(question["text"]) and shown["entities"] == question["entities"]


async def test_presses_and_strangers_never_hold_the_polling_up(tmp_path: Path, telegram: FakeTelegram) -> None:
    async with bot(tmp_path, telegram, ScriptedBrain(RISKY, text("fin"), text("amigo"))):
        question, yes, _ = await question_of(telegram)
        gates = [telegram.hold("answerCallbackQuery"), telegram.hold("editMessageText")]
        telegram.presses(question, yes)
        await telegram.wait_for_message("fin")
        gates.append(telegram.hold("sendMessage"))
        telegram.user_says(STRANGER, "hola")
        await telegram.wait_until(lambda: telegram.texts(STRANGER) or None)
        telegram.user_says(FRIEND, "hola")
        await telegram.wait_for_message("amigo", chat_id=FRIEND)
        for gate in gates:
            gate.set()


async def test_a_long_question_is_shown_whole_before_its_buttons(tmp_path: Path, telegram: FakeTelegram) -> None:
    command = (
        "cat > x <<'EOF'\n" + "línea 😀 de datos\n" * 200 + "rm -rf lo-del-medio\n" + "línea de datos\n" * 200 + "EOF"
    )
    risky = calls(("execute_shell", {"command": command}))
    async with bot(tmp_path, telegram, ScriptedBrain(risky, text("fin"))):
        telegram.user_says(OWNER, "hazlo")
        question = await telegram.wait_for_message("¿Lo permito?")
        shown = "".join(telegram.texts(OWNER))
        assert 1 < len(telegram.texts(OWNER)) < 5 and "lo-del-medio" in shown
        assert shown.count("línea") == 400
        assert button_of(question, "Permitir")
        assert all("reply_markup" not in message for message in telegram.sent(OWNER)[:-1])
        refuse = button_of(question, "Rechazar")
        assert refuse
        telegram.presses(question, refuse["callback_data"])
        await telegram.wait_for_message("fin")


async def test_what_is_too_long_to_be_shown_cannot_be_permitted_unseen(tmp_path: Path, telegram: FakeTelegram) -> None:
    command = "cat > x <<'EOF'\n" + "línea 😀 de datos\n" * 3_000 + "EOF"
    risky = calls(("execute_shell", {"command": command}))
    async with bot(tmp_path, telegram, ScriptedBrain(risky, text("fin"))):
        telegram.user_says(OWNER, "hazlo")
        question = await telegram.wait_for_message("¿Lo permito?")
        assert len(telegram.texts(OWNER)) == 1
        assert "cat > x" in question["text"] and "solo allí se permite" in question["text"]
        assert not button_of(question, "Permitir") and not button_of(question, "Permitir siempre esto")
        refuse = button_of(question, "Rechazar")
        assert refuse
        telegram.presses(question, refuse["callback_data"])
        await telegram.wait_for_message("fin")


# ---------------------------------------------------------------- typing


async def test_nobody_types_while_a_question_waits(tmp_path: Path, telegram: FakeTelegram) -> None:
    gate = asyncio.Event()

    async def slow(*_: object) -> object:
        await gate.wait()
        return text("fin")

    async with bot(tmp_path, telegram, ScriptedBrain(RISKY, slow)):  # pyright: ignore[reportArgumentType]
        question, yes, _ = await question_of(telegram)
        await asyncio.sleep(0.05)
        count = len(telegram.calls_of("sendChatAction"))
        await asyncio.sleep(0.2)
        assert len(telegram.calls_of("sendChatAction")) == count
        telegram.presses(question, yes)
        await until(lambda: len(telegram.calls_of("sendChatAction")) > count)
        gate.set()
        await telegram.wait_for_message("fin")
        await asyncio.sleep(0.05)
        count = len(telegram.calls_of("sendChatAction"))
        await asyncio.sleep(0.1)
        assert len(telegram.calls_of("sendChatAction")) == count


@pytest.mark.parametrize("trouble", ["flood", "block"])
async def test_a_flooded_or_gone_chat_is_shown_no_typing(tmp_path: Path, telegram: FakeTelegram, trouble: str) -> None:
    gate = asyncio.Event()

    async def slow(*_: object) -> object:
        await gate.wait()
        return text("fin")

    async with bot(tmp_path, telegram, ScriptedBrain(slow)):  # pyright: ignore[reportArgumentType]
        if trouble == "flood":
            telegram.flood(OWNER, 30, times=100, method="sendChatAction")
        else:
            telegram.block(OWNER)
        telegram.user_says(OWNER, "hola")
        await telegram.wait_for_call("sendChatAction")
        await asyncio.sleep(0.2)
        assert len(telegram.calls_of("sendChatAction")) == 1
        gate.set()


async def test_nobody_types_after_the_service_stopped(tmp_path: Path, telegram: FakeTelegram) -> None:
    gate = asyncio.Event()

    async def slow(*_: object) -> object:
        await gate.wait()
        return text("fin")

    async with bot(tmp_path, telegram, ScriptedBrain(slow, slow)) as (house, service):  # pyright: ignore[reportArgumentType]
        telegram.user_says(OWNER, "hola")
        await telegram.wait_for_call("sendChatAction")
        await service.stop_polling()
        count = len(telegram.calls_of("sendChatAction"))
        await house.store.append("telegram_43", UserLine(content="x", reply_to=ReplyTo(channel="telegram", chat_id=43)))
        house.runner.wake("telegram_43")  # a lane that takes up a turn on the way out
        await asyncio.sleep(0.15)
        assert len(telegram.calls_of("sendChatAction")) == count
        gate.set()


# ---------------------------------------------------------------- floods


async def test_a_flood_rests_all_topics_of_its_chat(tmp_path: Path, telegram: FakeTelegram) -> None:
    async with bot(tmp_path, telegram, ScriptedBrain(*[text("r")] * 3, text("amigo"))) as (_, service):
        await until(lambda: service.state()[1])
        telegram.flood(FORUM, 30, times=50, method="sendMessage")
        telegram.user_says(OWNER, f"@{service.bot_username} x", chat_id=FORUM, thread_id=1)
        await telegram.wait_for_call("sendMessage")
        for thread in (2, 3):
            telegram.user_says(OWNER, f"@{service.bot_username} x", chat_id=FORUM, thread_id=thread)
        await asyncio.sleep(0.3)
        assert len(telegram.calls_of("sendMessage")) == 1
        telegram.user_says(FRIEND, "hola")
        await telegram.wait_for_message("amigo", chat_id=FRIEND)
