"""The fake's webhook delivers as the Bot API server does: order, confirmation, retries, errors, 409."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web
from telegram import Bot
from telegram.error import BadRequest, Conflict

from tests.contract.test_telegram_fake import ANA, LUIS, make_bot
from tests.fakes.telegram import FakeTelegram
from tests.fakes.telegram_webhook import BAD_CERTIFICATE
from tests.support import until

ORIGIN = "https://nanobot.example"
HOOK = f"{ORIGIN}/x"


@dataclass
class Server:
    """`answers`: the next statuses, 200 afterwards. `gate`: every answer waits for it."""

    url: str = ""
    got: list[tuple[str, Any]] = field(default_factory=list[tuple[str, Any]])
    headers: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    answers: list[int] = field(default_factory=list[int])
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    at_once: int = 0
    most_at_once: int = 0

    def texts(self) -> list[str]:
        return [update["message"]["text"] for _, update in self.got]


@asynccontextmanager
async def listening() -> AsyncGenerator[Server]:
    server = Server()
    server.gate.set()

    async def handle(request: web.Request) -> web.Response:
        server.at_once += 1
        server.most_at_once = max(server.most_at_once, server.at_once)
        server.got.append((request.path, await request.json()))
        server.headers.append(dict(request.headers))
        await server.gate.wait()
        server.at_once -= 1
        return web.Response(status=server.answers.pop(0) if server.answers else 200)

    app = web.Application()
    app.router.add_post("/{tail:.*}", handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield server
    server.gate.set()
    await runner.cleanup()


@pytest.fixture
async def telegram() -> AsyncIterator[FakeTelegram]:
    async with FakeTelegram() as telegram:
        telegram.sender.retry_second = 0.02
        yield telegram


@pytest.fixture
async def server(telegram: FakeTelegram) -> AsyncIterator[Server]:
    async with listening() as server:
        telegram.lives_at(ORIGIN, server.url)
        yield server


@pytest.fixture
async def bot(telegram: FakeTelegram) -> AsyncIterator[Bot]:
    async with make_bot(telegram) as bot:
        yield bot


async def test_what_waited_and_what_comes_is_posted_with_the_secret(
    telegram: FakeTelegram, bot: Bot, server: Server
) -> None:
    telegram.user_says(ANA, "antes")
    await bot.set_webhook(HOOK, secret_token="un-secreto_1", max_connections=1)
    telegram.user_says(ANA, "después")
    await until(lambda: not telegram.unconfirmed)
    assert server.texts() == ["antes", "después"]
    assert {path for path, _ in server.got} == {"/x"}
    assert {h["X-Telegram-Bot-Api-Secret-Token"] for h in server.headers} == {"un-secreto_1"}
    assert {h["Host"] for h in server.headers} == {"nanobot.example"}
    with pytest.raises(Conflict, match="can't use getUpdates method while webhook is active"):
        await bot.get_updates()


async def test_only_a_2xx_confirms_and_a_chat_waits_for_its_own(
    telegram: FakeTelegram, bot: Bot, server: Server
) -> None:
    server.answers = [503, 500, 302]
    await bot.set_webhook(HOOK, max_connections=1)
    telegram.user_says(ANA, "uno")
    await until(lambda: len(telegram.sender.deliveries) >= 2)
    telegram.user_says(ANA, "dos")
    telegram.user_says(LUIS, "tres")
    await until(lambda: not telegram.unconfirmed)
    texts = server.texts()
    assert len(texts) == 6 and texts.index("dos") > len(texts) - 1 - texts[::-1].index("uno")
    assert texts.index("tres") < texts.index("dos"), "another chat does not wait"
    info = await bot.get_webhook_info()
    assert info.last_error_date is not None
    assert (info.last_error_message or "").startswith("Wrong response from the webhook: ")


async def test_one_connection_is_one_request_at_a_time(telegram: FakeTelegram, bot: Bot, server: Server) -> None:
    for connections, most in ((1, 1), (5, 3)):
        server.most_at_once = 0
        server.gate.clear()
        await bot.set_webhook(HOOK, max_connections=connections)
        for user in (ANA, LUIS, 1003):
            telegram.user_says(user, "hola")
        await until(lambda most=most: server.at_once == most)
        server.gate.set()
        await until(lambda: not telegram.unconfirmed)
        assert server.most_at_once == most


async def test_a_webhook_taken_away_leaves_what_is_under_way_for_polling(
    telegram: FakeTelegram, bot: Bot, server: Server
) -> None:
    server.gate.clear()
    await bot.set_webhook(HOOK, max_connections=1)
    telegram.user_says(ANA, "hola")
    await until(lambda: server.at_once == 1)
    await bot.delete_webhook()
    server.gate.set()
    await until(lambda: telegram.sender.deliveries[0].status == 200)
    assert [u.message and u.message.text for u in await bot.get_updates()] == ["hola"]


async def test_a_confirmed_update_can_be_posted_again(telegram: FakeTelegram, bot: Bot, server: Server) -> None:
    await bot.set_webhook(HOOK)
    number = telegram.user_says(ANA, "hola")["update_id"]
    await until(lambda: not telegram.unconfirmed)
    telegram.deliver_again(number)
    await until(lambda: len(server.got) == 2)
    assert server.got[0] == server.got[1]


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("http://nanobot.example/x", "an https url must be provided"),
        ("https://nanobot.example:8000/x", "can be set up only on ports 80, 88, 443 or 8443"),
        ("https://nadie.example/x", "failed to resolve host"),
    ],
)
async def test_addresses_that_are_refused(
    telegram: FakeTelegram, bot: Bot, server: Server, url: str, sentence: str
) -> None:
    with pytest.raises(BadRequest, match=sentence):
        await bot.set_webhook(url)
    assert (await bot.get_webhook_info()).url == ""


async def test_the_last_error_stays_until_the_webhook_changes(telegram: FakeTelegram, bot: Bot, server: Server) -> None:
    telegram.lives_at(ORIGIN, BAD_CERTIFICATE)
    await bot.set_webhook(HOOK, max_connections=1)
    telegram.user_says(ANA, "hola")
    await until(lambda: telegram.sender.last_error is not None)
    info = await bot.get_webhook_info()
    assert "certificate verify failed" in (info.last_error_message or "") and info.pending_update_count == 1
    telegram.lives_at(ORIGIN, server.url)
    await until(lambda: not telegram.unconfirmed)
    await bot.set_webhook(HOOK, max_connections=1)
    assert (await bot.get_webhook_info()).last_error_date is not None, "nothing was changed"
    await bot.set_webhook(HOOK, max_connections=2)
    assert (await bot.get_webhook_info()).last_error_date is None


async def test_nobody_listening_and_hanging_up_are_errors_too(telegram: FakeTelegram, bot: Bot) -> None:
    telegram.lives_at(ORIGIN, "http://127.0.0.1:9")
    await bot.set_webhook(HOOK)
    telegram.user_says(ANA, "hola")
    await until(lambda: len(telegram.sender.deliveries) >= 3)
    assert (await bot.get_webhook_info()).last_error_message == "Connection refused"
    assert telegram.unconfirmed
