"""TelegramService: the bot's life — build, receive by webhook or polling, show that it works, stop — with a token."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from telegram import Bot

from app.cloud.telegram_bot import BotContext
from app.cloud.telegram_channel import TelegramChannel
from app.cloud.telegram_hook import Address, Hook, webhook_base
from app.cloud.telegram_http import AiohttpRequest
from app.cloud.telegram_intake import Intake
from app.cloud.telegram_poller import TelegramPoller
from app.cloud.telegram_reading import group_key
from app.cloud.telegram_takeover import Takeover
from app.cloud.telegram_typing import Typing
from app.cloud.telegram_updates import Quarantine, Updates
from app.cloud.telegram_watch import Receiver, keep_running
from app.cloud.telegram_webhook import WebhookKeeper
from app.config import Settings
from app.core import texts
from app.core.contracts import Channel
from app.core.inbox import Inbox
from app.core.live import LiveHub


class TelegramService:
    """Raises ConfigError when a webhook is wanted and there is no address for it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._base = webhook_base(settings)
        self._requests = (AiohttpRequest(), AiohttpRequest())  # what is sent, and the long poll
        self.bot = _build_bot(settings, *self._requests)
        self._channel = TelegramChannel(self.bot) if self.bot else None
        self.channels: dict[str, Channel] = {"telegram": self._channel} if self._channel else {}
        self.secrets: tuple[str, ...] = ()  # of the webhook's address, once receiving has begun
        self._context: BotContext | None = None
        self._takeover: Takeover | None = None
        self._hook: Hook | None = None
        self._typing: Typing | None = None
        self._receiver: Receiver | None = None
        self._receiving: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """From here on answers can be sent; nothing is received before start()."""
        for request in self._requests:
            await request.initialize()

    def start(self, inbox: Inbox, hub: LiveHub, key: bytes) -> None:
        """`key`: this installation's own, from which the webhook's address is derived."""
        if self.bot is None or self._channel is None:
            return

        async def moved(old: int, new: int) -> None:
            await inbox.moved(group_key(old), group_key(new))

        self._channel.on_moved = moved
        self._typing = Typing(self._channel)
        hub.listen(self._typing.on_event)
        receivers = self._receivers(self.bot, inbox, key)
        self._receiver = receivers[0]
        self._receiving = asyncio.create_task(self._receive(receivers), name="telegram-receiving")

    @property
    def bot_username(self) -> str:
        return self._context.username if self._context else ""

    def state(self) -> tuple[str, bool]:
        """(a Spanish sentence, whether it works)."""
        if self._receiver is None:
            return texts.TELEGRAM_OFF, False
        return self._receiver.state, self._receiver.ready

    async def stop_polling(self) -> None:
        """Never raises, whatever became of the receiving."""
        if self._hook is not None:
            self._hook.closed = True
        if self._receiving is not None:
            self._receiving.cancel()
            await asyncio.wait([self._receiving])
        if self._typing is not None:
            await self._typing.close()
        if self._context is not None:
            await self._context.chores.close()

    async def close(self) -> None:
        for request in self._requests:
            await request.shutdown()

    # ------------------------------------------------------------ for the web room (app/web/telegram_hook.py)

    def knows(self, path: str, secret: str) -> bool:
        """Whether it is Telegram who asks for `path`."""
        return self._hook is not None and self._hook.address.knows(path, secret)

    async def deliver(self, body: bytes) -> int:
        """What Telegram has posted; the HTTP status of the answer."""
        return await self._hook.deliver(body) if self._hook else 404

    @property
    def rival(self) -> str:
        """Who else has the bot now, for people; '' when nobody."""
        rival = self._takeover.rival if self._takeover else None
        return rival.where if rival else ""

    async def decide(self, *, take: bool) -> bool:
        """The owner's word about the rival; False when there is none. Raises StorageError."""
        takeover = self._takeover
        return bool(takeover and takeover.rival and await takeover.decide(takeover.rival.name, take))

    # ------------------------------------------------------------ inside

    def _receivers(self, bot: Bot, inbox: Inbox, key: bytes) -> Sequence[Receiver]:
        """The first one that will do."""
        settings, folder = self._settings, self._settings.data_dir
        context = BotContext(
            bot, inbox, settings.owners, owner=settings.telegram_user_id, guests=frozenset(settings.telegram_guests)
        )
        takeover = Takeover(bot, context.owner, context.chores, folder / "telegram.json")
        context.takeover = takeover
        self._context, self._takeover = context, takeover
        intake = Intake(context, Quarantine(folder / "telegram_unreadable.jsonl"))
        address = Address.derived(self._base, bot.token, key)
        self.secrets = (address.secret, address.name)
        poller = TelegramPoller(context, Updates(bot, self._requests[1]), intake, takeover, address)
        if not self._base:
            return [poller]
        self._hook = Hook(address, context, intake)
        may_poll = settings.telegram_mode == "auto"
        return [WebhookKeeper(context, self._hook, takeover, poller, may_poll=may_poll), poller]

    async def _receive(self, receivers: Sequence[Receiver]) -> None:
        for receiver in receivers:
            self._receiver = receiver
            await keep_running(receiver)


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
