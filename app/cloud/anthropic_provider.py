"""Claude through Anthropic's official SDK on the aiohttp transport. Only this module knows httpx2.

As with Groq, the SDK's post() gives the raw response: see groq_provider.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import aiohttp

from app.cloud import jsonvalues as js
from app.cloud.anthropic_dialect import PROVIDER, MessageReader, messages_body, replayable
from app.cloud.base import CONNECT_SECONDS, KEEPALIVE_SECONDS, MAX_CONNECTIONS, PLAIN, ModelProvider
from app.cloud.catalogue import fetch_json, fetch_models
from app.cloud.failures import Origin, from_status
from app.cloud.streaming import Progress, guarded
from app.cloud.transport import cap_errors
from app.config import Settings
from app.core.contracts import ModelRequest, StreamItem
from app.core.errors import ModelGone, RequestRefused
from app.core.usage import load_prices

if TYPE_CHECKING:
    from anthropic import AsyncAnthropic

_PATH = "/v1/messages"
_VERSION = "2023-06-01"


class AnthropicProvider(ModelProvider):
    """`default_window` is what we use of it: today's models take more, but prompts over 100K tokens cost Haiku's
    users five times as much (genai-prices).
    """

    name = PROVIDER
    variable = "ANTHROPIC_API_KEY"
    paid = True
    default_window = 100_000

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.time) -> None:
        secret = settings.anthropic_api_key.get_secret_value() if settings.anthropic_api_key else ""
        super().__init__(settings, [settings.anthropic_model, *settings.anthropic_fallback_models], secret, clock)
        self._base_url = settings.anthropic_base_url
        self._client: AsyncAnthropic | None = None
        self._building = asyncio.Lock()

    async def warm_up(self) -> None:
        await load_prices()
        await self._sdk()

    def window(self, model: str) -> int:
        return min(super().window(model), self.default_window)

    async def known_models(self) -> Mapping[str, int]:
        origin = self.origin("")
        self.check_key(origin)
        headers = {"x-api-key": self._secret, "anthropic-version": _VERSION}
        known = await fetch_models(f"{self._base_url}/v1/models?limit=1000", headers, origin)
        for model in (m for m in self.models if known and m not in known):  # an alias is not listed, but answers
            try:
                await fetch_json(f"{self._base_url}/v1/models/{model}", headers, replace(origin, model=model))
            except ModelGone:
                continue
            known[model] = 0
        return known

    async def aclose(self) -> None:
        if self._client is not None:
            await self._client.close()
            self._client = None

    async def _speak(self, request: ModelRequest, progress: Progress) -> AsyncGenerator[StreamItem, None]:
        await load_prices()
        try:
            async for item in super()._speak(request, progress):
                yield item
            return
        except RequestRefused as error:
            # thinking from another account, or whose prefix has changed after all: do without it
            if "thinking" not in str(error) or not replayable(request):
                raise
        async for item in self._exchange(request, messages_body(request, replay=False), progress):
            yield item

    async def _sdk(self) -> AsyncAnthropic:
        async with self._building:
            if self._client is None:
                self._client = await asyncio.to_thread(self._build)  # the import takes more than a second
            return self._client

    def _build(self) -> AsyncAnthropic:
        import anthropic
        import httpx2

        limits = httpx2.Limits(max_connections=MAX_CONNECTIONS, keepalive_expiry=KEEPALIVE_SECONDS)
        timeout = httpx2.Timeout(None, connect=CONNECT_SECONDS)  # waiting for tokens is Patience's business
        hooks = {"response": [cap_errors(httpx2.AsyncByteStream)]}
        return anthropic.AsyncAnthropic(
            api_key=self._secret, base_url=self._base_url, max_retries=0, timeout=timeout, default_headers=PLAIN,
            http_client=anthropic.DefaultAioHttpClient(limits=limits, timeout=timeout, event_hooks=hooks),
        )  # fmt: skip

    def _body(self, request: ModelRequest) -> js.Object:
        return messages_body(request)

    def _reader(self, request: ModelRequest, origin: Origin) -> MessageReader:
        return MessageReader(origin, request.tools)

    @asynccontextmanager
    async def _connect(self, body: js.Object, origin: Origin) -> AsyncGenerator[AsyncIterator[bytes], None]:
        client = await self._sdk()
        import anthropic
        import httpx2

        try:
            response = await client.post(
                _PATH, body=body, cast_to=httpx2.Response, stream=True, stream_cls=anthropic.AsyncStream[object]
            )
        except anthropic.APIStatusError as error:
            raise from_status(error.status_code, error.body, error.response.headers, origin) from None
        except (anthropic.APIConnectionError, httpx2.HTTPError):
            raise origin.unreachable() from None
        assert isinstance(response, httpx2.Response)
        try:
            yield guarded(response.aiter_bytes(), (httpx2.HTTPError, aiohttp.ClientError, OSError), origin)
        finally:
            await response.aclose()
