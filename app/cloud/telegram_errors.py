"""Telegram's refusals in our error tree.

| python-telegram-bot | ours |
|---|---|
| RequestNotSent, InvalidToken (401, 404: refused at the door) | NotSent: nothing happened, the work stays open |
| RequestUncertain (RequestTimedOut, RequestGarbled: a proxy's page), any other NetworkError (5xx) | Uncertain |
| RetryAfter | Flood: of that chat only |
| ChatMigrated | ChatMoved: who knows the new address may go on there; for everybody else the chat is gone |
| Forbidden; chat or topic not found | ChatGone |
| BadRequest "message is not modified" | NotModified: for an edit that means delivered |
| the rest (bad markup, too long, no rights…) | DeliveryError |
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from datetime import timedelta

from telegram.error import (
    BadRequest,
    ChatMigrated,
    Conflict,
    Forbidden,
    InvalidToken,
    NetworkError,
    RetryAfter,
    TelegramError,
)

from app.cloud.telegram_http import RequestGarbled, RequestNotSent
from app.core import texts
from app.core.errors import ChatGone, DeliveryError, Flood, NotSent, StorageError, Uncertain

_ADDRESS_GONE = (
    "chat not found",
    "group chat was deactivated",
    "user is deactivated",
    "user not found",
    "peer_id_invalid",
    "message thread not found",
    "topic_deleted",
)


class ChatMoved(ChatGone):
    """A group became a supergroup: the same people under another id."""

    def __init__(self, message: str, new_chat_id: int) -> None:
        super().__init__(message)
        self.new_chat_id = new_chat_id


class NotModified(DeliveryError):
    """The message already reads like that."""


@contextmanager
def delivery_errors() -> Generator[None]:
    """What Telegram refuses inside becomes a DeliveryError."""
    try:
        yield
    except TelegramError as error:
        raise delivery_error(error) from error


def delivery_error(error: TelegramError) -> DeliveryError:
    match error:
        case RequestNotSent():
            return NotSent(texts.telegram_unreachable(error.message))
        case InvalidToken():
            return NotSent(texts.TELEGRAM_REJECTS_TOKEN)
        case RetryAfter():
            return _flood(error.retry_after)
        case ChatMigrated():
            return ChatMoved(texts.TELEGRAM_CHAT_MOVED, error.new_chat_id)
        case Forbidden():
            return ChatGone(texts.telegram_chat_gone(error.message))
        case BadRequest():
            return _bad_request(error.message)
        case NetworkError():
            return Uncertain(texts.telegram_uncertain(error.message))
        case _:
            return DeliveryError(texts.telegram_refused(error.message))


def polling_trouble(error: Exception, token_worked: bool) -> str:
    """What the poller's state says of it. Telegram's sentences are in English; the token is in none of them."""
    match error:
        case StorageError():
            return str(error)
        case InvalidToken():
            return texts.TELEGRAM_TOKEN_LOST if token_worked else texts.TELEGRAM_BAD_TOKEN
        case Conflict():
            return texts.TELEGRAM_OTHER_WEBHOOK if "webhook" in error.message.lower() else texts.TELEGRAM_CONFLICT
        case RetryAfter():
            return texts.telegram_pause(seconds_of(error.retry_after))
        case Forbidden() | BadRequest():
            return texts.telegram_refuses_us(error.message)
        case RequestGarbled():
            return texts.TELEGRAM_GARBLED
        case NetworkError():
            return texts.TELEGRAM_UNREACHABLE
        case _:
            return texts.TELEGRAM_BROKEN


def seconds_of(retry_after: timedelta | float) -> float:
    return retry_after.total_seconds() if isinstance(retry_after, timedelta) else float(retry_after)


def _flood(retry_after: timedelta | float) -> Flood:
    seconds = seconds_of(retry_after)
    return Flood(texts.telegram_flood(seconds), seconds)


def _bad_request(message: str) -> DeliveryError:
    lowered = message.lower()
    if lowered.startswith("message is not modified"):
        return NotModified(texts.telegram_refused(message))
    if any(sentence in lowered for sentence in _ADDRESS_GONE):
        return ChatGone(texts.telegram_chat_gone(message))
    return DeliveryError(texts.telegram_refused(message))
