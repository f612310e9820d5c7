"""The sending side of a webhook, as in the Bot API server (tdlib/telegram-bot-api, WebhookActor.cpp).

Updates of one chat wait for each other, those of different chats do not; presses have a queue of their own for each
user. At most `max_connections` requests at a time. Only a 2xx confirms. A failed one comes again: at once, then after
2, 4, 8… `retry_second`s (a minute at most), or when `Retry-After` says. What failed last stays in getWebhookInfo
until the webhook is changed. Left out on purpose: updates expire after 24 hours, and a webhook that answers 410 for
long is closed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from tests.fakes.telegram_wire import Json, bad_request

PORTS = (None, 80, 88, 443, 8443)
BAD_CERTIFICATE = "SSL error {error:0A000086:SSL routines::certificate verify failed}"
LONGEST_RETRY = 60.0


@dataclass
class Delivery:
    """One request to the bot's server. `status`: 0 when there was no answer."""

    url: str
    headers: dict[str, str]
    update: Json
    status: int = 0
    error: str = ""
    at: float = field(default_factory=time.monotonic)


@dataclass
class _Retry:
    failures: int = 0
    delay: float = 1.0
    at: float = 0.0


@dataclass
class WebhookSender:
    """`hosts`: where a public origin really is, the fake's DNS; a text that is no address is the error of its TLS."""

    pending: list[Json]
    again: list[Json]
    on_change: Callable[[], None]
    hosts: dict[str, str] = field(default_factory=dict[str, str])
    retry_second: float = 1.0
    read_seconds: float = 60.0
    deliveries: list[Delivery] = field(default_factory=list[Delivery])
    last_error: tuple[int, str] | None = None
    hook: Json = field(default_factory=dict[str, Any])
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _retries: dict[int, _Retry] = field(default_factory=dict[int, _Retry])
    _under_way: dict[int, asyncio.Task[None]] = field(default_factory=dict[int, asyncio.Task[None]])

    def check(self, url: str) -> None:
        """What setWebhook refuses."""
        parts = urlsplit(url)
        if parts.scheme != "https":
            raise bad_request("bad webhook: An HTTPS URL must be provided for webhook")
        if parts.port not in PORTS:
            raise bad_request("bad webhook: Webhook can be set up only on ports 80, 88, 443 or 8443")
        if _origin(url) not in self.hosts:
            raise bad_request("bad webhook: Failed to resolve host: Name or service not known")

    def set(self, hook: Json) -> None:
        """Nothing happens, not even to the last error, when it is as it was."""
        if hook != self.hook:
            self.hook, self.last_error = hook, None
            self._retries.clear()
        self.wake()

    def wake(self) -> None:
        self._changed.set()

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=self.read_seconds)) as http:
            task = asyncio.create_task(self._run(http))
            try:
                yield
            finally:
                tasks = [task, *self._under_way.values()]
                for each in tasks:
                    each.cancel()
                await asyncio.wait(tasks)

    async def _run(self, http: aiohttp.ClientSession) -> None:
        while True:
            self._changed.clear()
            wait = self._begin(http)
            try:
                async with asyncio.timeout(wait):
                    await self._changed.wait()
            except TimeoutError:
                pass

    def _begin(self, http: aiohttp.ClientSession) -> float | None:
        """Starts what may start; seconds until the next may."""
        now, seen = time.monotonic(), set[object]()
        waits: list[float] = []
        for update in [*self.again, *self.pending] if self.hook else []:
            queue = queue_of(update)
            number = update["update_id"]
            if queue in seen or number in self._under_way:
                seen.add(queue)
                continue
            seen.add(queue)
            ready_at = self._retries.get(number, _Retry()).at
            if ready_at > now:
                waits.append(ready_at - now)
            elif len(self._under_way) < self.hook["max_connections"]:
                self._under_way[number] = asyncio.create_task(self._send(http, self.hook, update))
        return min(waits, default=None)

    async def _send(self, http: aiohttp.ClientSession, hook: Json, update: Json) -> None:
        headers = {"Content-Type": "application/json", "Host": urlsplit(hook["url"]).netloc}
        if hook["secret_token"]:
            headers["X-Telegram-Bot-Api-Secret-Token"] = hook["secret_token"]
        delivery = Delivery(hook["url"], headers, update)
        self.deliveries.append(delivery)
        retry_after = 0.0
        try:
            retry_after = await self._post(http, delivery)
        finally:
            del self._under_way[update["update_id"]]
        if hook is self.hook:  # else its answer no longer interests anybody
            self._settle(delivery, retry_after)
        self.wake()
        self.on_change()

    async def _post(self, http: aiohttp.ClientSession, delivery: Delivery) -> float:
        """Fills in how it went; seconds of Retry-After."""
        origin = _origin(delivery.url)
        there = self.hosts.get(origin, "Connection refused")
        if not there.startswith("http://"):
            delivery.error = there
            return 0.0
        url = there + delivery.url.removeprefix(origin)
        try:
            async with http.post(url, json=delivery.update, headers=delivery.headers) as response:
                delivery.status = response.status
                await response.read()
                if not 200 <= response.status < 300:
                    delivery.error = f"Wrong response from the webhook: {response.status} {response.reason}"
                return _seconds(response.headers)
        except aiohttp.ClientConnectorError:
            delivery.error = "Connection refused"
        except TimeoutError:
            delivery.error = "Read timeout expired"
        except aiohttp.ClientError:
            delivery.error = "Webhook connection closed"
        return 0.0

    def _settle(self, delivery: Delivery, retry_after: float) -> None:
        update = delivery.update
        if not delivery.error:
            for waiting in (self.again, self.pending):
                if update in waiting:
                    waiting.remove(update)
                    break
            self._retries.pop(update["update_id"], None)
            return
        self.last_error = (int(time.time()), delivery.error)
        retry = self._retries.setdefault(update["update_id"], _Retry())
        pause = retry_after
        if not retry_after and retry.failures:
            retry.delay = min(LONGEST_RETRY, retry.delay * 2)
            pause = retry.delay
        retry.failures += 1
        retry.at = time.monotonic() + pause * self.retry_second


def queue_of(update: Json) -> object:
    for kind in ("message", "edited_message"):
        if "chat" in update.get(kind, {}):
            return update[kind]["chat"]["id"]
    if "from" in update.get("callback_query", {}):
        return "press", update["callback_query"]["from"]["id"]
    return "other", update["update_id"]


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _seconds(headers: Mapping[str, str]) -> float:
    value = headers.get("Retry-After", "")
    return min(3600.0, float(value)) if value.isdecimal() else 0.0
