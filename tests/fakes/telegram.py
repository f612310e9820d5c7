"""A strict Telegram Bot API on this machine: it forgives nothing, forgets nothing and answers as documented.

In a test:      async with FakeTelegram() as telegram: ...; telegram.base_url, telegram.token
As a process:   python -m tests.fakes.telegram --port 8081   (control: GET/POST /_control/…, see `telegram_control.py`)

Sentences and status codes are those of the Bot API server (tdlib/telegram-bot-api, Client.cpp) and of TDLib. It never
deduplicates: `deliver_again` hands out an update that was confirmed long ago. Left out on purpose, since a test should
not wait: the three seconds that the real server adds to repeated conflicts and to short polls.
"""

from __future__ import annotations

import asyncio
import itertools
import re
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, Literal, Self, TypeVar

from aiohttp import web

from tests.fakes.telegram_api import BotApi
from tests.fakes.telegram_wire import (
    ApiError,
    Call,
    Chat,
    Json,
    document_json,
    forbidden,
    found_entities,
    hang_up,
    person,
    quoted,
    read_params,
    refusal,
    too_many,
    trickle,
)

TOKEN = "123456789:AAFakeTokenForTestsOnly_0123456789abcd"
MAX_UPLOAD = 50 * 1024 * 1024
T = TypeVar("T")


def button_of(message: Json, label: str) -> Json | None:
    """The button of a message that says `label`, if there is one."""
    rows = message.get("reply_markup", {}).get("inline_keyboard", [])
    return next((button for row in rows for button in row if button["text"] == label), None)


@dataclass
class Fault:
    """What happens to the next `times` calls of `method` ("*": any that names a chat), in `chat_id` only when given.

    answer: `error` (or the raw `status` and `body`), without effect. drop: the connection goes before the body is
    read. cut: the effect happens, the answer never leaves. hold: the effect happens, the answer waits for `gate`.
    delay: everything waits `seconds` first. trickle: an answer that begins and never ends, a space at a time.
    """

    method: str
    kind: Literal["answer", "drop", "cut", "hold", "delay", "trickle"]
    times: int = 1
    chat_id: int | None = None
    error: ApiError | None = None
    status: int = 502
    body: str = ""
    seconds: float = 0
    gate: asyncio.Event = field(default_factory=asyncio.Event)


