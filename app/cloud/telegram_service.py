"""TelegramService: the bot's life — build, poll, show that it works, stop — when there is a token."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from telegram import Bot

from app.cloud.telegram_bot import BotContext, TelegramPoller
from app.cloud.telegram_channel import TelegramChannel
from app.cloud.telegram_http import AiohttpRequest
from app.config import Settings
from app.core import texts
from app.core.contracts import Channel, LiveEvent
from app.core.events import ReplyTo
from app.core.inbox import Inbox
from app.core.live import LiveHub

_TYPING_SECONDS = 4.5  # Telegram shows 'typing' for five


class TelegramService:
    def __init__(self, settings: Settings) -> None:
        self._allowed = settings.owners
        self._poller: TelegramPoller | None = None
        self._polling: asyncio.Task[None] | None = None
        self._typing: dict[str, asyncio.Task[None]] = {}
        self._requests = (AiohttpRequest(), AiohttpRequest())  # what is sent, and the long poll
        self.bot = _build_bot(settings, *self._requests)
        self.channels: dict[str, Channel] = {"telegram": TelegramChannel(self.bot)} if self.bot else {}

    async def open(self) -> None:
        """From here on answers can be sent; nothing is received before start()."""
        for request in self._requests:
            await request.initialize()

    def start(self, inbox: Inbox, hub: LiveHub) -> None:
        if self.bot is None:
            return
        self._poller = TelegramPoller(BotContext(self.bot, inbox, self._allowed))
        self._polling = asyncio.create_task(self._poller.run(), name="telegram-polling")
        hub.listen(self._on_event)

    @property
    def bot_username(self) -> str:
        return self._poller.username if self._poller else ""

    def state(self) -> tuple[str, bool]:
        """(a Spanish sentence, whether it works)."""
        if self._poller is None:
            return texts.TELEGRAM_OFF, False
        return self._poller.state, self._poller.ready

    async def stop_polling(self) -> None:
        for task in [*self._typing.values(), *([self._polling] if self._polling else [])]:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def close(self) -> None:
        for request in self._requests:
            await request.shutdown()

    def _on_event(self, session_id: str, event: LiveEvent) -> None:
        """While a turn works for a Telegram chat, the chat says 'typing…'."""
        if event.kind == "working" and event.reply_to is not None and event.reply_to.channel == "telegram":
            if session_id not in self._typing:
                self._typing[session_id] = asyncio.create_task(self._keep_typing(event.reply_to))
        elif event.kind == "idle" and (task := self._typing.pop(session_id, None)):
            task.cancel()

    async def _keep_typing(self, place: ReplyTo) -> None:
        channel = self.channels["telegram"]
        while True:
            await channel.working(place)
            await asyncio.sleep(_TYPING_SECONDS)


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
