"""TelegramPoller: long polling that survives whatever comes, and confirms only what is on disk."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Awaitable, Callable, Sequence

from loguru import logger
from telegram.error import InvalidToken, RetryAfter

from app.cloud.telegram_bot import BotContext, dispatch
from app.cloud.telegram_errors import polling_trouble, seconds_of
from app.cloud.telegram_updates import Incoming, Quarantine, Updates
from app.core import texts
from app.core.errors import StorageError

POLL_SECONDS = 50
FIRST_PAUSE = 1.0  # seconds after a failure; doubles up to a minute
STORAGE_PAUSE = 3.0  # the other chats wait it out as well
TOKEN_PAUSE = 300.0  # a token that never worked: it needs somebody
LOST_TOKEN_PAUSE = 60.0  # one that did work: Telegram itself answers 401 and 404 in its bad hours


class TelegramPoller:
    """`state` is a Spanish sentence for the dashboard and /estado; `ready` says that the last getUpdates worked."""

    def __init__(
        self,
        context: BotContext,
        updates: Updates,
        quarantine: Quarantine,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._context = context
        self._updates = updates
        self._quarantine = quarantine
        self._pause = pause
        self._offset: int | None = None  # never stored: the first getUpdates has none
        self._ahead: set[int] = set()  # taken, but behind one that could not be stored
        self._failures = 0
        self._introduced = False
        self._token_told = False
        self._owner_told = False
        self._menu_shown = False
        self.state = texts.TELEGRAM_STARTING
        self.ready = False

    @property
    def username(self) -> str:
        return self._context.username

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self._round()
            except Exception as error:  # noqa: BLE001  boundary: nothing that comes or fails may end the polling
                await self._survive(error)

    async def _round(self) -> None:
        """After trouble the first poll is a short one: it tells at once whether it is over."""
        if not self._introduced:
            self._context.username = (await self._context.bot.get_me()).username or ""
            self._introduced = True
        items = await self._updates.fetch(self._offset, POLL_SECONDS if self.ready else 0)
        self._works()
        await self._take(items)

    def _works(self) -> None:
        if not self.ready:
            logger.info("Telegram: polling as @{}", self._context.username)
        self.state, self.ready, self._failures = texts.telegram_ready(self._context.username), True, 0
        self._token_told = False
        if not self._menu_shown:
            self._menu_shown = True
            menu = self._context.bot.set_my_commands(list(texts.COMMANDS.items()))  # beside the text field
            self._context.chores.start("set the menu", menu)

    async def _take(self, items: Sequence[Incoming]) -> None:
        """Each by itself, in order. What cannot be stored is not confirmed, and what comes behind it in the same
        chat waits for it; other chats go on. Raises StorageError.
        """
        failed: dict[int | None, StorageError] = {}
        first_failed: int | None = None
        for item in items:
            if item.id in self._ahead:
                continue
            error = failed.get(item.chat) or await self._accept(item)
            if error is None:
                self._ahead.add(item.id)
                continue
            failed.setdefault(item.chat, error)
            first_failed = item.id if first_failed is None else first_failed
        if first_failed is not None:
            self._offset = first_failed
            raise next(iter(failed.values()))
        if items:
            self._offset = items[-1].id + 1
        self._ahead.clear()

    async def _accept(self, item: Incoming) -> StorageError | None:
        """Returns when the update's line is on disk: only then may a getUpdates confirm it."""
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

    async def _survive(self, error: Exception) -> None:
        """Says what is wrong, and waits."""
        self._failures += 1
        self.ready = False
        self.state = polling_trouble(error, self._introduced)
        self._log(error)
        await self._pause(self._seconds(error))

    def _seconds(self, error: Exception) -> float:
        match error:
            case StorageError():
                return STORAGE_PAUSE
            case InvalidToken():
                return LOST_TOKEN_PAUSE if self._introduced else TOKEN_PAUSE
            case RetryAfter():
                return seconds_of(error.retry_after)
            case _:
                return min(60.0, FIRST_PAUSE * 2.0 ** min(self._failures - 1, 6))

    def _log(self, error: Exception) -> None:
        if not isinstance(error, InvalidToken):
            logger.warning("Telegram: {}: {}", type(error).__name__, error)
        elif not self._token_told:
            self._token_told = True
            logger.error("Telegram rejects the token; trying again from time to time")
