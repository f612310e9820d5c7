"""TelegramPoller: long polling that survives whatever comes, and confirms only what is on disk."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence

from loguru import logger
from telegram.error import Conflict

from app.cloud.telegram_bot import BotContext
from app.cloud.telegram_hook import Address
from app.cloud.telegram_intake import Intake
from app.cloud.telegram_setbacks import Setbacks, growing
from app.cloud.telegram_takeover import Takeover
from app.cloud.telegram_updates import Incoming, Updates
from app.core import texts
from app.core.errors import StorageError

POLL_SECONDS = 50
SILENCE_SECONDS = 3.0 * POLL_SECONDS  # without a sign of life: then it is started again
INSIST_PAUSE = 1.0  # after a conflict, when the owner wants the bot here
LEFT_PAUSE = 600.0  # and when he has left it to the other: only to see whether that one is gone
CROWD_SECONDS = 300.0
_CROWD = 3  # conflicts within CROWD_SECONDS: no restart of our own looks like that


class TelegramPoller:
    """`state` is a Spanish sentence for the dashboard and /estado; `ready` says that the last getUpdates worked."""

    def __init__(
        self, context: BotContext, updates: Updates, intake: Intake, takeover: Takeover, address: Address
    ) -> None:
        self._context = context
        self._updates = updates
        self._intake = intake
        self._takeover = takeover
        self._address = address
        self._offset: int | None = None  # never stored: the first getUpdates has none
        self._ahead: set[int] = set()  # taken, but behind one that could not be stored
        self._setbacks = Setbacks()
        self._conflicts: deque[float] = deque(maxlen=_CROWD + 5)  # loop times
        self.conflicts = 0  # ever
        self.state = texts.TELEGRAM_STARTING
        self.ready = False
        self.due = 0.0

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self._round()
            except Exception as error:  # noqa: BLE001  boundary: nothing that comes or fails may end the polling
                await self._survive(error)

    async def _round(self) -> None:
        """After trouble the first poll is a short one: it tells at once whether it is over."""
        self._alive()
        await self._context.introduce()
        try:
            items = await self._updates.fetch(self._offset, POLL_SECONDS if self.ready else 0)
        except Conflict as conflict:
            await self._settle(conflict)
            return
        self._works()
        await self._take(items)

    def _alive(self, pause: float = 0.0) -> None:
        self.due = asyncio.get_running_loop().time() + pause + SILENCE_SECONDS

    def _works(self) -> None:
        if not self.ready:
            logger.info("Telegram: polling as @{}", self._context.username)
        if not self._crowd():
            self._takeover.gone()
        ready = texts.telegram_ready(self._context.username)
        self.state = texts.TELEGRAM_CONFLICT if self._takeover.rival else ready
        self.ready = True
        self._setbacks.over()
        self._context.show_menu()

    async def _take(self, items: Sequence[Incoming]) -> None:
        """Each by itself, in order. What cannot be stored is not confirmed, and what comes behind it in the same
        chat waits for it; other chats go on. Raises StorageError.
        """
        failed: dict[int | None, StorageError] = {}
        first_failed: int | None = None
        for item in items:
            if item.id in self._ahead:
                continue
            error = failed.get(item.chat) or await self._intake.accept(item)
            self._alive()
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

    async def _settle(self, conflict: Conflict) -> None:
        """A webhook of our own, or one that the owner wants gone, is removed: what waits there comes to us.

        Raises `conflict` as long as somebody else has the bot.
        """
        if "webhook" in conflict.message.lower():
            url = (await self._context.bot.get_webhook_info()).url
            if url and (self._address.is_ours(url) or await self._takeover.may_take(url)):
                logger.info("Telegram: removing the webhook, to poll")
                await self._context.bot.delete_webhook(drop_pending_updates=False)
                return
        else:
            self.conflicts += 1
            self._conflicts.append(asyncio.get_running_loop().time())
            if self._crowd() >= _CROWD:
                await self._takeover.may_take()
        raise conflict

    def _crowd(self) -> int:
        """How many conflicts with another poller there were of late."""
        since = asyncio.get_running_loop().time() - CROWD_SECONDS
        return sum(at > since for at in self._conflicts)

    async def _survive(self, error: Exception) -> None:
        """Says what is wrong, and waits."""
        self.ready = False
        self.state, pause = self._setbacks.meet(error, token_works=bool(self._context.username))
        rival = self._takeover.rival
        if isinstance(error, Conflict) and rival is not None:
            pause = self._conflict_pause(pause)
            self.state = texts.telegram_other_webhook(rival.where) if rival.url else texts.TELEGRAM_CONFLICT
        self._alive(pause)
        await self._takeover.rest(pause)

    def _conflict_pause(self, pause: float) -> float:
        """Each poll of ours ends one of the other's: who does not insist stands back."""
        match self._takeover.choice:
            case True:
                return INSIST_PAUSE
            case False:
                return LEFT_PAUSE
            case None:
                return max(pause, growing(self._crowd()))
