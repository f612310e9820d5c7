"""What the agent needs from models."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

from app.core.contracts.events import LiveEvent
from app.core.messages import Message, NativeBlocks, Reply, ToolCall, Usage

if TYPE_CHECKING:
    from app.core.usage import Ledger


@dataclass(frozen=True, slots=True)
class ToolSchema:
    """`parameters` is a JSON Schema object."""

    name: str
    description: str
    parameters: dict[str, object]


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """One model call.

    `tool_choice` none: the tools are declared (a history with calls needs them) but may not be called.
    """

    messages: Sequence[Message]
    model: str = ""
    system: str = ""
    tools: Sequence[ToolSchema] = ()
    tool_choice: Literal["auto", "none"] = "auto"
    max_tokens: int = 4096


@dataclass(frozen=True, slots=True)
class TextDelta:
    text: str


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """A complete tool call (providers gather the fragments)."""

    call: ToolCall


@dataclass(frozen=True, slots=True)
class StreamEnd:
    """The last item of every complete stream; a stream without it was cut."""

    stop_reason: Literal["stop", "tool_calls", "length", "refusal"]
    usage: Usage = field(default_factory=Usage)
    native: NativeBlocks | None = None


StreamItem = TextDelta | ToolCallDelta | StreamEnd


class Provider(Protocol):
    """One company's models. Every failure is a ProviderError of app.core.errors."""

    name: str

    @property
    def paid(self) -> bool: ...
    @property
    def models(self) -> Sequence[str]:
        """In order of preference."""
        ...

    def stream(self, request: ModelRequest) -> AsyncIterator[StreamItem]: ...

    async def call(self, messages: Sequence[Message], model: str = "", max_tokens: int = 4096) -> Reply: ...

    async def aclose(self) -> None: ...


@dataclass(frozen=True, slots=True)
class RouteState:
    """One model as the status page shows it. `resting_until` is a UNIX time, 0 when it may be called."""

    provider: str
    model: str
    paid: bool
    state: Literal["ready", "resting", "rejected", "gone"]
    resting_until: float = 0.0
    reason: str = ""


class Brain(Protocol):
    """All configured models behind one call: retries, fallback and limits are its business, not the loop's.

    `on_notice` gets each thing that the owner must know (a rejected key, a model gone) once.
    """

    on_notice: Callable[[str], None]

    @property
    def ledger(self) -> Ledger: ...

    async def complete(self, request: ModelRequest, call: CallOptions) -> Reply:
        """Raises TurnPostponed, TooLarge (nothing configured can take it) or AllFailed/NoProvider/OverBudget."""
        ...

    def window_tokens(self) -> int:
        """The most tokens (prompt + answer) that the model in use takes, as far as is known now."""
        ...

    def routes(self) -> Sequence[RouteState]: ...

    async def check_models(self) -> None:
        """Asks which of the configured models there still are, and sets aside those that are gone. Never raises."""
        ...

    async def watch_models(self) -> None:
        """check_models(), now and from time to time, for ever."""
        ...

    async def warm_up_when_idle(self) -> None:
        """Loads what the first call of each provider needs, when nobody waits for anything."""
        ...

    async def aclose(self) -> None: ...


@dataclass(frozen=True, slots=True)
class CallOptions:
    """How one call behaves towards the turn.

    `deadline`: loop.time() by which an answer must have begun. `emit`: live events (text as it streams, a reset
    when streamed text is replaced, a pause). `spent`: the usage of a call whose reply is not returned (cut,
    rejected); the reply carries that of its own. `may_pay`: asked before
    the first paid call when ASK_BEFORE_PAID is on. `user` pays from `user_budget_usd` a day; None: no limit of his own.
    """

    deadline: float
    emit: Callable[[LiveEvent], None]
    spent: Callable[[str, str, Usage], Awaitable[None]]
    may_pay: Callable[[str], Awaitable[bool]]
    user: str = ""
    user_budget_usd: float | None = None
