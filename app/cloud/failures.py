"""From what a provider answers (status, body, headers, error event) to our error tree. Knows no HTTP library."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime

from loguru import logger

from app.cloud import jsonvalues as js
from app.cloud.limits import parse_duration
from app.core import texts
from app.core.errors import (
    BadToolCall,
    BrokenReply,
    CredentialRejected,
    ModelGone,
    ProviderError,
    RateLimited,
    RequestRefused,
    TooLarge,
    Unreachable,
)

UNSTATED_REST = 10.0  # seconds that a model rests after a first 429 that does not say how long
_MOST_DETAIL = 200  # characters of a provider's own words
_SPEND_LIMIT = "enforced_spend_limit_reached"  # Anthropic: a 429 that no waiting ends


class SpendLimitReached(RequestRefused):
    """The account's own limit: nothing changes until its owner raises it or the month ends."""


class Declined(RequestRefused):
    """The model would rather not answer this."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Who a failure is blamed on. `variable` names the setting that holds `secret`, which no message may show."""

    provider: str
    model: str
    variable: str = ""
    secret: str = field(default="", repr=False)

    @property
    def blame(self) -> dict[str, str]:
        return {"provider": self.provider, "model": self.model}

    def unreachable(self, retry_after: float | None = None) -> Unreachable:
        message = texts.provider_unreachable(self.provider)
        return Unreachable(message, retry_after=retry_after, **self.blame)

    def broken(self) -> BrokenReply:
        return BrokenReply(texts.broken_reply(self.provider), **self.blame)

    def rate_limited(self, retry_after: float | None) -> RateLimited:
        message = texts.provider_paused(self.provider, UNSTATED_REST if retry_after is None else retry_after)
        return RateLimited(message, retry_after=retry_after, **self.blame)

    def too_large(self, limit: int | None) -> TooLarge:
        return TooLarge(texts.request_too_large(self.model), limit=limit, **self.blame)

    def bad_key(self) -> CredentialRejected:
        return CredentialRejected(texts.credential_malformed(self.provider, self.variable), **self.blame)

    def declined(self) -> Declined:
        return Declined(texts.declined(self.provider), **self.blame)

    def unexpected(self, error: Exception) -> RequestRefused:
        detail = self.scrub(f"{type(error).__name__}: {error}")
        return RequestRefused(texts.request_refused(self.provider, detail), **self.blame)

    def scrub(self, message: str) -> str:
        """One line of at most 200 characters, without the key. It ends between words: half a key is no known one."""
        if self.secret:
            message = message.replace(self.secret, "***")
        line = " ".join(message[:10_000].split())
        return line if len(line) <= _MOST_DETAIL else line[:_MOST_DETAIL].rpartition(" ")[0]


# Error types of Anthropic and codes of Groq, for errors that come inside a stream and so without a status.
_STATUS_OF = {
    "authentication_error": 401, "invalid_api_key": 401, "billing_error": 402, "permission_error": 403,
    "not_found_error": 404, "model_not_found": 404, "request_too_large": 413, "rate_limit_error": 429,
    "rate_limit_exceeded": 429, "capacity_exceeded": 498, "api_error": 500, "internal_server_error": 500,
    "timeout_error": 504, "overloaded_error": 529, "tool_use_failed": 400, "invalid_request_error": 400,
}  # fmt: skip
_TOOL_CODES = {"tool_use_failed", "output_parse_failed"}
_GONE_CODES = {"model_not_found", "model_decommissioned", "model_not_active"}
_BLOCKED_MODEL = "model_permission_blocked"  # Groq: a 403 about the model, not about the key

_TOO_LONG = re.compile(
    r"request too large|prompt is too long|context (?:length|window|limit|size)|reduce the length|maximum context"
    r"|context_length_exceeded|exceeds? the available context|context overflow",
    re.IGNORECASE,
)
_LIMITS = (  # the first that matches counts
    re.compile(r"> (\d{3,9})\b"),  # Anthropic: "210000 tokens > 200000 maximum", "199000 + 4096 > 200000"
    re.compile(r"\bLimit:? (\d{3,9})\b"),  # Groq: "Limit 8000, Requested 9200"
    re.compile(r"context (?:length|window|size)\D{0,30}?(\d{3,9})\b", re.IGNORECASE),
)
_TRY_AGAIN = re.compile(r"try again in ([\d.hms]+)", re.IGNORECASE)
_NO_MODEL = re.compile(r"\bmodel\b", re.IGNORECASE)


