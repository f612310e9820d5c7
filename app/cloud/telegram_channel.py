"""TelegramChannel: how an answer becomes messages of a Telegram chat."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import cast

from loguru import logger
from telegram import (
    Bot,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    LinkPreviewOptions,
    MessageEntity,
    ReplyParameters,
)
from telegram.constants import ChatAction, MessageLimit
from telegram.error import TelegramError

from app.cloud.telegram_errors import ChatMoved, delivery_error, delivery_errors
from app.cloud.telegram_format import to_parts
from app.core import texts
from app.core.contracts import Choice, Part
from app.core.errors import ChatGone, DeliveryError, Flood, NotSent, StorageError, Uncertain
from app.core.events import ReplyTo

_GONE_SECONDS = 60.0


class TelegramChannel:
    """Implements Channel: a part's payload is its message entities.

    `on_moved(old, new)` hears once of each group that became a supergroup.
    """

    name = "telegram"

    def __init__(self, bot: Bot) -> None:
        self._bot = bot
        self._moved: dict[int, int] = {}
        self._quiet: dict[int, float] = {}  # loop time until which a chat is shown no 'typing…'
        self.on_moved: Callable[[int, int], Awaitable[None]] = _nobody

    def split(self, text: str) -> Sequence[Part]:
        return to_parts(text)

    async def send(self, to: ReplyTo, part: Part, *, choices: Sequence[Choice] = (), repeat: bool = False) -> int:
        """A group that moved is followed once: the refusal says for certain that nothing arrived at the old address."""
        try:
            try:
                return await self._post(self._address(to), part, choices, repeat)
            except ChatMoved as moved:
                await self._follow(to.chat_id, moved.new_chat_id)
                return await self._post(self._address(to), part, choices, repeat)
        except DeliveryError as error:
            self._hush(to.chat_id, error)
            raise

    async def rewrite(self, to: ReplyTo, message_id: int, part: Part, below: str) -> None:
        """One that has become too long only loses its buttons."""
        place = self._address(to)
        text = f"{part.text}\n\n{below}"
        with delivery_errors():
            if len(text.encode("utf-16-le")) // 2 > MessageLimit.MAX_TEXT_LENGTH:
                await self._bot.edit_message_reply_markup(place.chat_id, message_id, reply_markup=None)
                return
            await self._bot.edit_message_text(
                text,
                place.chat_id,
                message_id,
                entities=cast("tuple[MessageEntity, ...]", part.payload or ()),
                link_preview_options=LinkPreviewOptions(is_disabled=True),
            )

    async def reachable(self) -> bool:
        """Whether Telegram answers at all: asked by something that leaves no trace."""
        try:
            await self._bot.get_me()
        except TelegramError as error:
            return not isinstance(delivery_error(error), NotSent | Uncertain)
        return True

    async def working(self, to: ReplyTo) -> None:
        if self._quiet.get(to.chat_id, 0.0) > asyncio.get_running_loop().time():
            return
        self._quiet.pop(to.chat_id, None)
        place = self._address(to)
        try:
            with delivery_errors():
                await self._bot.send_chat_action(place.chat_id, ChatAction.TYPING, message_thread_id=place.thread_id)
        except DeliveryError as error:
            logger.debug("typing not shown: {}", type(error).__name__)
            self._hush(to.chat_id, error)

    async def _post(self, to: ReplyTo, part: Part, choices: Sequence[Choice], repeat: bool) -> int:
        entities = cast("tuple[MessageEntity, ...]", part.payload or ())
        text, reply = part.text, None
        if repeat:
            mark = texts.MAYBE_REPEATED + "\n"
            text, entities = mark + text, tuple(MessageEntity.shift_entities(mark, entities))
            if to.message_id is not None:
                reply = ReplyParameters(to.message_id, allow_sending_without_reply=True)
        with delivery_errors():
            message = await self._bot.send_message(
                to.chat_id,
                text,
                entities=entities,
                message_thread_id=to.thread_id,
                reply_markup=_keyboard(choices),
                reply_parameters=reply,
                link_preview_options=LinkPreviewOptions(is_disabled=True),  # a model-made link must not be fetched
            )
        return message.message_id

    def _address(self, to: ReplyTo) -> ReplyTo:
        new = self._moved.get(to.chat_id)
        return to if new is None else to.model_copy(update={"chat_id": new})

    async def _follow(self, old: int, new: int) -> None:
        logger.info("the group {} is the supergroup {} now", old, new)
        self._moved[old] = new
        try:
            await self.on_moved(old, new)
        except StorageError as error:
            logger.error("the new address of {} cannot be stored: {}", old, error)

    def _hush(self, chat_id: int, error: DeliveryError) -> None:
        """A chat that rests, or is gone, is left alone."""
        seconds = error.retry_after if isinstance(error, Flood) else _GONE_SECONDS if isinstance(error, ChatGone) else 0
        if seconds:
            self._quiet[chat_id] = asyncio.get_running_loop().time() + seconds


async def _nobody(_old: int, _new: int) -> None:
    pass


def _keyboard(choices: Sequence[Choice]) -> InlineKeyboardMarkup | None:
    if not choices:
        return None
    buttons = [InlineKeyboardButton(c.label, callback_data=c.data) for c in choices]
    return InlineKeyboardMarkup([buttons[:2], *([button] for button in buttons[2:])])  # the later ones are long
