"""The error tree. Every error that can reach a person carries its Spanish sentence in `str(error)`.

NanobotError
├── ConfigError             a setting is malformed: the start stops with one line
├── SessionError            a session id or log that cannot be used
│   └── SessionConflict     the log moved on under a context with unsaved messages
├── StorageError            the disk refused (full, read-only, lost): nothing was acknowledged
├── ToolError               the model can act on it: it becomes the tool's result
│   ├── WorkspaceError      a path outside the allowed roots, not a regular file, too large…
│   ├── SandboxError        a command that could not be started
│   └── FetchError          an address that may not or could not be read
│       └── AddressRefused  not an address of the Internet
├── DeliveryError
│   ├── NotSent             the request never left: certain, simply retried
│   ├── Uncertain           it may have arrived: retried only as a marked repeat
│   ├── Flood               the chat must rest for `retry_after` seconds
│   └── ChatGone            blocked, deleted or migrated: its work ends quietly
├── TurnInterrupted         the server leaves: the turn goes on at the next start
├── Steered                 the user has written meanwhile: the prompt is made anew
├── TurnPostponed           every model rests until `until`; the turn stays open
└── ProviderError           one call to one model failed
    ├── Unreachable         refused, reset, time-out before the first token, 5xx, 529, 498
    ├── RateLimited         429; `retry_after` seconds
    ├── TooLarge            413 or context too long; `limit` tokens when the provider says so
    ├── BadToolCall         tool_use_failed; `failed_generation` as the model wrote it
    ├── ModelGone           404 / decommissioned
    ├── CredentialRejected  401 / 403
    ├── BrokenReply         cut stream, truncation, malformed chunk, error event, stall
    ├── RequestRefused      any other 4xx
    ├── OverBudget          DAILY_BUDGET_USD reached: paid calls stop
    ├── NoProvider          nothing is configured
    └── AllFailed           every route was tried; `attempts` says how
"""

from __future__ import annotations

from collections.abc import Sequence


class NanobotError(Exception):
    """Base of every error raised on purpose."""


class ConfigError(NanobotError):
    pass


class SessionError(NanobotError):
    pass


class SessionConflict(SessionError):
    pass


class StorageError(NanobotError):
    pass


class ToolError(NanobotError):
    pass


class WorkspaceError(ToolError):
    pass


class SandboxError(ToolError):
    pass


class CheckpointError(ToolError):
    """The state of the files cannot be kept, or brought back. Its text is the end of a sentence: why."""


class FetchError(ToolError):
    pass


class AddressRefused(FetchError):
    pass


class DeliveryError(NanobotError):
    pass


class NotSent(DeliveryError):
    pass


class Uncertain(DeliveryError):
    pass


class Flood(DeliveryError):
    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class ChatGone(DeliveryError):
    pass


class TurnInterrupted(NanobotError):
    pass


class Steered(NanobotError):
    pass


class TurnPostponed(NanobotError):
    """`until` is a UNIX time."""

    def __init__(self, message: str, until: float) -> None:
        super().__init__(message)
        self.until = until


class ProviderError(NanobotError):
    """`provider` and `model` say who failed; the message is for people and never holds a key."""

    def __init__(self, message: str, *, provider: str = "", model: str = "") -> None:
        super().__init__(message)
        self.provider = provider
        self.model = model


class Unreachable(ProviderError):
    def __init__(self, message: str, *, provider: str = "", model: str = "", retry_after: float | None = None):
        super().__init__(message, provider=provider, model=model)
        self.retry_after = retry_after


class RateLimited(ProviderError):
    """`retry_after` in seconds, None when the provider does not say."""

    def __init__(self, message: str, *, provider: str = "", model: str = "", retry_after: float | None = None):
        super().__init__(message, provider=provider, model=model)
        self.retry_after = retry_after


class TooLarge(ProviderError):
    """`limit` in tokens, None when the provider does not say."""

    def __init__(self, message: str, *, provider: str = "", model: str = "", limit: int | None = None):
        super().__init__(message, provider=provider, model=model)
        self.limit = limit


class BadToolCall(ProviderError):
    def __init__(self, message: str, *, provider: str = "", model: str = "", failed_generation: str = ""):
        super().__init__(message, provider=provider, model=model)
        self.failed_generation = failed_generation


class ModelGone(ProviderError):
    pass


class CredentialRejected(ProviderError):
    pass


class BrokenReply(ProviderError):
    pass


class RequestRefused(ProviderError):
    pass


class OverBudget(ProviderError):
    pass


class NoProvider(ProviderError):
    pass


class AllFailed(ProviderError):
    def __init__(self, message: str, attempts: Sequence[ProviderError] = ()) -> None:
        super().__init__(message)
        self.attempts = tuple(attempts)
