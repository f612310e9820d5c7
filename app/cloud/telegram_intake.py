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

    async def accept(self, item: Incoming) -> StorageError | None:
        """Returns when the update's line is on disk: only then may it be acknowledged."""
        if item.update is not None:
            try:
                await dispatch(item.update, self._context)
                return None
            except StorageError as error:
                logger.error("update {} cannot be stored: {}", item.id, error)
                return error
            except Exception as error:  # noqa: BLE001  boundary: an update that we cannot handle must not stop others
                place = "".join(traceback.format_tb(error.__traceback__))  # the message might quote the user
                logger.error("update {} cannot be handled: {}\n{}", item.id, type(error).__name__, place)
        return await self._set_aside(item)

    async def _set_aside(self, item: Incoming) -> StorageError | None:
        try:
            await self._quarantine.keep(item)
        except StorageError as error:
            return error
        context = self._context
        if context.owner is not None and not self._owner_told:
            self._owner_told = True
            context.chores.start("tell the owner", context.bot.send_message(context.owner, texts.UPDATE_UNREADABLE))
        return None
