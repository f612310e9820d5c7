"""What stands around a tool call. Each gate wraps the next handler; the loop knows none of them."""

from __future__ import annotations

import asyncio
import re
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiolimiter import AsyncLimiter
from loguru import logger

from app.core import texts, texts_taint
from app.core.contracts import SessionStore
from app.core.errors import NanobotError, ToolError
from app.core.events import ToolStartedLine
from app.core.foreign import FRAME_ROOM, framed
from app.core.machine import Machine
from app.core.messages import ToolCall, ToolResult
from app.core.roles import GUEST_RISKS, GUEST_TOOLS, Role
from app.core.toolkit import Risk, Tool, Toolbox, canonical
from app.core.turn import Turn, current_turn

_COMMANDS = {"execute_shell", "git_operation"}
_SAME_RESULT_LIMIT = 2
_MOST_LIMITERS = 1_000
_DURATION = re.compile(r"\b\d+\.\d s\b(?=[^\n]*\]$)")  # in the last line of a command's report


@dataclass(frozen=True, slots=True)
class Invocation:
    """One call, parsed. `turn` is None when the tools are used outside a conversation.

    `origins`: where its result comes from, when that is outside; see outside.py.
    """

    call: ToolCall
    tool: Tool
    arguments: dict[str, Any]
    risk: Risk
    turn: Turn | None
    origins: list[str] = field(default_factory=list[str])

    @property
    def uncertain(self) -> bool:
        """It started in a process that died before its result was written."""
        step = self.turn.ctx.conversation.step if self.turn else None
        return step is not None and self.call.id in step.started


Handler = Callable[[Invocation], Awaitable[str]]
Gate = Callable[[Handler], Handler]


def build_handler(gates: Sequence[Gate]) -> Handler:
    """The first gate is the outermost."""
    handler: Handler = _run
    for gate in reversed(gates):
        handler = gate(handler)
    return handler


async def invoke(handler: Handler, toolbox: Toolbox, machine: Machine, call: ToolCall) -> ToolResult:
    """Always a result: what went wrong is told to the model. Redaction happens here, once, before model and log."""
    began = time.perf_counter()
    origins: list[str] = []
    try:
        known = toolbox.get(call.name)
        arguments = known.parse(call.arguments)
        content = await handler(Invocation(call, known, arguments, known.risk_of(arguments), current_turn(), origins))
        failed = False
    except ToolError as error:
        content, failed = str(error), True
    except NanobotError:
        raise  # the disk refuses, the server leaves: the turn's business, not the model's
    except Exception:  # noqa: BLE001  boundary: a bug in a tool must not end the turn
        logger.exception("tool {} broke", call.name)
        content, failed = texts.TOOL_BROKE, True
    origin = texts_taint.origins(list(dict.fromkeys(origins)))
    content = _entering(content, origin, machine)
    ms = round((time.perf_counter() - began) * 1000)
    return ToolResult(call_id=call.id, name=call.name, content=content, is_error=failed, ms=ms, untrusted=origin)


def _entering(content: str, origin: str, machine: Machine) -> str:
    most = machine.limits.output_chars
    if not origin:
        return texts.cut_middle(machine.redactor.redact(content), most)
    return framed(content, origin, lambda text: texts.cut_middle(machine.redactor.redact(text), most - FRAME_ROOM))


async def _run(invocation: Invocation) -> str:
    return await invocation.tool.function(**invocation.arguments)


def traced(handler: Handler) -> Handler:
    async def gate(invocation: Invocation) -> str:
        began = time.perf_counter()
        outcome = "failed"
        try:
            result = await handler(invocation)
            outcome = "ok"
            return result
        finally:
            milliseconds = (time.perf_counter() - began) * 1000
            logger.info("tool {} ({}) {} in {:.0f} ms", invocation.tool.name, invocation.risk, outcome, milliseconds)

    return gate


def within_role(handler: Handler) -> Handler:
    """A guest's model is offered few tools; what it calls all the same does not run."""

    async def gate(invocation: Invocation) -> str:
        standing = invocation.turn.standing if invocation.turn else None
        if standing is not None and standing.role is not Role.OWNER:
            allowed = invocation.tool.name in GUEST_TOOLS and invocation.risk in GUEST_RISKS
            if not (allowed and standing.role is Role.GUEST):
                raise ToolError(texts.GUEST_MAY_NOT)
        return await handler(invocation)

    return gate


def rate_limited(per_minute: int, guest_per_minute: int) -> Gate:
    """Per user, over all sessions; a call over the limit waits for its place."""
    limiters: OrderedDict[str, AsyncLimiter] = OrderedDict()

    def limiter_of(turn: Turn) -> AsyncLimiter:
        standing = turn.standing
        guest = standing is not None and standing.role is not Role.OWNER
        user = (standing and standing.user) or turn.ctx.session_id
        limiter = limiters.setdefault(user, AsyncLimiter(guest_per_minute if guest else per_minute, 60))
        limiters.move_to_end(user)
        if len(limiters) > _MOST_LIMITERS:
            limiters.popitem(last=False)
        return limiter

    def wrap(handler: Handler) -> Handler:
        async def gate(invocation: Invocation) -> str:
            if invocation.turn is None:
                return await handler(invocation)
            async with limiter_of(invocation.turn):
                return await handler(invocation)

        return gate

    return wrap


def not_repeated(handler: Handler) -> Handler:
    """The same call that gave the same result twice is not run a third time, unless something was changed since."""

    async def gate(invocation: Invocation) -> str:
        if invocation.turn is None:
            return await handler(invocation)
        seen = invocation.turn.results
        name, arguments = invocation.call.name, canonical(invocation.call.arguments)
        if any(n >= _SAME_RESULT_LIMIT for (tool, args, _), n in seen.items() if (tool, args) == (name, arguments)):
            raise ToolError(texts.REPEATED_CALL)
        try:
            result = await handler(invocation)
        except ToolError as error:
            seen[(name, arguments, str(error))] += 1
            raise
        if invocation.risk is not Risk.READ:
            for other in [key for key in seen if key[:2] != (name, arguments)]:
                del seen[other]
        seen[(name, arguments, _DURATION.sub("", result))] += 1
        return result

    return gate


def possible(machine: Machine) -> Gate:
    """Before anybody is asked: what confines a command is known, and the shell is not off."""

    def wrap(handler: Handler) -> Handler:
        async def gate(invocation: Invocation) -> str:
            if invocation.tool.name in _COMMANDS:
                await machine.sandbox.ready(shell=invocation.tool.name == "execute_shell")
            return await handler(invocation)

        return gate

    return wrap


def announced(store: SessionStore) -> Gate:
    """The log says that the tool starts before it does."""

    def wrap(handler: Handler) -> Handler:
        async def gate(invocation: Invocation) -> str:
            if turn := invocation.turn:
                line = ToolStartedLine(turn=turn.ctx.turn, call_id=invocation.call.id, name=invocation.call.name)
                await store.append(turn.ctx.session_id, line)
            return await handler(invocation)

        return gate

    return wrap


def timed(seconds: float) -> Gate:
    def wrap(handler: Handler) -> Handler:
        async def gate(invocation: Invocation) -> str:
            try:
                async with asyncio.timeout(seconds):
                    return await handler(invocation)
            except TimeoutError:
                raise ToolError(texts.tool_timed_out(seconds)) from None

        return gate

    return wrap
