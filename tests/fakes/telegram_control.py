"""The fake Telegram as a process of its own, with a control side for tests that drive real processes.

python -m tests.fakes.telegram [--port N] [--token T]    prints `READY <base url> <token>` once it listens

POST /_control/<action>          {arguments}: user_says, user_edits, press, deliver_again, expire, block,
                                 refuse, migrate, flood, fail, garble, drop, cut, delay, injects, close_topic,
                                 lives_at
POST /_control/wait_for_message  {"contains", "chat_id", "timeout"}: answers with the message, or 504
GET  /_control/calls?after=N     every request received, in order
GET  /_control/sent?chat_id=N    the bot's messages as they stand
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
from typing import TYPE_CHECKING, Any

from aiohttp import web

if TYPE_CHECKING:
    from tests.fakes.telegram import FakeTelegram

_ACTIONS = {
    "user_says", "user_edits", "deliver_again", "expire", "block", "refuse", "migrate", "flood", "fail", "garble",
    "drop", "cut", "delay", "injects", "close_topic", "lives_at",
}  # fmt: skip


def control_routes(telegram: FakeTelegram) -> list[web.RouteDef]:
    async def action(request: web.Request) -> web.Response:
        name = request.match_info["action"]
        if name not in _ACTIONS:
            raise web.HTTPNotFound
        result: Any = getattr(telegram, name)(**await request.json())
        return web.json_response({"result": result})

    async def press(request: web.Request) -> web.Response:
        wanted = await request.json()
        message = telegram.chats[wanted["chat_id"]].messages[wanted["message_id"]]
        return web.json_response({"result": telegram.presses(message, wanted["data"], wanted.get("user_id"))})

    async def wait_for_message(request: web.Request) -> web.Response:
        wanted = await request.json()
        try:
            message = await telegram.wait_for_message(
                wanted["contains"], wanted.get("timeout", 5), wanted.get("chat_id")
            )
        except AssertionError as error:
            raise web.HTTPGatewayTimeout(text=str(error)) from None
        return web.json_response({"result": message})

    async def calls(request: web.Request) -> web.Response:
        after = int(request.query.get("after", 0))
        fresh = [call for call in telegram.calls if call.number > after]
        names = ("number", "method", "params", "at", "error")
        return web.json_response({"result": [{name: getattr(call, name) for name in names} for call in fresh]})

    async def sent(request: web.Request) -> web.Response:
        chat_id = request.query.get("chat_id")
        return web.json_response({"result": telegram.sent(int(chat_id) if chat_id else None)})

    return [
        web.get("/_control/calls", calls),
        web.get("/_control/sent", sent),
        web.post("/_control/press", press),
        web.post("/_control/wait_for_message", wait_for_message),
        web.post("/_control/{action}", action),
    ]


async def _serve(port: int, token: str) -> None:
    from tests.fakes.telegram import FakeTelegram

    stop = asyncio.Event()
    with contextlib.suppress(NotImplementedError):  # Windows: Ctrl+C raises instead
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with FakeTelegram(token, port=port) as telegram:
        print(f"READY {telegram.base_url} {telegram.token}", flush=True)  # noqa: T201
        await stop.wait()


def main() -> None:
    from tests.fakes.telegram import TOKEN

    parser = argparse.ArgumentParser(description="A strict Telegram Bot API on this machine")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--token", default=TOKEN)
    arguments = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(arguments.port, arguments.token))
