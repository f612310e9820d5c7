"""Groq through its official SDK on the aiohttp transport. Only this module knows httpx.

The SDK's own post() keeps authentication, URLs and errors; asking it for the raw response skips its walk over
every message and schema (the largest cost of a call) and leaves the event stream to our reader.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import aiohttp

from app.cloud import jsonvalues as js
from app.cloud.base import CONNECT_SECONDS, KEEPALIVE_SECONDS, MAX_CONNECTIONS, PLAIN, ModelProvider
from app.cloud.catalogue import fetch_models
from app.cloud.failures import Origin, from_status
from app.cloud.openai_dialect import ChatReader, chat_body
from app.cloud.streaming import guarded
from app.cloud.transport import cap_errors
from app.config import Settings
from app.core.contracts import ModelRequest

if TYPE_CHECKING:
    from groq import AsyncGroq

_PATH = "/openai/v1/chat/completions"


class GroqProvider(ModelProvider):
    name = "groq"
    variable = "GROQ_API_KEY"
    default_window = 131_072

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.time) -> None:
        secret = settings.groq_api_key.get_secret_value() if settings.groq_api_key else ""
        super().__init__(settings, [settings.groq_model, *settings.groq_fallback_models], secret, clock)
        self._base_url = settings.groq_base_url
        self._client: AsyncGroq | None = None
        self._building = asyncio.Lock()

    async def warm_up(self) -> None:
        await self._sdk()

    async def known_models(self) -> Mapping[str, int]:
        origin = self.origin("")
        self.check_key(origin)
        headers = {"Authorization": f"Bearer {self._secret}"}
        return await fetch_models(f"{self._base_url}/openai/v1/models", headers, origin)

    async def aclose(self) -> None:
        if self._client is not None:
            await self._client.close()
            self._client = None

    async def _sdk(self) -> AsyncGroq:
        async with self._building:
            if self._client is None:
                self._client = await asyncio.to_thread(self._build)  # the import takes a third of a second
            return self._client

    def _build(self) -> AsyncGroq:
        import groq
        import httpx

        limits = httpx.Limits(max_connections=MAX_CONNECTIONS, keepalive_expiry=KEEPALIVE_SECONDS)
        timeout = httpx.Timeout(None, connect=CONNECT_SECONDS)  # waiting for tokens is Patience's business
        hooks = {"response": [cap_errors(httpx.AsyncByteStream)]}
        return groq.AsyncGroq(
            api_key=self._secret, base_url=self._base_url, max_retries=0, timeout=timeout, default_headers=PLAIN,
            http_client=groq.DefaultAioHttpClient(limits=limits, timeout=timeout, event_hooks=hooks),
        )  # fmt: skip

    def _body(self, request: ModelRequest) -> js.Object:
        return chat_body(request, "max_completion_tokens")

    def _reader(self, request: ModelRequest, origin: Origin) -> ChatReader:
        return ChatReader(request, origin)

    @asynccontextmanager
    async def _connect(self, body: js.Object, origin: Origin) -> AsyncGenerator[AsyncIterator[bytes], None]:
        client = await self._sdk()
        import groq
        import httpx

        try:
            response = await client.post(
                _PATH, body=body, cast_to=httpx.Response, stream=True, stream_cls=groq.AsyncStream[object]
            )
        except groq.APIStatusError as error:
            self.note_headers(origin.model, error.response.headers)
            raise from_status(error.status_code, error.body, error.response.headers, origin) from None
        except (groq.APIConnectionError, httpx.HTTPError):
            raise origin.unreachable() from None
        assert isinstance(response, httpx.Response)
        self.note_headers(origin.model, response.headers)
        try:
            yield guarded(response.aiter_bytes(), (httpx.HTTPError, aiohttp.ClientError, OSError), origin)
        finally:
            await response.aclose()