def from_status(status: int, body: object, headers: Mapping[str, str], origin: Origin) -> ProviderError:
    """`body`: the decoded JSON of an error answer, or its text."""
    error = _error_object(body)
    message = js.as_text(error.get("message")) or (body if isinstance(body, str) else "")
    code = js.as_text(error.get("code")) or js.as_text(error.get("type"))
    if status not in {401, 403}:  # their bodies may quote the key
        detail = origin.scrub(message)
        logger.info("{} {} answered {} {}: {}", origin.provider, origin.model, status, code, detail)
    if failure := _by_content(status, code, message, error, origin):
        return failure
    if status in {401, 403}:
        return CredentialRejected(texts.credential_rejected(origin.provider, origin.variable), **origin.blame)
    if status == 429:
        return origin.rate_limited(_retry_after(headers, message))
    if status >= 500 or status in {408, 409, 425, 498, 499}:
        return origin.unreachable(_retry_after(headers, message))
    return RequestRefused(texts.request_refused(origin.provider, origin.scrub(message)), **origin.blame)


def from_event(body: object, origin: Origin) -> ProviderError:
    """An error that came inside a stream, after a 200. What has no row of its own is a broken reply."""
    error = _error_object(body)
    code, kind = js.as_text(error.get("code")), js.as_text(error.get("type"))
    status = js.as_int(error.get("status_code")) or _STATUS_OF.get(code) or _STATUS_OF.get(kind) or 500
    failure = from_status(status, body, {}, origin)
    return origin.broken() if isinstance(failure, Unreachable) or type(failure) is RequestRefused else failure


def _by_content(status: int, code: str, message: str, error: js.Object, origin: Origin) -> ProviderError | None:
    """The failures that the body tells apart, whatever the status."""
    if code in _TOOL_CODES or "failed_generation" in error:
        failed = js.as_text(error.get("failed_generation"))
        return BadToolCall(texts.bad_tool_call(origin.model), failed_generation=failed, **origin.blame)
    if status == 413 or (400 <= status < 600 and _TOO_LONG.search(f"{code} {message}")):
        return origin.too_large(_limit(error))
    if js.as_object(error.get("details")).get("error_code") == _SPEND_LIMIT:
        return SpendLimitReached(texts.spend_limit_reached(origin.provider), **origin.blame)
    # a page of HTML (a captive portal, a wrong address) proves nothing about a model
    missing = status == 404 and _NO_MODEL.search(js.as_text(error.get("message")))
    if code in _GONE_CODES or code.startswith(_BLOCKED_MODEL) or missing:
        return ModelGone(texts.model_gone(origin.provider, origin.model), **origin.blame)
    return None


def _error_object(body: object) -> js.Object:
    """What stands under `error`: an object everywhere but with some local servers, which give a text."""
    outer = js.as_object(body)
    inner = outer.get("error", outer)
    return {"message": inner} if isinstance(inner, str) else js.as_object(inner)


def _limit(error: js.Object) -> int | None:
    message = js.as_text(error.get("message"))
    if window := js.as_int(error.get("n_ctx")):  # llama.cpp
        return window
    match = next(filter(None, (pattern.search(message) for pattern in _LIMITS)), None)
    return int(match[1]) if match else None


def _retry_after(headers: Mapping[str, str], message: str) -> float | None:
    value = headers.get("retry-after", "")
    if (seconds := parse_duration(value)) is not None:
        return seconds
    if value:
        try:
            return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
        except (ValueError, OverflowError):
            return None
    match = _TRY_AGAIN.search(message)
    return parse_duration(match[1].rstrip(".")) if match else None