class FakeTelegram(BotApi):
    """`per_second`: a natural flood limit, messages per second and chat (None: only scripted floods)."""

    def __init__(self, token: str = TOKEN, *, port: int = 0, per_second: int | None = None) -> None:
        super().__init__(token, per_second)
        self.port = port
        self.calls: list[Call] = []
        self._faults: list[Fault] = []
        self._numbers = itertools.count(1)
        self._runner: web.AppRunner | None = None
        self._sending = AsyncExitStack()

    # ------------------------------------------------------------ the process

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        from tests.fakes.telegram_control import control_routes

        app = web.Application(client_max_size=MAX_UPLOAD + 1024 * 1024)
        app.add_routes(control_routes(self))
        app.router.add_route("*", r"/bot{token:[^/]*}/{method}", self._on_api)
        app.router.add_get(r"/file/bot{token:[^/]*}/{path:.+}", self._on_file)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        await site.start()
        self.port = self._runner.addresses[0][1]
        await self._sending.enter_async_context(self.sender.running())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._sending.aclose()
        self._end_poll(None)
        for fault in self._faults:
            fault.gate.set()
        if self._runner is not None:
            await self._runner.cleanup()

    # ------------------------------------------------------------ people

    def add_chat(self, chat_id: int, kind: str = "") -> Chat:
        kind = kind or ("private" if chat_id > 0 else "supergroup" if chat_id <= -(10**12) else "group")
        return self.chats.setdefault(chat_id, Chat(chat_id, kind))

    def user_says(
        self,
        user_id: int,
        text: str,
        *,
        chat_id: int | None = None,
        thread_id: int | None = None,
        reply_to: int | None = None,
        **more: Any,
    ) -> Json:
        """The update that the bot will get. `more`: further fields of the message (caption, document…)."""
        chat = self.add_chat(chat_id or user_id)
        message: Json = {
            "message_id": chat.next_id(),
            "from": person(user_id),
            "chat": chat.as_json(),
            "date": int(time.time()),
        }
        if text:
            message["text"] = text
            if found := found_entities(text):
                message["entities"] = found
        if thread_id is not None:
            chat.threads.add(thread_id)
            message |= {"message_thread_id": thread_id, "is_topic_message": True}
        if reply_to is not None:
            message["reply_to_message"] = quoted(chat.messages[reply_to])
        message |= more
        chat.messages[message["message_id"]] = message
        return self._new_update("message", message)

    def user_edits(self, chat_id: int, message_id: int, text: str = "", **more: Any) -> Json:
        """Without a text: what Telegram sends for a link preview, a reaction… Its entities are found anew."""
        message = self.chats[chat_id].messages[message_id]
        if text:
            message.pop("entities", None)
            found = found_entities(text)
            message |= {"text": text, "edit_date": int(time.time()), **({"entities": found} if found else {})}
        message |= more
        return self._new_update("edited_message", message)

    def user_sends_file(self, user_id: int, name: str, content: bytes, *, caption: str = "") -> Json:
        file_id = self.add_file(content, f"documents/{name}")
        document = document_json(file_id, name, "application/octet-stream", len(content))
        more: Any = {"caption": caption} if caption else {}
        return self.user_says(user_id, "", document=document, **more)

    def presses(self, message: Json, data: str, user_id: int | None = None) -> Json:
        """A press below a message of the bot. A changed client sends any `data`, whatever the buttons carry."""
        query: Json = {
            "id": str(4_000_000_000 + next(self._numbers)),
            "from": person(user_id or message["chat"]["id"]),
            "message": message,
            "chat_instance": str(message["chat"]["id"]),
            "data": data,
        }
        self.callbacks[query["id"]] = {"open": True, "answer": None, "at": time.monotonic()}
        return self._new_update("callback_query", query)

    def injects(self, kind: str, content: Json) -> Json:
        """An update just as it is, well formed or not, whatever the bot said that it wants."""
        if kind == "callback_query" and "id" in content:
            self.callbacks[content["id"]] = {"open": True, "answer": None, "at": time.monotonic()}
        return self._new_update(kind, content, wanted=True)

    def expire(self, callback_query_id: str) -> None:
        """From now on it is too late to answer that press."""
        self.callbacks[callback_query_id]["open"] = False

    def lives_at(self, origin: str, there: str) -> None:
        """From now on the public address `origin` leads to `there` (http://127.0.0.1:…); a text that is no address is
        what goes wrong on the way (telegram_webhook.BAD_CERTIFICATE).
        """
        self.sender.hosts[origin] = there
        self.sender.wake()

    def deliver_again(self, update_id: int) -> None:
        """The next getUpdates, or the webhook, brings that update once more, whatever was confirmed."""
        self._again.append(self._all_updates[update_id])
        self._wake()

    # ------------------------------------------------------------ trouble

    def close_topic(self, chat_id: int, thread_id: int) -> None:
        self.add_chat(chat_id).closed_threads.add(thread_id)

    def block(self, chat_id: int) -> None:
        self.add_chat(chat_id).refusal = forbidden("bot was blocked by the user")

    def refuse(self, chat_id: int, code: int, description: str, **parameters: int) -> None:
        """Every request that names the chat fails so: kicked, deactivated…"""
        self.add_chat(chat_id).refusal = ApiError(code, description, **parameters)

    def migrate(self, chat_id: int, new_id: int) -> None:
        """The group became a supergroup, which exists and works."""
        self.add_chat(new_id, "supergroup")
        self.refuse(
            chat_id,
            400,
            "Bad Request: group chat was upgraded to a supergroup chat",
            migrate_to_chat_id=new_id,
        )

    def flood(self, chat_id: int | None, retry_after: int, times: int = 1, method: str = "*") -> None:
        self._faults.append(Fault(method, "answer", times, chat_id, too_many(retry_after)))

    def fail(self, method: str, code: int, description: str, times: int = 1, chat_id: int | None = None) -> None:
        self._faults.append(Fault(method, "answer", times, chat_id, ApiError(code, description)))

    def garble(self, method: str, status: int = 502, body: str = "<html>Bad Gateway</html>", times: int = 1) -> None:
        """What a proxy says instead of Telegram."""
        self._faults.append(Fault(method, "answer", times, status=status, body=body))

    def drop(self, method: str, times: int = 1) -> None:
        self._faults.append(Fault(method, "drop", times))

    def cut(self, method: str, times: int = 1) -> None:
        self._faults.append(Fault(method, "cut", times))

    def delay(self, method: str, seconds: float, times: int = 1) -> None:
        self._faults.append(Fault(method, "delay", times, seconds=seconds))

    def trickle(self, method: str, times: int = 1) -> None:
        """No time-out between two bytes ever notices this one."""
        self._faults.append(Fault(method, "trickle", times))

    def hold(self, method: str, times: int = 1) -> asyncio.Event:
        """The effect happens at once; the answer leaves when the returned event is set."""
        fault = Fault(method, "hold", times)
        self._faults.append(fault)
        return fault.gate

    # ------------------------------------------------------------ what was received

    def calls_of(self, method: str) -> list[Call]:
        return [call for call in self.calls if call.method == method.lower()]

    def sent(self, chat_id: int | None = None) -> list[Json]:
        """The bot's messages that stand now, in order, as they read now."""
        chats = self.chats.values() if chat_id is None else [self.chats[chat_id]] if chat_id in self.chats else []
        return [m for chat in chats for m in chat.messages.values() if m["from"]["is_bot"]]

    def texts(self, chat_id: int | None = None) -> list[str]:
        return [m.get("text") or m.get("caption", "") for m in self.sent(chat_id)]

    @property
    def unconfirmed(self) -> list[int]:
        """Ids of the updates that the bot has not confirmed yet."""
        return [update["update_id"] for update in self._pending]

    async def wait_until(self, look: Callable[[], T | None], timeout: float = 5.0, what: str = "") -> T:
        """Looks after every change until `look` returns something."""
        async with asyncio.timeout(timeout) as limit:
            try:
                while not (found := look()):
                    changed = self._changed
                    await changed.wait()
            except asyncio.CancelledError:
                if limit.expired():
                    raise AssertionError(
                        f"{what or 'it'} did not happen in {timeout} s; texts: {self.texts()}"
                    ) from None
                raise
        return found

    async def wait_for_message(
        self, predicate: Callable[[Json], bool] | str, timeout: float = 5.0, chat_id: int | None = None
    ) -> Json:
        """The first of the bot's messages that fits (or contains the text), as soon as it reads so."""
        fits = predicate if callable(predicate) else lambda m: predicate in (m.get("text") or m.get("caption", ""))
        return await self.wait_until(
            lambda: next((m for m in self.sent(chat_id) if fits(m)), None),
            timeout,
            f"the message {predicate!r}",
        )

    async def wait_for_call(
        self, method: str, predicate: Callable[[Call], bool] = lambda _: True, timeout: float = 5.0
    ) -> Call:
        """The first call of the method that fits, as soon as it came."""
        return await self.wait_until(
            lambda: next(filter(predicate, self.calls_of(method)), None), timeout, f"a call of {method}"
        )

    async def wait_until_polled(self, timeout: float = 5.0) -> None:
        """Until a getUpdates is waiting."""
        await self.wait_until(lambda: self._poll is not None or None, timeout, "a waiting getUpdates")

    # ------------------------------------------------------------ HTTP

    async def _on_api(self, request: web.Request) -> web.StreamResponse:
        method = request.match_info["method"].lower()
        early = self._take_fault(method, None, {"drop"})
        if early is not None:
            self._record(Call(next(self._numbers), method, {}, {}, time.monotonic(), error="dropped"))
            return hang_up(request)
        params, files = await read_params(request)
        call = Call(next(self._numbers), method, params, files, time.monotonic())
        self._record(call)
        token = request.match_info["token"]
        if token != self.token:
            known_form = re.fullmatch(r"\d+:[\w-]+", token)
            call.error = "Unauthorized" if known_form else "Not Found"
            return refusal(ApiError(401 if known_form else 404, call.error))
        fault = self._take_fault(method, call.chat_id, {"answer", "cut", "hold", "delay", "trickle"})
        if fault is not None and fault.kind == "delay":
            await asyncio.sleep(fault.seconds)
        if fault is not None and fault.kind == "trickle":
            return await trickle(request)
        if fault is not None and fault.kind == "answer":
            call.error = str(fault.error or fault.status)
            self._wake_watchers()
            if fault.error is None:
                return web.Response(status=fault.status, text=fault.body, content_type="text/html")
            return refusal(fault.error)
        response = await self.answer(call)
        self._wake_watchers()
        if fault is not None and fault.kind == "cut":
            return hang_up(request)
        if fault is not None and fault.kind == "hold":
            await fault.gate.wait()
        return response

    async def _on_file(self, request: web.Request) -> web.StreamResponse:
        if request.match_info["token"] != self.token:
            return refusal(ApiError(404, "Not Found"))
        path = request.match_info["path"]
        self._record(Call(next(self._numbers), "file", {"path": path}, {}, time.monotonic()))
        if self._take_fault("file", None, {"drop"}):
            return hang_up(request)
        content = next((content for p, content in self.files.values() if p == path), None)
        if content is None:
            return refusal(ApiError(404, "Not Found"))
        if self._take_fault("file", None, {"cut"}):
            response = web.StreamResponse(headers={"Content-Length": str(len(content))})
            await response.prepare(request)
            await response.write(content[: len(content) // 2])
            return hang_up(request)
        return web.Response(body=content, content_type="application/octet-stream")

    def _take_fault(self, method: str, chat_id: int | None, kinds: set[str]) -> Fault | None:
        for fault in self._faults:
            if fault.times > 0 and fault.kind in kinds and fault.method.lower() in {"*", method}:
                if fault.method == "*" and chat_id is None:
                    continue
                if fault.chat_id is None or fault.chat_id == chat_id:
                    fault.times -= 1
                    return fault
        return None

    def _record(self, call: Call) -> None:
        self.calls.append(call)
        self._wake_watchers()


if __name__ == "__main__":
    from tests.fakes.telegram_control import main

    main()
