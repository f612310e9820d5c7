"""The methods of the Bot API over the fake's chats and updates. Names, checks and sentences are Telegram's."""

from __future__ import annotations

import asyncio
import json
import re
import time

from aiohttp import web

from tests.fakes import telegram_text
from tests.fakes.telegram_text import TextError
from tests.fakes.telegram_webhook import WebhookSender
from tests.fakes.telegram_wire import (
    ApiError,
    Call,
    Chat,
    Json,
    bad_request,
    document_json,
    parsed,
    quoted,
    refusal,
    reply_markup,
    too_many,
    true,
)

MAX_DOWNLOAD = 20 * 1024 * 1024
CONFLICT = "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running"
CONFLICT_WEBHOOK = (
    "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook to delete the webhook first"
)
NOT_MODIFIED = (
    "message is not modified: specified new message content and reply markup are exactly the same as a current "
    "content and reply markup of the message"
)
ACTIONS = {
    "typing", "upload_photo", "record_video", "upload_video", "record_voice", "upload_voice", "upload_document",
    "choose_sticker", "find_location", "record_video_note", "upload_video_note",
}  # fmt: skip


class BotApi:
    """`per_second`: a natural flood limit, messages per second and chat (None: only scripted floods)."""

    def __init__(self, token: str, per_second: int | None) -> None:
        self.token = token
        self.per_second = per_second
        self.chats: dict[int, Chat] = {}
        self.edits: list[Json] = []
        self.next_update_id = 700_000_001
        self.commands: dict[tuple[str, str], list[Json]] = {}
        self.callbacks: dict[str, Json] = {}
        self.callback_seconds = 60.0  # how long a press can be answered
        self.files: dict[str, tuple[str, bytes]] = {}
        self._pending: list[Json] = []
        self._again: list[Json] = []
        self._all_updates: dict[int, Json] = {}
        self._allowed: list[str] = []
        self.sender = WebhookSender(self._pending, self._again, self._wake_watchers)
        self._poll: asyncio.Future[ApiError | None] | None = None
        self._changed = asyncio.Event()

    def add_file(self, content: bytes, path: str = "documents/file_1.bin") -> str:
        file_id = f"BQACAgQAAxkBAAI{len(self.files) + 1:06d}"
        self.files[file_id] = (path, content)
        return file_id

    @property
    def webhook(self) -> Json:
        """{} without one."""
        return self.sender.hook

    @webhook.setter
    def webhook(self, hook: Json) -> None:
        self.sender.set(hook)

    async def answer(self, call: Call) -> web.Response:
        handler = getattr(self, f"_api_{call.method}", None)
        try:
            if handler is None:
                raise ApiError(404, "Not Found: method not found")
            try:
                call.result = await handler(call)
            except TextError as error:
                raise bad_request(str(error)) from None
        except ApiError as error:
            call.error = error.description
            return refusal(error)
        return web.json_response({"ok": True, "result": call.result})

    def _wake_watchers(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    # ------------------------------------------------------------ updates

    def _new_update(self, kind: str, content: Json, *, wanted: bool = False) -> Json:
        """The one door of every update; while `self.webhook` has an address they only wait here."""
        update = {"update_id": self.next_update_id, kind: json.loads(json.dumps(content))}
        self.next_update_id += 1
        self._all_updates[update["update_id"]] = update
        if wanted or not self._allowed or kind in self._allowed:
            self._pending.append(update)
        self._wake()
        return update

    def _wake(self) -> None:
        self.sender.wake()
        self._end_poll(None)
        self._wake_watchers()

    def _end_poll(self, verdict: ApiError | None) -> None:
        poll, self._poll = self._poll, None
        if poll is not None and not poll.done():
            poll.set_result(verdict)

    async def _api_getupdates(self, call: Call) -> list[Json]:
        if self.webhook:
            raise ApiError(409, CONFLICT_WEBHOOK)
        offset = int(call.params.get("offset") or 0)
        limit = min(max(int(call.params.get("limit") or 100), 1), 100)
        wait = min(max(float(call.params.get("timeout") or 0), 0), 50)
        if "allowed_updates" in call.params:
            self._allowed = parsed(call.params["allowed_updates"], list)
        if offset < 0:
            self._pending[:] = self._pending[offset:]
        else:
            self._pending[:] = [u for u in self._pending if u["update_id"] >= offset]
        if not self._pending and not self._again and wait > 0:
            await self._wait_for_update(wait)
        again = list(self._again)
        self._again.clear()
        return (again + self._pending)[:limit]

    async def _wait_for_update(self, seconds: float) -> None:
        self._end_poll(ApiError(409, CONFLICT))
        poll: asyncio.Future[ApiError | None] = asyncio.get_running_loop().create_future()
        self._poll = poll
        self._wake_watchers()
        await asyncio.wait([poll], timeout=seconds)
        if self._poll is poll:
            self._poll = None
        if poll.done() and (verdict := poll.result()) is not None:
            raise verdict

    async def _api_setwebhook(self, call: Call) -> bool:
        url = str(call.params.get("url") or "")
        if not url:
            return await self._api_deletewebhook(call)
        self.sender.check(url)
        secret = str(call.params.get("secret_token") or "")
        if not re.fullmatch(r"[\w-]{0,256}", secret, re.ASCII):
            raise bad_request("secret token contains unallowed characters")
        self._end_poll(ApiError(409, "Conflict: terminated by setWebhook request"))
        if true(call.params.get("drop_pending_updates")):
            self._pending.clear()
        if "allowed_updates" in call.params:
            self._allowed = parsed(call.params["allowed_updates"], list)
        connections = int(call.params.get("max_connections") or 40)
        if not 1 <= connections <= 100:
            connections = 40
        self.webhook = {"url": url, "secret_token": secret, "max_connections": connections}
        return True

    async def _api_deletewebhook(self, call: Call) -> bool:
        if true(call.params.get("drop_pending_updates")):
            self._pending.clear()
        self.webhook = {}
        return True

    async def _api_getwebhookinfo(self, _call: Call) -> Json:
        info: Json = {"url": self.webhook.get("url", ""), "has_custom_certificate": False}
        info["pending_update_count"] = len(self._pending)
        if self.webhook:
            info |= {"max_connections": self.webhook["max_connections"], "ip_address": "203.0.113.7"}
        if self.sender.last_error is not None:
            info["last_error_date"], info["last_error_message"] = self.sender.last_error
        return info | ({"allowed_updates": self._allowed} if self._allowed else {})

    # ------------------------------------------------------------ messages

    def _chat(self, call: Call) -> Chat:
        if not str(call.params.get("chat_id", "")):
            raise bad_request("chat_id is empty")
        chat = self.chats.get(call.chat_id or 0)
        if chat is None:
            raise bad_request("chat not found")
        if chat.refusal is not None:
            raise chat.refusal
        thread = int(call.params.get("message_thread_id") or 0)
        if thread and thread not in chat.threads:
            raise bad_request("message thread not found")
        if thread in chat.closed_threads:
            raise bad_request("TOPIC_CLOSED")
        return chat

    def _natural_limit(self, chat: Chat) -> None:
        now = time.monotonic()
        chat.sent_at = [at for at in chat.sent_at if now - at < 1.0]
        if self.per_second is not None and len(chat.sent_at) >= self.per_second:
            raise too_many(1)
        chat.sent_at.append(now)

    def _text(self, call: Call, *, name: str = "text", entities: str = "entities") -> tuple[str, list[Json]]:
        text = str(call.params.get(name) or "")
        caption = name == "caption"
        if not text:
            if caption:
                return "", []
            raise bad_request("message text is empty")
        return telegram_text.formatted(
            text,
            str(call.params.get("parse_mode") or ""),
            parsed(call.params.get(entities) or "[]", list),
            telegram_text.MAX_CAPTION if caption else telegram_text.MAX_TEXT,
            "message caption" if caption else "message",
        )

    def _post(self, call: Call, chat: Chat, content: Json) -> Json:
        """Puts a message of the bot into the chat."""
        markup = reply_markup(call.params.get("reply_markup"))
        reply = parsed(call.params.get("reply_parameters") or "{}", dict)
        self._natural_limit(chat)
        message: Json = {
            "message_id": 0, "from": self._me(), "chat": chat.as_json(), "date": int(time.time()), **content,
        }  # fmt: skip
        if "message_id" in reply:
            target = chat.messages.get(int(reply["message_id"]))
            if target is not None:
                message["reply_to_message"] = quoted(target)
            elif not reply.get("allow_sending_without_reply"):
                raise bad_request("message to be replied not found")
        if call.params.get("message_thread_id"):
            message |= {"message_thread_id": int(call.params["message_thread_id"]), "is_topic_message": True}
        if markup:
            message["reply_markup"] = markup
        message["message_id"] = chat.next_id()
        chat.messages[message["message_id"]] = message
        return message

    def _own_message(self, call: Call, chat: Chat, purpose: str) -> Json:
        if not call.params.get("message_id"):
            raise bad_request("message identifier is not specified")
        message = chat.messages.get(int(call.params["message_id"]))
        if message is None:
            raise bad_request(f"message to {purpose} not found")
        if purpose == "edit" and not message["from"]["is_bot"]:
            raise bad_request("message can't be edited")
        return message

    async def _api_sendmessage(self, call: Call) -> Json:
        text, entities = self._text(call)
        chat = self._chat(call)
        return self._post(call, chat, {"text": text, **({"entities": entities} if entities else {})})

    async def _api_editmessagetext(self, call: Call) -> Json:
        text, entities = self._text(call)
        chat = self._chat(call)
        message = self._own_message(call, chat, "edit")
        markup = reply_markup(call.params.get("reply_markup"))
        return self._edit(chat, message, {"text": text, "entities": entities, "reply_markup": markup})

    async def _api_editmessagereplymarkup(self, call: Call) -> Json:
        chat = self._chat(call)
        message = self._own_message(call, chat, "edit")
        return self._edit(chat, message, {"reply_markup": reply_markup(call.params.get("reply_markup"))})

    def _edit(self, chat: Chat, message: Json, new: Json) -> Json:
        old = {name: message.get(name) or type(value)() for name, value in new.items()}
        if old == new:
            raise bad_request(NOT_MODIFIED)
        self._natural_limit(chat)
        place = {"chat_id": chat.id, "message_id": message["message_id"]}
        self.edits.append(place | {"before": old, "after": new})
        for name, value in new.items():
            message.pop(name, None)
            if value:
                message[name] = value
        message["edit_date"] = int(time.time())
        return message

    async def _api_deletemessage(self, call: Call) -> bool:
        chat = self._chat(call)
        message = self._own_message(call, chat, "delete")
        del chat.messages[message["message_id"]]
        return True

    async def _api_sendmessagedraft(self, call: Call) -> bool:
        """A preview in a private chat: it leaves no message. https://core.telegram.org/bots/api#sendmessagedraft"""
        chat = self._chat(call)
        if chat.kind != "private":
            raise bad_request("method is available only in private chats")
        draft_id = int(call.params.get("draft_id") or 0)
        if draft_id == 0:
            raise bad_request("draft_id must be non-zero")
        chat.drafts[draft_id] = self._text(call)[0] if call.params.get("text") else ""
        return True

    async def _api_sendchataction(self, call: Call) -> bool:
        self._chat(call)
        if call.params.get("action") not in ACTIONS:
            raise bad_request("wrong parameter action in request")
        return True

    async def _api_senddocument(self, call: Call) -> Json:
        text, entities = self._text(call, name="caption", entities="caption_entities")
        chat = self._chat(call)
        source = str(call.params.get("document") or "")
        upload = call.files.get(source.removeprefix("attach://") or "document")
        if upload is not None:
            if not upload.content:
                raise bad_request("file must be non-empty")
            file_id = self.add_file(upload.content, f"documents/{upload.filename}")
            document = document_json(file_id, upload.filename, upload.content_type, len(upload.content))
        elif source in self.files:
            path, content = self.files[source]
            document = document_json(source, path.rpartition("/")[2], "application/octet-stream", len(content))
        elif source:
            raise bad_request("wrong file identifier/HTTP URL specified")
        else:
            raise bad_request("there is no document in the request")
        content = {"document": document}
        if text:
            content |= {"caption": text, **({"caption_entities": entities} if entities else {})}
        return self._post(call, chat, content)

    async def _api_answercallbackquery(self, call: Call) -> bool:
        callback = self.callbacks.get(str(call.params.get("callback_query_id")))
        if callback is None or not callback["open"] or time.monotonic() - callback["at"] > self.callback_seconds:
            raise bad_request("query is too old and response timeout expired or query ID is invalid")
        if telegram_text.utf16_len(str(call.params.get("text") or "")) > 200:
            raise bad_request("MESSAGE_TOO_LONG")
        callback["answer"] = str(call.params.get("text") or "")
        return True

    # ------------------------------------------------------------ the rest

    def _me(self) -> Json:
        bot_id = int(self.token.partition(":")[0])
        return {"id": bot_id, "is_bot": True, "first_name": "Nanobot", "username": "nanobot_test_bot"}

    async def _api_getme(self, _call: Call) -> Json:
        return self._me() | {
            "can_join_groups": True, "can_read_all_group_messages": False, "supports_inline_queries": False,
        }  # fmt: skip

    async def _api_getfile(self, call: Call) -> Json:
        file_id = str(call.params.get("file_id") or "")
        if file_id not in self.files:
            raise bad_request("invalid file_id")
        path, content = self.files[file_id]
        if len(content) > MAX_DOWNLOAD:
            raise bad_request("file is too big")
        return {
            "file_id": file_id,
            "file_unique_id": file_id[-8:],
            "file_size": len(content),
            "file_path": path,
        }

    async def _api_setmycommands(self, call: Call) -> bool:
        commands = parsed(call.params.get("commands") or "[]", list)
        if len(commands) > 100:
            raise bad_request("BOT_COMMANDS_TOO_MUCH")
        for command in commands:
            if not re.fullmatch(r"[a-z0-9_]{1,32}", command.get("command", "").removeprefix("/")):
                raise bad_request("BOT_COMMAND_INVALID")
            if not 1 <= len(command.get("description", "")) <= 256:
                raise bad_request("BOT_COMMAND_DESCRIPTION_INVALID")
        self.commands[self._scope(call)] = commands
        return True

    async def _api_getmycommands(self, call: Call) -> list[Json]:
        return self.commands.get(self._scope(call), [])

    async def _api_deletemycommands(self, call: Call) -> bool:
        self.commands.pop(self._scope(call), None)
        return True

    def _scope(self, call: Call) -> tuple[str, str]:
        scope = parsed(call.params.get("scope") or '{"type": "default"}', dict)
        return json.dumps(scope, sort_keys=True), str(call.params.get("language_code") or "")
