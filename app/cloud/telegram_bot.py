"""Telegram's way in: who may write, and each update as a durable line before it is acknowledged."""

from __future__ import annotations

from dataclasses import dataclass, field

from loguru import logger
from telegram import Bot, CallbackQuery, LinkPreviewOptions, Message, MessageEntity, Update
from telegram.error import TelegramError

from app.cloud.question_buttons import parse_choice
from app.cloud.telegram_chores import Chores
from app.cloud.telegram_reading import (
    chat_key,
    command_of,
    group_key,
    is_addressed,
    is_service,
    model_text,
    place_of,
    sender_of,
    wording,
)
from app.cloud.telegram_takeover import Takeover, parse_takeover
from app.cloud.undo_buttons import parse_undo
from app.core import texts, texts_undo
from app.core.inbox import Inbox, Press
from app.core.roles import person_of

_MOST_STRANGERS = 1_000
_OURS = frozenset({MessageEntity.BOLD, MessageEntity.ITALIC, MessageEntity.CODE, MessageEntity.PRE})


@dataclass
class BotContext:
    """What the handlers need. `allowed`, and `guests` with little: numeric user ids; empty means nobody.

    `owner`: who is told of trouble.
    """

    bot: Bot
    inbox: Inbox
    allowed: frozenset[int]
    username: str = ""
    owner: int | None = None
    guests: frozenset[int] = frozenset()
    chores: Chores = field(default_factory=Chores)
    takeover: Takeover | None = None
    strangers: set[int] = field(default_factory=set[int])
    menu_shown: bool = False

    @property
    def number(self) -> int:
        """The bot's own, as a user; its token begins with it."""
        number = self.bot.token.partition(":")[0]
        return int(number) if number.isdecimal() else 0

    def may_write(self, user: int) -> bool:
        return user in self.allowed or user in self.guests

    def chat_of(self, message: Message) -> str:
        user = sender_of(message)
        return chat_key(message, user if user in self.guests else None)

    async def introduce(self) -> None:
        """Learns who the bot is, the first time. Raises TelegramError."""
        if not self.username:
            self.username = (await self.bot.get_me()).username or ""

    def show_menu(self) -> None:
        """Beside the text field, once."""
        if not self.menu_shown:
            self.menu_shown = True
            self.chores.start("set the menu", self.bot.set_my_commands(list(texts.COMMANDS.items())))


async def dispatch(update: Update, context: BotContext) -> None:
    """Whatever is none of these (channel posts, business messages) is passed over."""
    if update.callback_query is not None:
        await handle_callback(update, context)
    elif update.message is not None:
        await handle_message(update, context)
    elif update.edited_message is not None:
        await handle_edit(update, context)


async def handle_message(update: Update, context: BotContext) -> None:
    """Appends the message durably and returns; the lane runs load → process_message → save, delivery replies."""
    message = update.message
    sender = sender_of(message)
    if message is None or sender is None:
        return
    if not context.may_write(sender):
        _greet_stranger(message, context)
        return
    if message.migrate_to_chat_id is not None:
        await context.inbox.moved(group_key(message.chat_id), group_key(message.migrate_to_chat_id))
    if is_service(message):
        return
    if _is_for_us(message, context):
        await _take_in(message, f"tg:{update.update_id}", context)


async def handle_edit(update: Update, context: BotContext) -> None:
    """Only words can be answered anew: a live location or a caption-less photo has none."""
    message = update.edited_message
    sender = sender_of(message)
    if message is None or sender is None or not context.may_write(sender):
        return
    if not (message.text or message.caption) or not _is_for_us(message, context):
        return
    chat, user, place, key = context.chat_of(message), _user(message), place_of(message), f"tg:{update.update_id}"
    name, argument = command_of(message) or ("", "")
    if name and not (name == "nuevo" and argument):
        await context.inbox.edited_command(chat, name, argument, user, reply_to=place, key=key)
    else:
        text = argument if name else model_text(message, context.number)
        mark = wording(message, argument or message.text or message.caption or "")
        await context.inbox.edited(chat, text, user, reply_to=place, key=key, wording=mark)


def _is_for_us(message: Message, context: BotContext) -> bool:
    return message.chat.type == "private" or is_addressed(message, context.bot.id, context.username)


async def _take_in(message: Message, key: str, context: BotContext) -> None:
    chat, user, place = context.chat_of(message), _user(message), place_of(message)
    if command := command_of(message):
        await _command(message, command, key, context)
    elif words := message.text or message.caption:
        mark = wording(message, words)
        await context.inbox.message(
            chat, model_text(message, context.number), user, reply_to=place, key=key, wording=mark
        )
    else:
        album = message.media_group_id  # many messages, one answer
        key = f"tg:album:{album}" if album else key
        await context.inbox.command(chat, "adjunto", "", user, reply_to=place, key=key)


