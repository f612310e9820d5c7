"""WebhookKeeper: sees to it that Telegram delivers to us, and goes on doing so."""

from __future__ import annotations

import asyncio

from loguru import logger
from telegram import WebhookInfo
from telegram.error import BadRequest

from app.cloud.telegram_bot import BotContext
from app.cloud.telegram_hook import Hook
from app.cloud.telegram_poller import SILENCE_SECONDS, TelegramPoller
from app.cloud.telegram_setbacks import Setbacks
from app.cloud.telegram_takeover import Takeover
from app.cloud.telegram_updates import WANTED
from app.core import texts

CHECK_SECONDS = 600.0
FIRST_CHECK_SECONDS = 15.0  # after it was set; doubles up to CHECK_SECONDS
RIVAL_SECONDS = 60.0  # while somebody else has the bot
ALONE_SECONDS = 15.0  # of polling, to learn whether somebody else polls


class WebhookKeeper:
    """`may_poll`: when Telegram refuses our address, run() returns and polling takes over."""

    def __init__(
        self, context: BotContext, hook: Hook, takeover: Takeover, poller: TelegramPoller, *, may_poll: bool
    ) -> None:
        self._context = context
        self._hook = hook
        self._takeover = takeover
        self._poller = poller
        self._may_poll = may_poll
        self._setbacks = Setbacks()
        self._state = texts.TELEGRAM_STARTING
        self._ready = False
        self._is_set = False
        self._looking = False  # the poller receives
        self._last_error = 0.0  # UNIX time of the last failed delivery that Telegram told of
        self._wait = FIRST_CHECK_SECONDS
        self.due = 0.0

    @property
    def state(self) -> str:
        return self._poller.state if self._looking else str(self._hook.trouble or self._state)

    @property
    def ready(self) -> bool:
        return self._poller.ready if self._looking else self._ready and self._hook.trouble is None

    async def run(self) -> None:
        """Until cancelled; returns when it is better to poll."""
        while True:
            self._alive(ALONE_SECONDS)
            try:
                wait = await self._round()
            except Exception as error:  # noqa: BLE001  boundary: nothing that fails may end the receiving
                if isinstance(error, BadRequest) and self._may_poll:
                    logger.warning("Telegram refuses our address ({}): polling instead", error.message)
                    return
                wait = self._survive(error)
            self._alive(wait)
            await self._takeover.rest(wait)

    async def _round(self) -> float:
        """Seconds until the next."""
        await self._context.introduce()
        info = await self._context.bot.get_webhook_info()
        if not info.url:
            if not await self._is_alone():
                self._tell(texts.TELEGRAM_CONFLICT, ready=False)
                return RIVAL_SECONDS
            info = await self._context.bot.get_webhook_info()  # that took its time
        foreign = info.url and not self._hook.address.is_ours(info.url)
        if foreign and not await self._takeover.may_take(info.url):
            rival = self._takeover.rival
            self._tell(texts.telegram_other_webhook(rival.where if rival else ""), ready=False)
            return RIVAL_SECONDS
        if self._must_set(info):
            await self._set()
        self._takeover.gone()
        self._setbacks.over()
        self._judge(info)
        wait, self._wait = self._wait, min(self._wait * 2, CHECK_SECONDS)
        return wait

    async def _is_alone(self) -> bool:
        """Without a webhook somebody else may be polling, and would show himself. What comes meanwhile is taken in."""
        before, self._looking = self._poller.conflicts, True
        try:
            async with asyncio.timeout(ALONE_SECONDS):
                await self._poller.run()
        except TimeoutError:
            pass
        finally:
            self._looking = False
        return self._poller.conflicts == before or self._takeover.choice is True

    def _must_set(self, info: WebhookInfo) -> bool:
        """The secret is not told, so the first time it is set in any case; and again after every new failure."""
        failed = _failed_at(info)
        is_new, self._last_error = failed > self._last_error, failed
        as_wanted = info.url == self._hook.address.url and set(info.allowed_updates) == set(WANTED)
        return not self._is_set or is_new or not as_wanted or info.max_connections != 1

    async def _set(self) -> None:
        address = self._hook.address
        await self._context.bot.set_webhook(
            address.url,
            allowed_updates=WANTED,
            max_connections=1,  # one after the other, in their order
            drop_pending_updates=False,
            secret_token=address.secret,
        )
        logger.info("Telegram: the webhook is set")
        self._is_set = True
        self._wait = FIRST_CHECK_SECONDS
        self._context.show_menu()

    def _judge(self, info: WebhookInfo) -> None:
        """A failure counts until something has come through after it."""
        waiting = info.pending_update_count
        if _failed_at(info) > self._hook.heard and waiting:
            detail = info.last_error_message or ""
            logger.warning("Telegram cannot deliver: {} ({} waiting)", detail, waiting)
            self._tell(texts.telegram_webhook_failing(detail, waiting), ready=False)
        else:
            self._tell(texts.telegram_webhook_ready(self._context.username), ready=True)

    def _survive(self, error: Exception) -> float:
        state, pause = self._setbacks.meet(error, token_works=bool(self._context.username))
        if isinstance(error, BadRequest):
            state = texts.telegram_webhook_refused(error.message)
        self._tell(state, ready=False)
        return pause

    def _tell(self, state: str, *, ready: bool) -> None:
        self._state, self._ready = state, ready

    def _alive(self, seconds: float) -> None:
        self.due = asyncio.get_running_loop().time() + seconds + SILENCE_SECONDS


def _failed_at(info: WebhookInfo) -> float:
    return info.last_error_date.timestamp() if info.last_error_date else 0.0
