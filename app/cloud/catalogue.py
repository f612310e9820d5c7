"""Which models a provider lists, asked with plain HTTP so that no SDK has to be imported for it."""

from __future__ import annotations

from collections.abc import Mapping

import aiohttp

from app.cloud import jsonvalues as js
from app.cloud.failures import Origin, from_status
from app.cloud.transport import read_capped

_TIMEOUT = aiohttp.ClientTimeout(total=15, connect=10)
_MAX_BYTES = 4_000_000
_WINDOW_FIELDS = ("context_window", "max_input_tokens", "max_model_len", "context_length", "max_context_length")


async def fetch_models(url: str, headers: Mapping[str, str], origin: Origin) -> dict[str, int]:
    """Id → context window (0: not said) of the models in service. Raises a ProviderError."""
    listing = await fetch_json(url, headers, origin)
    entries = [js.as_object(entry) for entry in js.as_list(js.as_object(listing).get("data"))]
    return {js.as_text(e.get("id")): _window(e) for e in entries if e.get("id") and _in_service(e)}


async def fetch_json(url: str, headers: Mapping[str, str], origin: Origin) -> object:
    try:
        async with (
            aiohttp.ClientSession(timeout=_TIMEOUT, trust_env=True) as session,
            session.get(url, headers=headers) as response,
        ):
            body = decode(await read_capped(response.content, _MAX_BYTES))
            if response.status >= 400:
                raise from_status(response.status, body, response.headers, origin)
            return body
    except (aiohttp.ClientError, TimeoutError, OSError):
        raise origin.unreachable() from None


def decode(raw: bytes) -> object:
    """JSON if it is, else the text."""
    try:
        return js.parse(raw)
    except ValueError:
        return raw.decode("utf-8", "replace")


def _in_service(entry: js.Object) -> bool:
    return entry.get("active") is not False and entry.get("lifecycle") != "retired"


def _window(entry: js.Object) -> int:
    meta = js.as_object(entry.get("meta"))  # llama.cpp
    sizes = [js.as_int(entry.get(field)) for field in _WINDOW_FIELDS] + [js.as_int(meta.get("n_ctx"))]
    return next(filter(None, sizes), 0)