async def _command(message: Message, command: tuple[str, str], key: str, context: BotContext) -> None:
    """What stands behind /nuevo is the first message of the new conversation."""
    chat, user, place = context.chat_of(message), _user(message), place_of(message)
    name, argument = command
    opening = argument if name == "nuevo" else ""
    await context.inbox.command(chat, name, "" if opening else argument, user, reply_to=place, key=key)
    if opening:
        mark = wording(message, opening)
        await context.inbox.message(chat, opening, user, reply_to=place, key=f"{key}:opening", wording=mark)


async def handle_callback(update: Update, context: BotContext) -> None:
    """A pressed button. The press is a line before Telegram hears of it; every press is answered."""
    query = update.callback_query
    if query is None:
        return
    if query.from_user.is_bot or not context.may_write(query.from_user.id):
        context.chores.start("answer a stranger's press", query.answer())
        return
    if wish := parse_takeover(query.data or ""):
        await _take_over(query, *wish, context)
        return
    if button := parse_undo(query.data or ""):
        await _undo(query, *button, f"tg:{update.update_id}", context)
        return
    await _decide(query, f"tg:{update.update_id}", context)


async def _decide(query: CallbackQuery, key: str, context: BotContext) -> None:
    """A button below a question."""
    choice, chat_id = parse_choice(query.data or ""), _pressed_in(query)
    if query.from_user.id in context.guests and (choice is None or not _is_his_own(choice[0], query.from_user.id)):
        context.chores.start("answer a guest's press", query.answer(texts.NOT_YOUR_QUESTION))
        return  # its buttons stay for whom they are for
    said, trace = texts.QUESTION_GONE, ""
    if choice is not None and chat_id is not None:
        (session_id, asked, pressed), by = choice, str(query.from_user.id)
        if pressed == "why":
            if await context.inbox.ask_why(session_id, asked, by, chat_id):  # the buttons stay until he has said it
                context.chores.start("confirm a press", query.answer(texts.decision_taken(pressed)))
                return
        elif await context.inbox.decision(session_id, asked, pressed, by, key, chat_id):
            always = pressed == "always"
            said = texts.decision_taken(pressed)
            trace = texts.verdict("allow" if always else pressed, always=always)
    context.chores.start("confirm a press", _confirm(query, context.bot, said, trace))


async def _undo(query: CallbackQuery, session_id: str, seq: int, yes: bool, key: str, context: BotContext) -> None:
    """The press is a command in the log; its answer is a message of its own."""
    chat_id = _pressed_in(query)
    press = Press(yes, str(query.from_user.id), key, chat_id)
    known = chat_id is not None and await context.inbox.undo_pressed(session_id, seq, press)
    context.chores.start(
        "confirm a press", _confirm(query, context.bot, texts_undo.PRESSED if known else texts.QUESTION_GONE, "")
    )


def _is_his_own(session_id: str, user: int) -> bool:
    return person_of(session_id) == str(user)


async def _take_over(query: CallbackQuery, name: str, take: bool, context: BotContext) -> None:
    """Only the owner decides where the bot lives; his decision is on disk before Telegram hears of the press."""
    decides = context.takeover is not None and query.from_user.id == context.owner
    known = decides and context.takeover is not None and await context.takeover.decide(name, take)
    said = texts.takeover_decided(take) if known else texts.QUESTION_GONE
    context.chores.start("confirm a press", _confirm(query, context.bot, said, said if known else ""))


def _pressed_in(query: CallbackQuery) -> int | None:
    """The chat whose questions this press can answer: in a private chat only its owner presses."""
    if query.message is None:
        return None
    chat = query.message.chat
    return None if chat.type == "private" and chat.id != query.from_user.id else chat.id


async def _confirm(query: CallbackQuery, bot: Bot, said: str, trace: str) -> None:
    """Best effort: an old query (after a wake) can no longer be answered, and that is no error."""
    try:
        await query.answer(said)
    except TelegramError as error:
        logger.debug("press not answered: {}", error.message)
    message = query.message
    if message is None:
        return
    if trace and isinstance(message, Message) and await _leave_trace(message, bot, trace):
        return
    await bot.edit_message_reply_markup(message.chat.id, message.message_id, reply_markup=None)


async def _leave_trace(message: Message, bot: Bot, trace: str) -> bool:
    """The question stays, with what was decided below it instead of the buttons."""
    if not message.text:
        return False
    try:
        await bot.edit_message_text(
            f"{message.text}\n\n{trace}",
            message.chat.id,
            message.message_id,
            entities=[e for e in message.entities if e.type in _OURS],
            link_preview_options=LinkPreviewOptions(is_disabled=True),
        )
    except TelegramError as error:
        logger.debug("decision not shown: {}", error.message)
        return False
    return True


def _user(message: Message) -> str:
    return str(message.from_user.id) if message.from_user else ""


def _greet_stranger(message: Message, context: BotContext) -> None:
    """One polite line with his numeric id, once; nothing else happens."""
    user = message.from_user
    if user is None or user.id in context.strangers or message.chat.type != "private":
        return
    if len(context.strangers) < _MOST_STRANGERS:
        context.strangers.add(user.id)
        greeting = context.bot.send_message(message.chat_id, texts.stranger(user.id))
        context.chores.start("greet a stranger", greeting)
