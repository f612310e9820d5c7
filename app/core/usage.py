"""Tokens are estimated from a text's length and corrected by what providers report; prices are genai-prices'."""

from __future__ import annotations

import asyncio
import importlib
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from datetime import date, datetime
from math import ceil
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from loguru import logger
from pydantic_core import to_json

from app.core.messages import Message, Usage

if TYPE_CHECKING:
    from app.core.contracts import ModelRequest, ToolSchema

# UTF-8 bytes per token: a little low for prose, about right for code and JSON, so that estimates err upwards.
BYTES_PER_TOKEN = 3.5
MESSAGE_TOKENS = 4
TOOL_TOKENS = 8
# What a paid model that genai-prices does not know is taken to cost, in dollars per million tokens (in, out):
# the price of a large model, so that a budget stops too early rather than too late.
UNKNOWN_PRICE = (5.0, 25.0)


def count_text(text: str) -> int:
    return count_size(len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass")))


def count_size(size: int) -> int:
    """Tokens of a text of `size` bytes."""
    return ceil(size / BYTES_PER_TOKEN)


def count_message(message: Message) -> int:
    calls = sum(count_text(call.name) + count_text(call.arguments) + MESSAGE_TOKENS for call in message.tool_calls)
    return MESSAGE_TOKENS + count_text(message.content) + calls


def count_tool(tool: ToolSchema) -> int:
    schema = to_json(tool.parameters, fallback=str).decode()
    return TOOL_TOKENS + count_text(tool.name) + count_text(tool.description) + count_text(schema)


def count_request(request: ModelRequest) -> int:
    """The raw estimate of a whole prompt, before any model's correction."""
    tools = sum(map(count_tool, request.tools))
    return MESSAGE_TOKENS + count_text(request.system) + tools + sum(map(count_message, request.messages))


class TokenMeter:
    """Learns per model how its tokenizer compares with the raw estimate."""

    _LOWEST, _HIGHEST, _WEIGHT = 0.4, 3.0, 0.3

    def __init__(self) -> None:
        self._ratios: dict[str, float] = {}

    def estimate(self, model: str, raw: int) -> int:
        return ceil(raw * self._ratios.get(model, 1.0))

    def learn(self, model: str, raw: int, reported: int) -> None:
        """`raw`: count_request() of the prompt; `reported`: its tokens as the provider counted them."""
        if raw <= 0 or reported <= 0:
            return
        seen = min(max(reported / raw, self._LOWEST), self._HIGHEST)
        known = self._ratios.get(model, seen)
        self._ratios[model] = known + self._WEIGHT * (seen - known)


async def load_prices() -> None:
    """The first import takes about 0.1 s: await this before price() on an event loop."""
    if "genai_prices" not in sys.modules:
        await asyncio.to_thread(importlib.import_module, "genai_prices")


def price(provider: str, model: str, usage: Usage, cache_writes: int = 0) -> float:
    """US dollars. `usage.input` includes `usage.cached` and `cache_writes` (tokens). Local models cost nothing."""
    if provider == "local":
        return 0.0
    import genai_prices

    counts = genai_prices.Usage(
        input_tokens=usage.input,
        output_tokens=usage.output,
        cache_read_tokens=usage.cached,
        cache_write_tokens=cache_writes,
    )
    try:
        return float(genai_prices.calc_price(counts, model, provider_id=provider).total_price)
    except (LookupError, ValueError) as error:
        logger.warning("no price for {} {}: {}", provider, model, error)
        dollars_in, dollars_out = UNKNOWN_PRICE
        return (usage.input * dollars_in + usage.output * dollars_out) / 1_000_000


class Ledger:
    """Dollars spent today, in the owner's time zone. It forgets at midnight and keeps nothing on disk.

    What calls under way will probably cost is reserved, so that many at the same time see each other.
    """

    def __init__(self, timezone: str, clock: Callable[[], float] = time.time) -> None:
        self._zone = ZoneInfo(timezone)
        self._clock = clock
        self._day = self._date()
        self._usd: defaultdict[str, float] = defaultdict(float)  # by user; '' are all of them together
        self._reserved: defaultdict[str, float] = defaultdict(float)

    def add(self, usage: Usage, user: str = "") -> None:
        self.today()  # not to yesterday's
        for name in {"", user}:
            self._usd[name] += usage.usd

    def today(self, user: str = "") -> float:
        """Of one user; of all when none is named."""
        if (day := self._date()) != self._day:
            self._day = day
            self._usd.clear()
        return self._usd.get(user, 0.0)

    def committed(self, user: str = "") -> float:
        return self.today(user) + self._reserved.get(user, 0.0)

    @contextmanager
    def reserved(self, usd: float, user: str = "") -> Generator[None]:
        for name in {"", user}:
            self._reserved[name] += usd
        try:
            yield
        finally:
            for name in {"", user}:
                self._reserved[name] -= usd

    def restore(self, amount: float, by_user: Mapping[str, float] | None = None) -> None:
        """What the logs say was spent today, calls of this process included or not yet made."""
        for name, usd in {**(by_user or {}), "": amount}.items():
            self._usd[name] = max(self.today(name), usd)

    def _date(self) -> date:
        return datetime.fromtimestamp(self._clock(), self._zone).date()
