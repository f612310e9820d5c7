"""TelegramService: the bot's life — build, poll, show that it works, stop — when there is a token."""

from __future__ import annotations

import asyncio

from loguru import logger
from telegram import Bot

from app.cloud.telegram_bot import BotContext
from app.cloud.telegram_channel import TelegramChannel
from app.cloud.telegram_http import AiohttpRequest
from app.cloud.telegram_poller import TelegramPoller
from app.cloud.telegram_reading import group_key
from app.cloud.telegram_typing import Typing
from app.cloud.telegram_updates import Quarantine, Updates
from app.config import Settings
from app.core import texts
from app.core.contracts import Channel
from app.core.inbox import Inbox
from app.core.live import LiveHub

_RESTART_SECONDS = 1.0


class TelegramService:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._requests = (AiohttpRequest(), AiohttpRequest())  # what is sent, and the long poll
        self.bot = _build_bot(settings, *self._requests)
        self._channel = TelegramChannel(self.bot) if self.bot else None
        self.channels: dict[str, Channel] = {"telegram": self._channel} if self._channel else {}
        self._context: BotContext | None = None
        self._typing: Typing | None = None
        self._poller: TelegramPoller | None = None
        self._polling: asyncio.Task[None] | None = None
        self._leaving = False

    async def open(self) -> None:
        """From here on answers can be sent; nothing is received before start()."""
        for request in self._requests:
            await request.initialize()

    def start(self, inbox: Inbox, hub: LiveHub) -> None:
        if self.bot is None or self._channel is None:
            return

        async def moved(old: int, new: int) -> None:
            await inbox.moved(group_key(old), group_key(new))

        settings = self._settings
        self._channel.on_moved = moved
        self._typing = Typing(self._channel)
        hub.listen(self._typing.on_event)
        self._context = BotContext(self.bot, inbox, settings.owners, owner=settings.telegram_user_id)
        self._poller = TelegramPoller(
            self._context,
            Updates(self.bot, self._requests[1]),
            Quarantine(settings.data_dir / "telegram_unreadable.jsonl"),
        )
        self._poll(self._poller)

    @property
    def bot_username(self) -> str:
        return self._poller.username if self._poller else ""

    def state(self) -> tuple[str, bool]:
        """(a Spanish sentence, whether it works)."""
        if self._poller is None:
            return texts.TELEGRAM_OFF, False
        return self._poller.state, self._poller.ready

    async def stop_polling(self) -> None:
        """Never raises, whatever became of the polling."""
        self._leaving = True
        if self._polling is not None:
            self._polling.cancel()
            await asyncio.wait([self._polling])
        if self._typing is not None:
            await self._typing.close()
        if self._context is not None:
            await self._context.chores.close()

    async def close(self) -> None:
        for request in self._requests:
            await request.shutdown()

    def _poll(self, poller: TelegramPoller) -> None:
        """The poller survives all it can foresee; if it ends nevertheless, it begins again where it was."""
        if self._leaving:
            return

        def ended(task: asyncio.Task[None]) -> None:
            error = None if task.cancelled() else task.exception()
            if self._leaving:
                return
            logger.error("Telegram: the polling ended ({}); it begins again", type(error).__name__)
            asyncio.get_running_loop().call_later(_RESTART_SECONDS, self._poll, poller)

        self._polling = asyncio.create_task(poller.run(), name="telegram-polling")
        self._polling.add_done_callback(ended)


def _build_bot(settings: Settings, request: AiohttpRequest, polling: AiohttpRequest) -> Bot | None:
    if settings.telegram_token is None:
        return None
    base = settings.telegram_api_base_url
    return Bot(
        settings.telegram_token.get_secret_value(),
        base_url=f"{base}/bot",
        base_file_url=f"{base}/file/bot",
        request=request,
        get_updates_request=polling,
    )
