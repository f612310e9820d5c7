"""Whatever Telegram can bring from somebody who is not allowed, and from nobody in particular: it leaves no trace."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.brain import ScriptedBrain, calls, text
from tests.fakes.telegram import FakeTelegram
from tests.fakes.telegram_house import FRIEND, GROUP, OWNER, STRANGER, bot, hurry, people
from tests.support import until

ANONYMOUS, CHANNEL_STAND_IN, LINKED_CHANNEL = 1087968824, 136817688, 777000
Json = dict[str, Any]


@pytest.fixture
async def telegram() -> AsyncGenerator[FakeTelegram]:
    async with people() as fake:
        yield fake


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    hurry(monkeypatch)


def person(number: int, *, is_bot: bool = False) -> Json:
    return {"id": number, "is_bot": is_bot, "first_name": "X"}


def group() -> Json:
    return {"id": GROUP, "type": "supergroup", "title": "Equipo"}


def said(sender: Json, **more: Any) -> Json:
    message: Json = {"message_id": 7_000, "date": 1_760_000_000, "chat": group(), "from": sender, "text": "/estado"}
    return message | {"entities": [{"type": "bot_command", "offset": 0, "length": 7}]} | more


def kinds() -> list[tuple[str, Json]]:
    stranger, channel = person(STRANGER), {"id": -1009, "type": "channel", "title": "Canal"}
    was, now = {"user": stranger, "status": "left"}, {"user": stranger, "status": "member"}
    member: Json = {"chat": group(), "from": stranger, "date": 1, "old_chat_member": was, "new_chat_member": now}
    private: Json = {"id": STRANGER, "type": "private", "first_name": "X"}
    return [
        ("message", said(stranger)),
        ("edited_message", said(stranger, edit_date=1_760_000_001)),
        ("edited_message", said(stranger, chat=private, edit_date=1_760_000_001)),
        ("edited_message", said(stranger, chat=private, edit_date=1_760_000_001, text="hola", entities=[])),
        ("message", said(person(ANONYMOUS, is_bot=True), sender_chat=group())),
        ("message", said(person(CHANNEL_STAND_IN, is_bot=True), sender_chat=channel)),
        ("message", said(person(LINKED_CHANNEL), sender_chat=channel, is_automatic_forward=True)),
        ("message", said(person(OWNER), sender_chat=channel)),  # whoever `from` says: a channel speaks
        ("edited_message", said(person(OWNER), sender_chat=channel, edit_date=1_760_000_001)),
        ("message", said(person(OWNER, is_bot=True))),
        ("channel_post", said(person(OWNER), chat=channel)),
        ("edited_channel_post", said(person(OWNER), chat=channel)),
        ("business_message", said(person(OWNER), chat=private, business_connection_id="b")),
        ("guest_message", said(person(OWNER))),
        ("inline_query", {"id": "1", "from": person(OWNER), "query": "/estado", "offset": ""}),
        ("chosen_inline_result", {"result_id": "1", "from": person(OWNER), "query": "/estado"}),
        ("my_chat_member", member),
        ("chat_member", member),
        ("chat_join_request", {"chat": group(), "from": stranger, "user_chat_id": STRANGER, "date": 1}),
        ("message", said(stranger, text="", new_chat_members=[stranger])),
        ("message", said(stranger, text="", group_chat_created=True)),
        ("message", said(stranger, text="", migrate_to_chat_id=-100777)),
        ("message_reaction", {"chat": group(), "message_id": 1, "user": stranger, "date": 1,
                              "old_reaction": [], "new_reaction": [{"type": "emoji", "emoji": "👍"}]}),
        ("poll_answer", {"poll_id": "1", "user": stranger, "option_ids": [0], "option_persistent_ids": ["0"]}),
        ("callback_query", {"id": "9", "from": stranger, "chat_instance": "1", "data": "x", "message": said(stranger)}),
        ("callback_query", {"id": "9", "from": person(OWNER, is_bot=True), "chat_instance": "1", "data": "x"}),
        ("message", {"message_id": "broken", "from": stranger}),  # cannot be read, but tells who it is from
        ("a_kind_of_next_year", {"from": stranger, "text": "hola"}),
    ]  # fmt: skip


@pytest.mark.parametrize(("kind", "content"), kinds(), ids=lambda value: value if isinstance(value, str) else "")
async def test_nothing_comes_of_it(tmp_path: Path, telegram: FakeTelegram, kind: str, content: Json) -> None:
    brain = ScriptedBrain(text("nunca"), text("ni ahora"))
    async with bot(tmp_path, telegram, brain) as (house, service):
        await until(lambda: service.state()[1])
        before = {path: path.read_bytes() for path in (tmp_path / "data").rglob("*") if path.is_file()}
        telegram.injects(kind, content)
        await until(lambda: not telegram.unconfirmed)
        await house.runner.lanes.idle()
        after = {path: path.read_bytes() for path in (tmp_path / "data").rglob("*") if path.is_file()}
    assert after == before, "on disk"
    assert not brain.requests
    assert telegram.texts() == []


async def test_the_control_the_same_from_the_owner_has_an_effect(tmp_path: Path, telegram: FakeTelegram) -> None:
    async with bot(tmp_path, telegram, ScriptedBrain()) as (_, service):
        await until(lambda: service.state()[1])
        telegram.injects("message", said(person(OWNER)))
        await telegram.wait_for_message("Gasto de hoy", chat_id=GROUP)


async def test_what_cannot_be_read_of_an_allowed_person_is_kept(tmp_path: Path, telegram: FakeTelegram) -> None:
    async with bot(tmp_path, telegram, ScriptedBrain()) as (_, service):
        await until(lambda: service.state()[1])
        telegram.injects("message", {"message_id": "broken", "from": person(FRIEND)})
        await until(lambda: (tmp_path / "data" / "telegram_unreadable.jsonl").exists())


async def test_a_strangers_press_decides_nothing(tmp_path: Path, telegram: FakeTelegram) -> None:
    """Any client can send any `data`; a group shows the buttons to everybody."""
    brain = ScriptedBrain(calls(("execute_shell", {"command": "touch hecho"})), text("hecho"))
    async with bot(tmp_path, telegram, brain) as (house, service):
        await until(lambda: service.state()[1])
        telegram.user_says(OWNER, f"@{service.bot_username} hazlo", chat_id=GROUP)
        question = await telegram.wait_for_message("Ejecutar una orden", chat_id=GROUP)
        allow = question["reply_markup"]["inline_keyboard"][0][0]["callback_data"]
        telegram.presses(question, allow, STRANGER)
        pressed = await telegram.wait_for_call("answerCallbackQuery")
        assert not pressed.params.get("text") and not telegram.calls_of("editMessageReplyMarkup")
        ctx = await house.store.load_session("telegram_g100500")
        assert ctx.questions, "still open"
        telegram.presses(question, allow, OWNER)
        await telegram.wait_for_message("hecho", chat_id=GROUP)


async def test_a_message_left_open_by_somebody_who_lost_his_place_is_not_answered(
    tmp_path: Path, telegram: FakeTelegram
) -> None:
    """He was allowed when he wrote, and is not when the server starts again."""
    async with bot(tmp_path, telegram, ScriptedBrain()) as (house, service):
        await until(lambda: service.state()[1])
        house.loop.leave()
        telegram.user_says(FRIEND, "borra todo")
        await until(lambda: not telegram.unconfirmed)
    brain = ScriptedBrain(text("ya está"))
    async with bot(tmp_path, telegram, brain, telegram_allowed_users=[]):
        await telegram.wait_for_message("ya no tiene permiso", chat_id=FRIEND)
    assert not brain.requests


async def test_only_numbers_name_a_person(tmp_path: Path, telegram: FakeTelegram) -> None:
    """A user name can be given up and taken by somebody else."""
    async with bot(tmp_path, telegram, ScriptedBrain()) as (house, service):
        await until(lambda: service.state()[1])
        telegram.injects("message", said(person(STRANGER) | {"username": f"user{OWNER}"}))
        await until(lambda: not telegram.unconfirmed)
        assert not await house.store.list_sessions()
