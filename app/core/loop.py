"""The agent loop: model → tool calls → results → model, until a final text. It never sends anything anywhere."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from loguru import logger

from app.core import prompt, texts
from app.core.bounds import Bounds
from app.core.compaction import compact, is_full, room
from app.core.context import AgentContext
from app.core.contracts import CallOptions, LiveEvent, ModelRequest
from app.core.defaults import default_parts
from app.core.errors import NanobotError, ProviderError, Steered, TooLarge, TurnInterrupted, WorkspaceError
from app.core.events import AssistantLine, ToolResultLine, UsageLine
from app.core.gates import invoke
from app.core.machine import folder, use_folder, use_machine
from app.core.messages import Message, Reply, ToolCall, ToolResult, Usage, as_calls, as_messages
from app.core.parts import Parts
from app.core.paying import may_pay
from app.core.replies import whole_reply
from app.core.roles import Role, Standing
from app.core.toolkit import Risk
from app.core.turn import Turn, current_turn, turn_of

if TYPE_CHECKING:
    from app.config import Settings


class AgentLoop:
    """Answers what is open in a context. Every step is a log line before its effect, so a turn can die anywhere."""

    def __init__(self, settings: Settings, parts: Parts | None = None) -> None:
        self._settings = settings
        self._parts = parts or default_parts(settings)
        self._bounds = Bounds.of(settings)
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._leaving = False

    async def process_message(self, ctx: AgentContext) -> str:
        """The answer's text, already in the log. '' when nothing was open.

        Raises TurnPostponed, TurnInterrupted (the turn stays open), StorageError; any other failure is the answer.
        """
        lock = self._locks.setdefault(ctx.session_id, asyncio.Lock())
        async with lock:  # two turns of one session at a time would answer, and act, twice
            with turn_of(Turn(ctx, self._settings.turn_seconds)) as turn:
                await self.save_session(ctx)
                await self._parts.store.refresh(ctx)
                turn.standing = self._parts.standing(ctx)
                use_machine(turn.standing.machine)
                use_folder(self._folder(turn.standing, ctx))
                self._emit(LiveEvent("working", reply_to=ctx.reply_to))
                try:
                    return await self._answer(turn)
                finally:
                    self._emit(LiveEvent("idle"))

    async def call_llm(self, messages: Sequence[Message | Mapping[str, object]], model: str = "") -> Reply:
        """One reply of the first model that can give one. Raises ProviderError and TurnPostponed."""
        turn = current_turn()
        schemas = self._standing.toolbox.schemas
        window = self._parts.brain.window_tokens()
        system = await self._system_prompt(turn)
        shown = prompt.clip(prompt.dress(as_messages(messages), self._settings.timezone), window // 4)
        request = ModelRequest(
            messages=prompt.squeeze(shown, room(self._parts.brain)),
            model=model,
            system=system,
            tools=schemas,
            tool_choice="none" if turn and self._bounds.reached(turn) else "auto",
            max_tokens=self._settings.max_output_tokens,
        )
        return await self._parts.brain.complete(request, self._options(turn))

    async def execute_tools(self, tool_calls: Sequence[ToolCall | Mapping[str, Any]]) -> list[ToolResult]:
        """Neighbouring read-only calls run side by side, the others in order; each result is logged as it ends."""
        use_machine(self._standing.machine)
        results: list[ToolResult] = []
        for reads, calls in groupby(as_calls(tool_calls), key=self._only_reads):
            if reads:
                results += await asyncio.gather(*(self._execute(call) for call in calls))
            else:
                results += [await self._execute(call) for call in calls]
        return results

    def format_response(self, llm_output: Reply | str) -> str:
        """The text a person reads: never empty, no reasoning tags, no secret."""
        text = llm_output.text if isinstance(llm_output, Reply) else llm_output
        return self._parts.machine.redactor.redact_answer(texts.without_reasoning(text)).strip() or texts.EMPTY_ANSWER

    async def save_session(self, ctx: AgentContext | None = None) -> None:
        """Makes the context's unsaved messages durable; without an argument, the current turn's."""
        turn = current_turn()
        ctx = ctx or (turn.ctx if turn else None)
        if ctx is not None:
            await self._parts.store.save_session(ctx)

    def leave(self) -> None:
        """The server stops: running steps end and are saved, no new one begins; the next start goes on."""
        self._leaving = True
        self._parts.approvals.leave()

    async def aclose(self) -> None:
        """Ends the connections of the parts; for a loop used alone and for the server's end."""
        await self._parts.brain.aclose()
        await self._parts.machine.fetcher.aclose()

    async def close_turn(self, ctx: AgentContext, text: str, before: int = sys.maxsize) -> bool:
        """Ends what was asked before line `before` with `text`; /reintentar opens it again. False: nothing was."""
        await self._parts.store.refresh(ctx)
        asked = [seq for seq in ctx.conversation.open if seq < before]
        if not asked:
            return False
        step = ctx.conversation.step
        stopped = [
            ToolResultLine(turn=ctx.turn, call_id=c.id, name=c.name, content=texts.CALL_STOPPED, is_error=True)
            for c in (step.unfinished() if step else [])
        ]
        final = self._failure(ctx, text).model_copy(update={"covers": max(asked)})
        await self._parts.store.append(ctx.session_id, *stopped, final)
        await self._parts.store.refresh(ctx)
        return True

    # ------------------------------------------------------------ inside a turn

    async def _answer(self, turn: Turn) -> str:
        ctx = turn.ctx
        first_open = ctx.turn
        if self._standing.role is Role.NOBODY:
            await self.close_turn(ctx, texts.NO_LONGER_ALLOWED)
            return texts.NO_LONGER_ALLOWED
        try:
            while ctx.turn and ctx.turn == first_open:
                self._check_leaving()
                with suppress(Steered):
                    if ctx.conversation.step:
                        await self.execute_tools(ctx.conversation.step.unfinished())
                    else:
                        await self._think(turn)
                await self._parts.store.refresh(ctx)
        except ProviderError as error:
            logger.warning("turn {} of {} failed: {}", ctx.turn, ctx.session_id, error)
            guest = self._standing.role is Role.GUEST
            await self._record(self._failure(ctx, texts.GUEST_TURN_FAILED if guest else texts.turn_failed(error)))
        except (NanobotError, asyncio.CancelledError):
            raise
        except Exception:  # noqa: BLE001  boundary: a bug must not leave the chat without an answer, nor retry it for ever
            logger.exception("turn {} of {} broke", ctx.turn, ctx.session_id)
            await self._record(self._failure(ctx, texts.INTERNAL_ERROR))
        return ctx.conversation.last_answer if first_open else ""

    async def _think(self, turn: Turn) -> None:
        """One model call and the line that it leaves."""
        ctx = turn.ctx
        if is_full(ctx, self._parts.brain):
            await self._compact(ctx)
        undo = asyncio.create_task(self._parts.undo.offer(turn))  # while the model thinks
        try:
            covers, reply = await self._reply(turn)
        except BaseException:
            undo.cancel()
            raise
        line = AssistantLine(
            turn=ctx.turn,
            content=reply.text,
            tool_calls=reply.tool_calls,
            covers=covers,
            provider=reply.provider,
            model=reply.model,
            usage=reply.usage,
            stop_reason=reply.stop_reason,
            native=reply.native,
        )
        if not reply.tool_calls:
            update = {
                "final": True,
                "content": self.format_response(reply),
                "reply_to": ctx.reply_to,
                "undo": await undo,
            }
            line = line.model_copy(update=update)
        await self._record(line)

    async def _reply(self, turn: Turn) -> tuple[int, Reply]:
        """(seq of the last user line that the reply has seen, a whole reply)."""
        ctx = turn.ctx
        while True:
            covers, messages, window = ctx.conversation.last_user_seq, ctx.messages, self._parts.brain.window_tokens()
            if closing := self._bounds.reached(turn):
                messages.append(Message(role="user", content=texts.CLOSE_NOW))
            try:
                reply = await whole_reply(self.call_llm, messages, self._discard)
            except TooLarge:
                learned = self._parts.brain.window_tokens() < window  # then the same messages are sent shorter
                if not await self._compact(ctx) and not learned:
                    raise
                continue
            if closing and reply.tool_calls:
                reply = reply.model_copy(update={"tool_calls": (), "text": reply.text or texts.LIMIT_REACHED})
            return covers, reply

    async def _discard(self, reply: Reply) -> None:
        await self._spent(reply.provider, reply.model, reply.usage)

    async def _execute(self, call: ToolCall) -> ToolResult:
        turn = current_turn()
        here = self._standing
        if turn is None:
            return await invoke(self._parts.handler, here.toolbox, here.machine, call)
        self._check_leaving()
        if refusal := self._bounds.refusal(turn, call):
            result = ToolResult(call_id=call.id, name=call.name, content=refusal, is_error=True)
        else:
            result = await invoke(self._parts.handler, here.toolbox, here.machine, call)
        await self._record(ToolResultLine(turn=turn.ctx.turn, **result.model_dump()))
        return result

    async def _compact(self, ctx: AgentContext) -> bool:
        return await compact(ctx, self._parts.brain, self._parts.store, self._options(current_turn(), quiet=True))

    # ------------------------------------------------------------ small parts

    @property
    def _standing(self) -> Standing:
        turn = current_turn()
        return (turn and turn.standing) or Standing(Role.OWNER, "", self._parts.toolbox, self._parts.machine)

    async def _system_prompt(self, turn: Turn | None) -> str:
        here = self._standing
        if here.role is not Role.OWNER:
            return texts.guest_prompt(has_tools=bool(here.toolbox.schemas))
        where = str(folder() if turn else here.machine.workspace.roots[0])
        return await prompt.system_prompt(self._parts.surroundings, where, here.toolbox.schemas)

    def _check_leaving(self) -> None:
        if self._leaving:
            raise TurnInterrupted

    def _only_reads(self, call: ToolCall) -> bool:
        return self._standing.toolbox.risk(call.name, call.arguments) is Risk.READ

    def _folder(self, standing: Standing, ctx: AgentContext) -> Path:
        """The chat's project; the first root when there is none, or it is gone or out of reach."""
        workspace = standing.machine.workspace
        try:
            return workspace.resolve(ctx.project or ".", workspace.roots[0])
        except WorkspaceError:
            return workspace.roots[0]

    def _failure(self, ctx: AgentContext, text: str) -> AssistantLine:
        return AssistantLine(
            turn=ctx.turn,
            content=text,
            covers=ctx.conversation.last_user_seq,
            final=True,
            failed=True,
            reply_to=ctx.reply_to,
        )

    async def _record(self, line: AssistantLine | ToolResultLine | UsageLine) -> None:
        turn = current_turn()
        if turn is not None:
            await self._parts.store.append(turn.ctx.session_id, line)
            await self._parts.store.refresh(turn.ctx)

    async def _spent(self, provider: str, model: str, usage: Usage) -> None:
        turn = current_turn()
        if turn is not None:
            await self._record(UsageLine(turn=turn.ctx.turn, usage=usage, provider=provider, model=model))

    def _emit(self, event: LiveEvent) -> None:
        if turn := current_turn():
            self._parts.sink.publish(turn.ctx.session_id, event)

    def _options(self, turn: Turn | None, *, quiet: bool = False) -> CallOptions:
        def emit(event: LiveEvent) -> None:
            if not quiet:
                self._emit(event)

        now = asyncio.get_running_loop().time()
        deadline = max(turn.deadline, now + 60) if turn else now + self._settings.turn_seconds
        here, s = self._standing, self._settings
        own = s.user_daily_budget_usd if here.role is Role.OWNER else s.guest_daily_budget_usd
        return CallOptions(deadline, emit, self._spent, partial(may_pay, self._parts.approvals, turn), here.user, own)
