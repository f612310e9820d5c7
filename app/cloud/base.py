"""What the providers share: one streaming call over a connection that the subclass opens."""

from __future__ import annotations

import re
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing
from dataclasses import replace
from math import inf

from loguru import logger

from app.cloud import jsonvalues as js
from app.cloud.failures import Origin
from app.cloud.limits import RateLimits
from app.cloud.streaming import Patience, Progress, ReplyReader, collect, read_reply
from app.config import Settings
from app.core.contracts import ModelRequest, StreamItem
from app.core.errors import ProviderError
from app.core.messages import Message, Reply, as_messages

CONNECT_SECONDS = 10.0  # for TCP and TLS, within the time to the first token
MAX_CONNECTIONS = 200  # calls at the same time to one provider; more wait for a free one
KEEPALIVE_SECONDS = 55.0  # shorter than the usual 60 s of servers and proxies
# An event stream gains little from compression, and proxies hold it back to compress it.
PLAIN = {"Accept-Encoding": "identity"}
_HEADER_TEXT = re.compile(r"[\x20-\x7e]*")  # what a key may consist of


class ModelProvider(ABC):
    """One company's models. `limits`: what its rate-limit headers last said, per model."""

    name: str
    variable: str = ""
    paid: bool = False
    default_window: int = 8192
    gone_seconds: float = inf  # until a model that is said to be gone is asked again

    def __init__(
        self, settings: Settings, models: Sequence[str], secret: str = "", clock: Callable[[], float] = time.time
    ) -> None:
        self.models = tuple(dict.fromkeys(models))
        self.windows: dict[str, int] = {}
        self.limits: dict[str, RateLimits] = {}
        self._secret = secret
        self._clock = clock
        self._first_token_seconds = settings.first_token_seconds
        self._stall_seconds = settings.stall_seconds

    def window(self, model: str) -> int:
        """Tokens (prompt + answer) that `model` takes."""
        return self.windows.get(model, self.default_window)

    def origin(self, model: str) -> Origin:
        return Origin(self.name, model, self.variable, self._secret)

    async def call(
        self, messages: Sequence[Message | Mapping[str, object]], model: str = "", max_tokens: int = 4096
    ) -> Reply:
        """The whole answer to `messages` (Message or plain role/content dictionaries). Raises a ProviderError."""
        request = ModelRequest(as_messages(messages), model=model or self.models[0], max_tokens=max_tokens)
        return await collect(self.stream(request), self.origin(request.model))

    async def stream(self, request: ModelRequest, progress: Progress | None = None) -> AsyncGenerator[StreamItem, None]:
        """Raises a ProviderError; without a StreamEnd nothing of it may be used."""
        request = request if request.model else replace(request, model=self.models[0])
        origin = self.origin(request.model)
        self.check_key(origin)
        try:
            async with aclosing(self._speak(request, progress or Progress())) as items:
                async for item in items:
                    yield item
        except ProviderError:
            raise
        except Exception as error:  # noqa: BLE001  boundary: whatever an SDK makes of a strange address, is its provider's failure
            logger.error("{} {}: {}", origin.provider, origin.model, origin.scrub(f"{type(error).__name__}: {error}"))
            raise origin.unexpected(error) from None

    async def _speak(self, request: ModelRequest, progress: Progress) -> AsyncGenerator[StreamItem, None]:
        async for item in self._exchange(request, self._body(request), progress):
            yield item

    async def _exchange(
        self, request: ModelRequest, body: js.Object, progress: Progress
    ) -> AsyncGenerator[StreamItem, None]:
        origin = self.origin(request.model)
        reader = progress.reader = self._reader(request, origin)
        patience = Patience(self._first_token_seconds, self._stall_seconds, request.max_tokens, origin)
        async with AsyncExitStack() as stack:
            chunks = await patience.opened(stack.enter_async_context(self._connect(body, origin)))
            async for item in read_reply(chunks, reader, patience):
                yield item

    def check_key(self, origin: Origin) -> None:
        """Raises CredentialRejected for a key that cannot even be sent (pasted with a line end, an invisible sign)."""
        if not _HEADER_TEXT.fullmatch(self._secret):
            raise origin.bad_key()

    def note_headers(self, model: str, headers: Mapping[str, str]) -> None:
        if limits := RateLimits.from_headers(headers, self._clock()):
            self.limits[model] = limits

    async def warm_up(self) -> None:  # noqa: B027
        """Loads what the first call needs, off the event loop. May raise anything that an import can."""

    async def known_models(self) -> Mapping[str, int]:
        """The ids that the provider lists, each with its context window in tokens (0: not said).

        Raises a ProviderError.
        """
        return {}

    @abstractmethod
    def _body(self, request: ModelRequest) -> js.Object: ...

    @abstractmethod
    def _reader(self, request: ModelRequest, origin: Origin) -> ReplyReader: ...

    @abstractmethod
    def _connect(self, body: js.Object, origin: Origin) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Sends `body` and gives the answer's bytes. Every failure, while open too, is a ProviderError."""

    @abstractmethod
    async def aclose(self) -> None: ...
