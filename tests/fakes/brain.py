"""ScriptedBrain: implements the Brain protocol; says what the test wrote, records what it was asked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence

from app.core.contracts import CallOptions, LiveEvent, ModelRequest, RouteState
from app.core.messages import Reply, ToolCall, Usage
from app.core.usage import Ledger

Script = Reply | Exception | Callable[[ModelRequest, CallOptions], Awaitable[Reply]]


class ScriptedBrain:
    def __init__(self, *script: Script, window: int = 100_000) -> None:
        self.script = list(script)
        self.requests: list[ModelRequest] = []
        self.window = window
        self.ledger = Ledger("UTC")
        self.on_notice: Callable[[str], None] = lambda _: None

    async def complete(self, request: ModelRequest, call: CallOptions) -> Reply:
        self.requests.append(request)
        await asyncio.sleep(0)
        step = self.script.pop(0) if self.script else text("(guion agotado)")
        if isinstance(step, Exception):
            raise step
        reply = step if isinstance(step, Reply) else await step(request, call)
        if reply.text:
            call.emit(LiveEvent("delta", reply.text))
        return reply

    def window_tokens(self) -> int:
        return self.window

    def routes(self) -> Sequence[RouteState]:
        return [RouteState("scripted", "scripted-1", paid=False, state="ready")]

    async def check_models(self) -> None:
        return None

    async def watch_models(self) -> None:
        return None

    async def warm_up_when_idle(self) -> None:
        return None

    async def aclose(self) -> None:
        return None


def text(words: str, **more: object) -> Reply:
    return Reply(text=words, provider="scripted", model="scripted-1", usage=Usage(input=10, output=5)).model_copy(
        update=more
    )


_calls = 0


def calls(*wanted: tuple[str, Mapping[str, object] | str], words: str = "") -> Reply:
    global _calls
    made: list[ToolCall] = []
    for name, arguments in wanted:
        _calls += 1
        raw = arguments if isinstance(arguments, str) else json.dumps(arguments)
        made.append(ToolCall(id=f"call_{_calls}", name=name, arguments=raw))
    return text(words, tool_calls=tuple(made), stop_reason="tool_calls")
