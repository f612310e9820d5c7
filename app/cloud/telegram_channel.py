"""TelegramChannel: how an answer becomes messages of a Telegram chat."""

from __future__ import annotations

from collections.abc import Sequence
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
from telegram.constants import ChatAction
from telegram.error import TelegramError

from app.cloud.telegram_errors import delivery_error
from app.cloud.telegram_format import to_parts
from app.core import texts
from app.core.contracts import Choice, Part
from app.core.events import ReplyTo


class TelegramChannel:
    """Implements Channel: a part's payload is its message entities."""

    name = "telegram"

    def __init__(self, bot: Bot) -> None:
        self._bot = bot

    def split(self, text: str) -> Sequence[Part]:
        return to_parts(text)

    async def send(self, to: ReplyTo, part: Part, *, choices: Sequence[Choice] = (), repeat: bool = False) -> int:
        entities = cast("tuple[MessageEntity, ...]", part.payload or ())
        text = part.text
        if repeat:
            mark = texts.MAYBE_REPEATED + "\n"
            text, entities = mark + text, tuple(MessageEntity.shift_entities(mark, entities))
        answered = repeat and to.message_id is not None
        try:
            message = await self._bot.send_message(
                to.chat_id,
                text,
                entities=entities,
                message_thread_id=to.thread_id,
                reply_markup=_keyboard(choices),
                reply_parameters=ReplyParameters(to.message_id, allow_sending_without_reply=True)
                if answered and to.message_id is not None
                else None,
                link_preview_options=LinkPreviewOptions(is_disabled=True),  # a model-made link must not be fetched
            )
        except TelegramError as error:
            raise delivery_error(error) from error
        return message.message_id

    async def working(self, to: ReplyTo) -> None:
        try:
            await self._bot.send_chat_action(to.chat_id, ChatAction.TYPING, message_thread_id=to.thread_id)
        except TelegramError as error:
            logger.debug("typing not shown: {}", type(error).__name__)


def _keyboard(choices: Sequence[Choice]) -> InlineKeyboardMarkup | None:
    if not choices:
        return None
    return InlineKeyboardMarkup([[InlineKeyboardButton(c.label, callback_data=c.data) for c in choices]])
