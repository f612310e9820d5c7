"""Intake: what becomes of an update, whichever way it came. Poller and webhook acknowledge only what it has taken."""

from __future__ import annotations

import traceback

from loguru import logger

from app.cloud.telegram_bot import BotContext, dispatch
from app.cloud.telegram_updates import Incoming, Quarantine
from app.core import texts
from app.core.errors import StorageError


class Intake:
    def __init__(self, context: BotContext, quarantine: Quarantine) -> None:
        self._context = context
        self._quarantine = quarantine
        self._owner_told = False
        self._refused: set[int] = set()  # chats that have heard of the disk

    async def accept(self, item: Incoming) -> StorageError | None:
        """Returns when the update's line is on disk: only then may it be acknowledged."""
        if item.update is not None:
            try:
                await dispatch(item.update, self._context)
                self._refused.discard(item.chat or 0)
                return None
            except StorageError as error:
                logger.error("update {} cannot be stored: {}", item.id, error)
                self._tell_refused(item.chat)
                return error
            except Exception as error:  # noqa: BLE001  boundary: an update that we cannot handle must not stop others
                place = "".join(traceback.format_tb(error.__traceback__))  # the message might quote the user
                logger.error("update {} cannot be handled: {}\n{}", item.id, type(error).__name__, place)
        return await self._set_aside(item)

    def _tell_refused(self, chat: int | None) -> None:
        """Once an outage, at once and by no line: there is no disk to write it on. The message itself comes again."""
        if chat is not None and chat not in self._refused:
            self._refused.add(chat)
            words = self._context.bot.send_message(chat, texts.DISK_REFUSES)
            self._context.chores.start("tell of the disk", words)

    async def _set_aside(self, item: Incoming) -> StorageError | None:
        if item.sender is not None and not self._context.may_write(item.sender):
            return None  # a stranger's: it leaves no trace
        try:
            await self._quarantine.keep(item)
        except StorageError as error:
            return error
        context = self._context
        if context.owner is not None and not self._owner_told:
            self._owner_told = True
            context.chores.start("tell the owner", context.bot.send_message(context.owner, texts.UPDATE_UNREADABLE))
        return None
