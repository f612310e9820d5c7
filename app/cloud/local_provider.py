"""Any OpenAI-compatible server (Ollama, llama.cpp, LM Studio, vLLM…), spoken to with aiohttp directly."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

import aiohttp

from app.cloud import jsonvalues as js
from app.cloud.base import CONNECT_SECONDS, KEEPALIVE_SECONDS, PLAIN, ModelProvider
from app.cloud.catalogue import decode, fetch_models
from app.cloud.failures import Origin, from_status
from app.cloud.openai_dialect import ChatReader, chat_body
from app.cloud.streaming import Progress, guarded
from app.cloud.transport import MAX_ERROR_BYTES, read_capped
from app.config import Settings
from app.core.contracts import ModelRequest, StreamItem
from app.core.errors import ModelGone, ProviderError

_ANY = "default"
_CONNECTIONS = 20


class LocalProvider(ModelProvider):
    """LOCAL_LLM_MODEL=default means the first model that the server lists."""

    name = "local"
    variable = "LOCAL_LLM_BASE_URL"
    gone_seconds = 60.0  # it may be loaded, or pulled, at any moment

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.time) -> None:
        super().__init__(settings, [settings.local_llm_model], "", clock)
        base = settings.local_llm_base_url or ""
        has_path = "/" in base.partition("://")[2].strip("/")
        self._base_url = base if has_path else f"{base}/v1"
        self._session: aiohttp.ClientSession | None = None
        self._found = ""

    async def known_models(self) -> Mapping[str, int]:
        known = await fetch_models(f"{self._base_url}/models", {}, self.origin(""))
        self._found = next(iter(known), "")
        return known | {_ANY: known[self._found]} if self._found else known

    async def aclose(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _speak(self, request: ModelRequest, progress: Progress) -> AsyncGenerator[StreamItem, None]:
        try:
            async for item in self._exchange(request, await self._named_body(request), progress):
                yield item
        except ModelGone:
            self._found = ""  # the server may serve another by now
            raise

    async def _named_body(self, request: ModelRequest) -> js.Object:
        name = request.model
        if name == _ANY and not self._found:
            with suppress(ProviderError):  # a server without a list may still answer; the call says what is wrong
                await self.known_models()
        return self._body(replace(request, model=self._found or name if name == _ANY else name))

    def _body(self, request: ModelRequest) -> js.Object:
        return chat_body(request, "max_tokens") | {"stream_options": {"include_usage": True}}

    def _reader(self, request: ModelRequest, origin: Origin) -> ChatReader:
        return ChatReader(request, origin)

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS)
            connector = aiohttp.TCPConnector(limit=_CONNECTIONS, keepalive_timeout=KEEPALIVE_SECONDS)
            self._session = aiohttp.ClientSession(connector=connector, timeout=timeout, headers=PLAIN)
        return self._session

    @asynccontextmanager
    async def _connect(self, body: js.Object, origin: Origin) -> AsyncGenerator[AsyncIterator[bytes], None]:
        try:
            response = await self._client().post(
                f"{self._base_url}/chat/completions", data=js.dump(body).encode(),
                headers={"Content-Type": "application/json"},
            )  # fmt: skip
        except (aiohttp.ClientError, OSError):
            raise origin.unreachable() from None
        try:
            if response.status >= 400:
                answer = decode(await read_capped(response.content, MAX_ERROR_BYTES))
                raise from_status(response.status, answer, response.headers, origin)
            self.note_headers(origin.model, response.headers)
            yield guarded(response.content.iter_any(), (aiohttp.ClientError, OSError), origin)
        except (aiohttp.ClientError, OSError):
            raise origin.broken() from None
        finally:
            response.release()  # closes the connection when the answer was not read to its end
