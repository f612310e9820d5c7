"""The real python-telegram-bot, on our HTTP, against the strict fake: what Telegram documents is what happens."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from telegram import Bot, InlineKeyboardButton, InlineKeyboardMarkup, MessageEntity, ReplyParameters
from telegram.error import BadRequest, ChatMigrated, Conflict, Forbidden, InvalidToken, NetworkError, RetryAfter

from app.cloud.telegram_errors import ChatMoved, NotModified, delivery_error, delivery_errors
from app.cloud.telegram_format import to_parts
from app.cloud.telegram_http import AiohttpRequest, RequestNotSent, RequestUncertain
from app.core.errors import ChatGone, DeliveryError, Flood, NotSent, Uncertain
from tests.fakes.telegram import FakeTelegram

ANA, LUIS = 1001, 1002


def make_bot(telegram: FakeTelegram, token: str = "") -> Bot:
    return Bot(
        token or telegram.token,
        base_url=f"{telegram.base_url}/bot",
        base_file_url=f"{telegram.base_url}/file/bot",
        request=AiohttpRequest(),
        get_updates_request=AiohttpRequest(),
    )


@pytest.fixture
async def telegram() -> AsyncIterator[FakeTelegram]:
    async with FakeTelegram() as telegram:
        telegram.add_chat(ANA)
        telegram.add_chat(LUIS)
        yield telegram


@pytest.fixture
async def bot(telegram: FakeTelegram) -> AsyncIterator[Bot]:
    async with make_bot(telegram) as bot:
        yield bot


def keyboard(data: str) -> InlineKeyboardMarkup:
    return InlineKeyboardMarkup([[InlineKeyboardButton("Sí", callback_data=data)]])


# ---------------------------------------------------------------- text


@pytest.mark.parametrize(
    ("text", "more", "sentence"),
    [
        ("", {}, "Message text is empty"),
        (" \n\u200b", {}, "Text must be non-empty"),
        ("x" * 4097, {}, "Message is too long"),
        ("😀" * 2049, {}, "Message is too long"),
        ("<b>x", {"parse_mode": "HTML"}, "Can't parse entities: can't find end tag corresponding to start tag b"),
        ("<p>x</p>", {"parse_mode": "HTML"}, 'Can\'t parse entities: unsupported start tag "p" at byte offset 0'),
        ("ñ<b>x</i>", {"parse_mode": "HTML"}, "Can't parse entities: unmatched end tag at byte offset 6"),
        ("1. x", {"parse_mode": "MarkdownV2"}, "Can't parse entities: character '.' is reserved and must be escaped"),
        ("*x", {"parse_mode": "MarkdownV2"}, "Can't parse entities: can't find end of bold entity at byte offset 0"),
        ("[x](a", {"parse_mode": "MarkdownV2"}, "Can't parse entities: can't find end of a url at byte offset"),
        ("x", {"parse_mode": "Papiro"}, "Unsupported parse_mode"),
        ("x", {"entities": [MessageEntity("bold", 0, 2)]}, "Entity beginning at utf-16 offset 0 ends after the end"),
        ("x", {"entities": [MessageEntity("bold", 1, 1)]}, "Entity begins after the end of the text"),
        ("😀", {"entities": [MessageEntity("bold", 0, 1)]}, "Entity beginning at utf-16 offset 0 ends in a middle"),
        ("😀a", {"entities": [MessageEntity("bold", 1, 1)]}, "Entity begins in a middle of a utf-16 symbol"),
        ("x", {"entities": [MessageEntity("bold", -1, 1)]}, "Receive an entity with incorrect offset -1"),
    ],
)
async def test_bad_text_is_refused_and_nothing_is_sent(
    telegram: FakeTelegram, bot: Bot, text: str, more: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(BadRequest) as caught:
        await bot.send_message(ANA, text, **more)
    assert caught.value.message.startswith(sentence)
    assert telegram.sent() == []
    assert type(delivery_error(caught.value)) is DeliveryError


async def test_the_longest_text_and_the_first_hundred_entities_arrive(telegram: FakeTelegram, bot: Bot) -> None:
    await bot.send_message(ANA, "😀" * 2048)
    entities = [MessageEntity("bold", 2 * i, 1) for i in range(101)]
    sent = await bot.send_message(ANA, "a " * 101 + "fin", entities=entities)
    assert len(sent.entities) == 100
    assert [len(text) for text in telegram.texts(ANA)] == [2048, 205]


@pytest.mark.parametrize(
    ("text", "mode"),
    [
        (
            '<b>n <i>c</i></b> &lt;x&gt; <pre><code class="language-py">p</code></pre> <a href="https://a.b">e</a>',
            "HTML",
        ),
        ("*n _c_* <x\\> ```py\np``` [e](https://a.b)", "MarkdownV2"),
    ],
)
async def test_parse_modes_give_the_same_message(bot: Bot, text: str, mode: str) -> None:
    sent = await bot.send_message(ANA, text, parse_mode=mode)
    assert sent.text == "n c <x> p e"
    found = {(e.type, e.offset, e.length, e.url or e.language) for e in sent.entities}
    assert found == {
        ("bold", 0, 3, None), ("italic", 2, 1, None), ("pre", 8, 1, "py"), ("text_link", 10, 1, "https://a.b"),
    }  # fmt: skip


async def test_our_parts_are_taken_as_they_are(telegram: FakeTelegram, bot: Bot) -> None:
    parts = to_parts(
        "# Informe\n\n" + "**uno** `dos` [tres](https://a.b) <cuatro>\n\n```py\n    x = '😀'\n```\n\n" * 150
    )
    for part in parts:
        sent = await bot.send_message(ANA, part.text, entities=part.payload)  # pyright: ignore[reportArgumentType]
        assert sent.text == part.text
        assert sent.entities == part.payload
    assert len(parts) > 3


# ---------------------------------------------------------------- editing, replying, buttons


async def test_an_edit_that_changes_nothing_is_refused(telegram: FakeTelegram, bot: Bot) -> None:
    sent = await bot.send_message(ANA, "hola", reply_markup=keyboard("si"))
    await bot.edit_message_text("adiós", ANA, sent.message_id, reply_markup=keyboard("si"))
    with pytest.raises(BadRequest, match="Message is not modified: specified new message content") as caught:
        await bot.edit_message_text("adiós", ANA, sent.message_id, reply_markup=keyboard("si"))
    assert isinstance(delivery_error(caught.value), NotModified)
    await bot.edit_message_reply_markup(ANA, sent.message_id, reply_markup=None)
    with pytest.raises(BadRequest, match="Message is not modified"):
        await bot.edit_message_reply_markup(ANA, sent.message_id, reply_markup=None)
    assert [edit["after"] for edit in telegram.edits] == [
        {"text": "adiós", "entities": [], "reply_markup": keyboard("si").to_dict()},
        {"reply_markup": {}},
    ]


async def test_what_is_not_there_cannot_be_edited_answered_or_deleted(telegram: FakeTelegram, bot: Bot) -> None:
    theirs = telegram.user_says(ANA, "hola")["message"]["message_id"]
    with pytest.raises(BadRequest, match="Message to edit not found"):
        await bot.edit_message_text("x", ANA, 99)
    with pytest.raises(BadRequest, match="Message can't be edited"):
        await bot.edit_message_text("x", ANA, theirs)
    with pytest.raises(BadRequest, match="Message to delete not found"):
        await bot.delete_message(ANA, 99)
    with pytest.raises(BadRequest, match="Message to be replied not found"):
        await bot.send_message(ANA, "x", reply_parameters=ReplyParameters(99))
    sent = await bot.send_message(ANA, "x", reply_parameters=ReplyParameters(99, allow_sending_without_reply=True))
    assert sent.reply_to_message is None
    answer = await bot.send_message(ANA, "y", reply_parameters=ReplyParameters(theirs))
    assert answer.reply_to_message is not None
    assert answer.reply_to_message.text == "hola"


async def test_ids_grow_in_each_chat_by_itself(bot: Bot) -> None:
    ids = [(await bot.send_message(chat, "x")).message_id for chat in (ANA, LUIS, ANA, LUIS, ANA)]
    assert ids == [1, 1, 2, 2, 3]


async def test_buttons_carry_1_to_64_bytes_and_answers_come_in_time(telegram: FakeTelegram, bot: Bot) -> None:
    for data in ("", "ñ" * 33):
        with pytest.raises(BadRequest, match="Button_data_invalid"):
            await bot.send_message(ANA, "¿Sigo?", reply_markup=keyboard(data))
    sent = await bot.send_message(ANA, "¿Sigo?", reply_markup=keyboard("ñ" * 32))
    message = telegram.sent(ANA)[0]
    telegram.presses(message, "ñ" * 32)
    update = (await bot.get_updates())[0]
    assert update.callback_query is not None
    assert update.callback_query.data == "ñ" * 32
    assert update.callback_query.message is not None
    assert update.callback_query.message.message_id == sent.message_id
    assert await update.callback_query.answer("Vale")
    assert telegram.callbacks[update.callback_query.id]["answer"] == "Vale"
    telegram.expire(update.callback_query.id)
    with pytest.raises(BadRequest, match="Query is too old"):
        await update.callback_query.answer()
    telegram.callback_seconds = 0
    telegram.presses(message, "nadie lo puso ahí")
    late = (await bot.get_updates())[-1].callback_query
    assert late is not None
    assert late.data == "nadie lo puso ahí"
    with pytest.raises(BadRequest, match="Query is too old"):
        await late.answer()


async def test_a_topic_must_exist_and_be_open(telegram: FakeTelegram, bot: Bot) -> None:
    telegram.add_chat(-1000000000900)
    with pytest.raises(BadRequest, match="Message thread not found") as unknown:
        await bot.send_message(-1000000000900, "x", message_thread_id=7)
    assert isinstance(delivery_error(unknown.value), ChatGone)
    telegram.user_says(ANA, "hola", chat_id=-1000000000900, thread_id=7)
    sent = await bot.send_message(-1000000000900, "x", message_thread_id=7)
    assert sent.message_thread_id == 7
    telegram.close_topic(-1000000000900, 7)
    with pytest.raises(BadRequest, match="Topic_closed") as closed:
        await bot.send_message(-1000000000900, "x", message_thread_id=7)
    assert type(delivery_error(closed.value)) is DeliveryError


# ---------------------------------------------------------------- getting updates


async def test_updates_come_until_their_offset_is_confirmed(telegram: FakeTelegram, bot: Bot) -> None:
    first = telegram.user_says(ANA, "/start ya")["update_id"]
    second = telegram.user_says(LUIS, "hola")["update_id"]
    assert [u.update_id for u in await bot.get_updates()] == [first, second]
    assert [u.update_id for u in await bot.get_updates(limit=1)] == [first]
    assert [u.update_id for u in await bot.get_updates(offset=second)] == [second]
    assert [u.update_id for u in await bot.get_updates()] == [second]
    assert telegram.unconfirmed == [second]
    update = (await bot.get_updates(offset=-1))[0]
    assert (update.message and update.message.text, update.effective_user and update.effective_user.id) == (
        "hola",
        LUIS,
    )
    assert await bot.get_updates(offset=second + 1) == ()


async def test_a_long_poll_ends_with_the_first_update(telegram: FakeTelegram, bot: Bot) -> None:
    poll = asyncio.create_task(bot.get_updates(timeout=30))
    await telegram.wait_until_polled()
    telegram.user_says(ANA, "hola")
    assert [u.message and u.message.text for u in await poll] == ["hola"]


async def test_a_confirmed_update_can_come_again(telegram: FakeTelegram, bot: Bot) -> None:
    update_id = telegram.user_says(ANA, "borra todo")["update_id"]
    await bot.get_updates()
    poll = asyncio.create_task(bot.get_updates(offset=update_id + 1, timeout=30))
    await telegram.wait_until_polled()
    telegram.deliver_again(update_id)
    assert [u.update_id for u in await poll] == [update_id]


async def test_a_second_poller_ends_the_first(telegram: FakeTelegram, bot: Bot) -> None:
    first = asyncio.create_task(bot.get_updates(timeout=30))
    await telegram.wait_until_polled()
    async with make_bot(telegram) as other:
        second = asyncio.create_task(other.get_updates(timeout=30))
        with pytest.raises(Conflict, match="terminated by other getUpdates request; make sure that only one bot"):
            await first
        telegram.user_says(ANA, "hola")
        assert len(await second) == 1


async def test_a_webhook_excludes_polling(telegram: FakeTelegram, bot: Bot) -> None:
    telegram.lives_at("https://nanobot.example", "http://127.0.0.1:9")
    poll = asyncio.create_task(bot.get_updates(timeout=30))
    await telegram.wait_until_polled()
    await bot.set_webhook("https://nanobot.example/telegram", secret_token="secreto", max_connections=1)
    with pytest.raises(Conflict, match="terminated by setWebhook request"):
        await poll
    with pytest.raises(Conflict, match="can't use getUpdates method while webhook is active"):
        await bot.get_updates()
    telegram.user_says(ANA, "hola")
    info = await bot.get_webhook_info()
    assert (info.url, info.pending_update_count, info.max_connections) == ("https://nanobot.example/telegram", 1, 1)
    await bot.delete_webhook()
    assert len(await bot.get_updates()) == 1
    with pytest.raises(BadRequest, match="an https url must be provided"):
        await bot.set_webhook("http://nanobot.example/telegram")
    await bot.delete_webhook(drop_pending_updates=True)
    assert telegram.calls_of("deleteWebhook")[-1].params == {"drop_pending_updates": "true"}
    assert await bot.get_updates() == ()


async def test_allowed_updates_hold_for_what_comes_later(telegram: FakeTelegram, bot: Bot) -> None:
    telegram.user_says(ANA, "hola")
    await bot.get_updates(allowed_updates=["callback_query"])
    telegram.user_says(ANA, "no llega")
    assert [u.message and u.message.text for u in await bot.get_updates()] == ["hola"]


# ---------------------------------------------------------------- refusals


async def test_wrong_tokens(telegram: FakeTelegram) -> None:
    for token, sentence in (("123456789:otra-clave_cualquiera", "Unauthorized"), ("sin-forma", "Not Found")):
        bot = make_bot(telegram, token)
        with pytest.raises(InvalidToken, match="rejected by the server"):
            await bot.initialize()
        await bot.shutdown()
        assert telegram.calls[-1].error == sentence
    assert isinstance(delivery_error(InvalidToken()), NotSent)


async def test_chats_that_cannot_be_written_to(telegram: FakeTelegram, bot: Bot) -> None:
    with pytest.raises(BadRequest, match="Chat not found") as unknown:
        await bot.send_message(5, "x")
    telegram.block(ANA)
    with pytest.raises(Forbidden, match="bot was blocked by the user") as blocked:
        await bot.send_message(ANA, "x")
    telegram.add_chat(-50)
    telegram.migrate(-50, -1000000000077)
    with pytest.raises(ChatMigrated) as moved:
        await bot.send_message(-50, "x")
    for caught in (unknown, blocked, moved):
        assert isinstance(delivery_error(caught.value), ChatGone)
    error = delivery_error(moved.value)
    assert isinstance(error, ChatMoved)
    await bot.send_message(error.new_chat_id, "seguimos aquí")
    assert telegram.texts() == ["seguimos aquí"]


async def test_a_flood_stops_one_chat_only(telegram: FakeTelegram, bot: Bot) -> None:
    telegram.flood(ANA, 17)
    with pytest.raises(RetryAfter) as caught:
        await bot.send_message(ANA, "x")
    await bot.send_message(LUIS, "y")
    await bot.send_message(ANA, "z")
    error = delivery_error(caught.value)
    assert isinstance(error, Flood)
    assert error.retry_after == 17.0
    assert telegram.texts(ANA) == ["z"]


async def test_the_natural_flood_limit_counts_per_chat() -> None:
    async with FakeTelegram(per_second=2) as telegram, make_bot(telegram) as bot:
        telegram.add_chat(ANA)
        telegram.add_chat(LUIS)
        for _ in range(2):
            await bot.send_message(ANA, "x")
        with pytest.raises(RetryAfter):
            await bot.send_message(ANA, "x")
        await bot.send_message(LUIS, "x")


async def test_other_methods_check_what_they_get(telegram: FakeTelegram, bot: Bot) -> None:
    with pytest.raises(BadRequest, match="Wrong parameter action in request"):
        await bot.send_chat_action(ANA, "dormir")
    await bot.send_chat_action(ANA, "typing")
    with pytest.raises(BadRequest, match="Bot_command_invalid"):
        await bot.set_my_commands([("Mal", "x")])
    await bot.set_my_commands([("estado", "Cómo va todo")])
    assert [c.command for c in await bot.get_my_commands()] == ["estado"]
    await bot.send_message_draft(ANA, 7, "escribien…")
    assert telegram.chats[ANA].drafts == {7: "escribien…"}
    telegram.add_chat(-60)
    with pytest.raises(BadRequest):
        await bot.send_message_draft(-60, 7, "x")
    assert telegram.sent() == []


# ---------------------------------------------------------------- files


async def test_a_document_goes_up_and_a_file_comes_down(telegram: FakeTelegram, bot: Bot) -> None:
    sent = await bot.send_document(ANA, b"a,b\n", filename="año nuevo.csv", caption="**no**")
    assert sent.document is not None
    assert (sent.document.file_name, sent.document.file_size, sent.caption) == ("año nuevo.csv", 4, "**no**")
    with pytest.raises(BadRequest, match="Message caption is too long"):
        await bot.send_document(ANA, b"x", caption="x" * 1025)
    telegram.user_sends_file(ANA, "datos ñ.bin", b"\x00\x01", caption="mira")
    update = (await bot.get_updates())[0]
    assert update.message is not None
    assert update.message.document is not None
    file = await update.message.document.get_file()
    assert await file.download_as_bytearray() == b"\x00\x01"
    with pytest.raises(BadRequest, match="Invalid file_id"):
        await bot.get_file("nada")


# ---------------------------------------------------------------- faults


async def test_faults_tell_certain_from_uncertain(telegram: FakeTelegram, bot: Bot) -> None:
    telegram.cut("sendMessage")
    with pytest.raises(RequestUncertain) as cut:
        await bot.send_message(ANA, "llega, sin respuesta")
    telegram.drop("sendMessage")
    with pytest.raises(RequestUncertain) as dropped:
        await bot.send_message(ANA, "no llega")
    telegram.garble("sendMessage", 502)
    with pytest.raises(NetworkError) as garbled:
        await bot.send_message(ANA, "tampoco")
    telegram.fail("sendMessage", 500, "Internal Server Error: restart")
    with pytest.raises(NetworkError) as failed:
        await bot.send_message(ANA, "tampoco")
    for caught in (cut, dropped, garbled, failed):
        assert isinstance(delivery_error(caught.value), Uncertain)
    assert telegram.texts(ANA) == ["llega, sin respuesta"]
    assert len(telegram.calls_of("sendMessage")) == 4, "a POST was repeated by itself"


async def test_held_and_late_answers(telegram: FakeTelegram, bot: Bot) -> None:
    gate = telegram.hold("sendMessage")
    sending = asyncio.create_task(bot.send_message(ANA, "hola"))
    await telegram.wait_for_message("hola")
    assert not sending.done()
    gate.set()
    await sending
    telegram.delay("sendMessage", 0.05)
    before = time.monotonic()
    await bot.send_message(ANA, "tarde")
    assert time.monotonic() - before >= 0.05


async def test_nobody_listening_is_certain() -> None:
    async with FakeTelegram() as telegram:
        pass
    async with AiohttpRequest() as request:
        bot = Bot(telegram.token, f"{telegram.base_url}/bot", request=request, get_updates_request=request)
        with pytest.raises(RequestNotSent) as caught:
            await bot.send_message(ANA, "x")
        assert telegram.token not in f"{caught.value!r}"
        with pytest.raises(NotSent, match="No se llega a Telegram"), delivery_errors():
            await bot.send_message(ANA, "x")


async def test_waiting_for_what_never_comes_says_what_came(telegram: FakeTelegram, bot: Bot) -> None:
    await bot.send_message(ANA, "otra cosa")
    with pytest.raises(AssertionError, match="otra cosa"):
        await telegram.wait_for_message("hola", timeout=0.02)


async def test_it_runs_as_a_process_with_a_control_side() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.fakes.telegram", stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        _ready, base_url, token = (await process.stdout.readline()).decode().split()
        async with (
            aiohttp.ClientSession(f"{base_url}/_control/") as control,
            AiohttpRequest() as request,
            Bot(token, f"{base_url}/bot", request=request, get_updates_request=AiohttpRequest()) as bot,
        ):
            await control.post("user_says", json={"user_id": ANA, "text": "hola"})
            assert [u.message and u.message.text for u in await bot.get_updates()] == ["hola"]
            waiting = asyncio.create_task(
                control.post("wait_for_message", json={"contains": "Sigo", "chat_id": ANA, "timeout": 5})
            )
            sent = await bot.send_message(ANA, "¿Sigo?", reply_markup=keyboard("si"))
            assert (await (await waiting).json())["result"]["message_id"] == sent.message_id
            await control.post("press", json={"chat_id": ANA, "message_id": sent.message_id, "data": "si"})
            assert (await bot.get_updates())[-1].callback_query is not None
            calls = (await (await control.get("calls")).json())["result"]
            assert [c["method"] for c in calls] == ["getme", "getupdates", "sendmessage", "getupdates"]
            assert (await control.post("explode", json={})).status == 404
    finally:
        process.terminate()
        await process.wait()
