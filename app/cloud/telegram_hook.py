"""The webhook's receiving end: an address that nobody can guess, and what Telegram posts to it."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

from app.cloud.telegram_bot import BotContext
from app.cloud.telegram_intake import Intake
from app.cloud.telegram_updates import read_update
from app.config import Settings
from app.core import texts
from app.core.errors import ConfigError, StorageError

_FOLDER = "/telegram/"
_PORTS = (None, 443, 80, 88, 8443)  # https://core.telegram.org/bots/api#setwebhook


def webhook_base(settings: Settings) -> str:
    """The public address at which Telegram shall deliver; '' when we poll. Raises ConfigError."""
    url = settings.public_url or ""
    parts = urlsplit(url)
    fits = parts.scheme == "https" and parts.port in _PORTS
    if settings.telegram_mode == "webhook" and not fits:
        raise ConfigError(texts.WEBHOOK_NEEDS_URL)
    return url if fits and settings.telegram_mode != "polling" else ""


@dataclass(frozen=True)
class Address:
    """The same after every restart, as long as DATA_DIR keeps its key. `base` is '' when we have no address."""

    base: str
    name: str
    secret: str

    @classmethod
    def derived(cls, base: str, token: str, key: bytes) -> Address:
        def mark(purpose: str) -> str:
            return hmac.new(key, f"telegram.{purpose} {token}".encode(), hashlib.sha256).hexdigest()

        return cls(base, mark("path")[:32], mark("secret"))

    @property
    def url(self) -> str:
        return f"{self.base}{_FOLDER}{self.name}"

    def is_ours(self, url: str) -> bool:
        """It carries our name (set when this installation had another address), or it leads here: its key was lost."""
        return _last(url) == self.name or bool(self.base and url.startswith(self.base + _FOLDER))

    def knows(self, path: str, secret: str) -> bool:
        """Compared in constant time, and both always. Whatever a proxy puts before our path does not matter."""
        name_fits = hmac.compare_digest(_last(path).encode(), self.name.encode())
        return hmac.compare_digest(secret.encode(), self.secret.encode()) and name_fits


class Hook:
    """`heard`: UNIX time of the last update taken in. `trouble`: why the last one was not."""

    def __init__(self, address: Address, context: BotContext, intake: Intake) -> None:
        self.address = address
        self.heard = time.time()
        self.trouble: StorageError | None = None
        self.closed = False
        self._context = context
        self._intake = intake
        self._one_at_a_time = asyncio.Lock()  # a repeated delivery must not be answered before the first is on disk

    async def deliver(self, body: bytes) -> int:
        """The HTTP status of the answer: 200 once the update is on disk, 503 when it shall come again."""
        try:
            item = read_update(json.loads(body), self._context.bot)
        except (ValueError, RecursionError):
            item = None
        if item is None:
            return 400
        async with self._one_at_a_time:
            if self.closed or not self._context.username:  # groups cannot be judged before we know our own name
                return 503
            self.trouble = await self._intake.accept(item)
        if self.trouble is not None:
            return 503
        self.heard = time.time()
        return 200


def _last(path: str) -> str:
    return path.rpartition("/")[2]
