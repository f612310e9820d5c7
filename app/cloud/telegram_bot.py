"""Telegram's way in: long polling, who may write, and each update as a durable line before it is acknowledged."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from loguru import logger
from telegram import Bot, CallbackQuery, Message, Update
from telegram.error import Conflict, InvalidToken, NetworkError, RetryAfter, TelegramError

from app.cloud.delivery import parse_choice
from app.core import texts
from app.core.errors import StorageError
from app.core.events import ReplyTo
from app.core.inbox import Inbox

POLL_SECONDS = 50
FIRST_PAUSE = 1.0  # seconds after a failure; doubles up to a minute
UPDATES = ["message", "callback_query"]
_MOST_STRANGERS = 1_000


@dataclass
class BotContext:
    """What the handlers need. `allowed`: numeric user ids; empty means nobody."""

    bot: Bot
    inbox: Inbox
    allowed: frozenset[int]
    username: str = ""
    strangers: set[int] = field(default_factory=set[int])


async def handle_message(update: Update, context: BotContext) -> None:
    """Appends the message durably and returns; the lane runs load → process_message → save, delivery replies."""
    message = update.effective_message
    if message is None or message.from_user is None or message.from_user.is_bot:
        return
    if message.from_user.id not in context.allowed:
        await _greet_stranger(message, context)
        return
    if message.chat.type != "private" and not _addressed(message, context):
        return
    chat, user = chat_key(message), str(message.from_user.id)
    place = ReplyTo(
        channel="telegram", chat_id=message.chat_id, message_id=message.message_id, thread_id=_thread(message)
    )  # fmt: skip
    text, key = message.text or message.caption or "", f"tg:{update.update_id}"
    if message.text is None and not message.caption:
        await context.inbox.command(chat, "adjunto", "", user, reply_to=place, key=key)
    elif text.startswith("/"):
        name, _, argument = text[1:].partition(" ")
        name = name.partition("@")[0].lower()
        await context.inbox.command(chat, name, argument.strip(), user, reply_to=place, key=key)
    else:
        await context.inbox.message(chat, text, user, reply_to=place, key=key)


async def handle_callback(update: Update, context: BotContext) -> None:
    """A pressed button. The press is a line before Telegram hears of it."""
    query = update.callback_query
    if query is None or query.from_user.id not in context.allowed:
        return
    choice = parse_choice(query.data or "")
    if choice is None:
        return
    session_id, asked, allow = choice
    by, key = str(query.from_user.id), f"tg:{update.update_id}"
    decided = await context.inbox.decision(session_id, asked, "allow" if allow else "deny", by, key)
    await _show_decision(query, texts.decision_taken(allow) if decided else texts.QUESTION_GONE)


class TelegramPoller:
    """`state` is a Spanish sentence for the dashboard and /estado."""

    def __init__(self, context: BotContext, pause: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._context = context
        self._pause = pause
        self.state = texts.TELEGRAM_STARTING
        self.ready = False

    @property
    def username(self) -> str:
        return self._context.username

    async def run(self) -> None:
        """Until cancelled, or until Telegram rejects the token. The first getUpdates carries no offset."""
        offset: int | None = None
        failures = 0
        if not await self._introduce():
            return
        while True:
            try:
                updates = await self._context.bot.get_updates(
                    offset, timeout=POLL_SECONDS, allowed_updates=UPDATES, read_timeout=POLL_SECONDS + 10
                )  # fmt: skip
                self._works()
                failures = 0
            except TelegramError as error:
                failures += 1
                if not await self._survive(error, failures):
                    return
                continue
            for update in updates:
                await self._accept(update)
                offset = update.update_id + 1

    async def _introduce(self) -> bool:
        """getMe until it answers. False when the token is rejected."""
        failures = 0
        while True:
            try:
                self._context.username = (await self._context.bot.get_me()).username or ""
                logger.info("Telegram: polling as @{}", self._context.username)
                self._works()
                await self._context.bot.set_my_commands(list(texts.COMMANDS.items()))  # the menu beside the text field
                return True
            except TelegramError as error:
                failures += 1
                if not await self._survive(error, failures):
                    return False

    def _works(self) -> None:
        self.state, self.ready = texts.telegram_ready(self._context.username), True

    async def _survive(self, error: TelegramError, failures: int) -> bool:
        """Says what is wrong and waits; False when waiting cannot help."""
        self.ready = False
        if isinstance(error, InvalidToken):
            logger.error("Telegram rejects the token")
            self.state = texts.TELEGRAM_BAD_TOKEN
            return False
        if isinstance(error, Conflict):
            self.state = texts.TELEGRAM_CONFLICT
        elif isinstance(error, NetworkError):
            self.state = texts.TELEGRAM_UNREACHABLE
        logger.warning("Telegram: {}: {}", type(error).__name__, error)
        seconds = min(60.0, FIRST_PAUSE * 2.0 ** min(failures - 1, 6))
        await self._pause(_seconds(error) if isinstance(error, RetryAfter) else seconds)
        return True

    async def _accept(self, update: Update) -> None:
        """Returns when the update's line is on disk: only then may the next getUpdates acknowledge it."""
        while True:
            try:
                await dispatch(update, self._context)
                return
            except StorageError as error:
                logger.error("update {} cannot be stored: {}", update.update_id, error)
                self.state = str(error)
                await self._pause(10 * FIRST_PAUSE)
            except Exception:  # noqa: BLE001  boundary: one update that we cannot read must not stop all that follow
                logger.exception("update {} cannot be handled", update.update_id)
                return


async def dispatch(update: Update, context: BotContext) -> None:
    await (handle_callback if update.callback_query else handle_message)(update, context)


def chat_key(message: Message) -> str:
    """telegram_<user> in private; a group, and each topic of it, has its own."""
    if message.chat.type == "private":
        return f"telegram_{message.chat_id}"
    thread = _thread(message)
    return f"telegram_g{abs(message.chat_id)}" + (f"-t{thread}" if thread else "")


def _thread(message: Message) -> int | None:
    return message.message_thread_id if message.is_topic_message else None


def _addressed(message: Message, context: BotContext) -> bool:
    """In a group: a command, a mention of the bot, or a reply to it."""
    text = message.text or message.caption or ""
    if text.startswith("/"):
        _, at, name = text.split()[0].partition("@")
        return not at or name.lower() == context.username.lower()
    replied = message.reply_to_message
    to_bot = replied is not None and replied.from_user is not None and replied.from_user.id == context.bot.id
    return to_bot or f"@{context.username}".lower() in text.lower()


async def _greet_stranger(message: Message, context: BotContext) -> None:
    """One polite line with his numeric id, once; nothing else happens."""
    user = message.from_user
    if user is None or user.id in context.strangers or message.chat.type != "private":
        return
    if len(context.strangers) < _MOST_STRANGERS:
        context.strangers.add(user.id)
        try:
            await context.bot.send_message(message.chat_id, texts.stranger(user.id))
        except TelegramError as error:
            logger.debug("stranger not greeted: {}", type(error).__name__)


async def _show_decision(query: CallbackQuery, text: str) -> None:
    """Best effort: an old query (after a wake) can no longer be answered, and that is no error."""
    for step in (query.answer(text), query.edit_message_reply_markup(None)):
        try:
            await step
        except TelegramError as error:
            logger.debug("button press not confirmed: {}", error.message)


def _seconds(error: RetryAfter) -> float:
    after = error.retry_after
    return after if isinstance(after, int | float) else after.total_seconds()
