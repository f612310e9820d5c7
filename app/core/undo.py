"""Undoing: a point before a turn changes anything, the button below its answer, /deshacer and what it asks.

A pressed button is a command line like one that was typed: `/deshacer <line> sí`. So it is on disk before it has an
effect, a crash carries it out again, and it counts once.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from loguru import logger

from app.core import texts_undo as texts
from app.core.context import AgentContext
from app.core.contracts import Changes, Checkpoints, Point, SessionStore
from app.core.errors import CheckpointError, ToolError
from app.core.events import AssistantLine, CommandLine, Line, ReplyLine, Said, UndoOffer
from app.core.gates import Gate, Handler, Invocation
from app.core.git_rules import understand
from app.core.git_run import place_of
from app.core.machine import folder
from app.core.roles import person_of
from app.core.toolkit import Risk
from app.core.tools import split_git
from app.core.turn import Turn

WAIT_SECONDS = 20.0  # for a point; then the user is asked
OFFER_SECONDS = 5.0  # for what a turn has changed
_ELSEWHERE = frozenset({"web_fetch"})  # tools that touch no file
_NOISE = re.compile(r"(^|/)(__pycache__|\.pytest_cache|\.mypy_cache|\.ruff_cache)/")
_ARGUMENT = re.compile(r"(?:(\d{1,12})\s*)?(sí|si|no|)", re.IGNORECASE)

AskWithout = Callable[[Invocation, str], Awaitable[None]]


class Undo:
    def __init__(
        self, checkpoints: Checkpoints, store: SessionStore, guests: Mapping[str, Checkpoints] | None = None
    ) -> None:
        """`guests`: by number; a guest's points hold nothing but that guest's own folder."""
        self._owners = checkpoints
        self._guests = guests or {}
        self._store = store

    def checkpoints(self, session_id: str) -> Checkpoints:
        return self._guests.get(person_of(session_id), self._owners)

    async def forget(self, session_id: str) -> None:
        await self.checkpoints(session_id).forget(session_id)

    async def tidy(self) -> None:
        for checkpoints in (self._owners, *self._guests.values()):
            await checkpoints.tidy()

    # ------------------------------------------------------------ in a turn

    async def before(self, invocation: Invocation) -> None:
        """A point for the turn, unless it has one that holds what this call is about. Raises CheckpointError."""
        turn = invocation.turn
        touches = invocation.risk is not Risk.READ and invocation.tool.name not in _ELSEWHERE
        if turn is None or not touches or self._owners.off_because:
            return
        ctx = turn.ctx
        began = ctx.conversation.open[ctx.turn].ts if ctx.turn in ctx.conversation.open else 0.0
        places = [folder(), *_places(invocation)]
        made = self.checkpoints(ctx.session_id).before_turn(ctx.session_id, ctx.turn, began, places)
        try:
            await asyncio.wait_for(asyncio.shield(asyncio.ensure_future(made)), WAIT_SECONDS)
        except TimeoutError:
            raise CheckpointError(texts.TOO_LATE) from None

    async def offer(self, turn: Turn) -> UndoOffer | None:
        """The button below an answer, when the turn has changed files. Never raises."""
        ctx = turn.ctx
        if self._owners.off_because or ctx.turn not in ctx.conversation.open:
            return None
        began, kept = ctx.conversation.open[ctx.turn].ts, self.checkpoints(ctx.session_id)
        try:
            async with asyncio.timeout(OFFER_SECONDS):
                points = [p for p in await kept.points(ctx.session_id) if _is_of(p, ctx.turn, began)]
                if not points:
                    return None
                changes = await kept.changes(points[-1])
        except TimeoutError:
            return None
        except CheckpointError as error:
            logger.warning("no undo button for {}: {}", ctx.session_id, error)
            return None
        files = sum(not _NOISE.search(change.path) for change in changes.files)
        return UndoOffer(kind="look", point=points[-1].id, files=files) if files or changes.git else None

    # ------------------------------------------------------------ /deshacer

    async def command(self, ctx: AgentContext, command: CommandLine) -> str | Said:
        if reason := self._owners.off_because:
            return texts.unavailable(reason)
        asked = _ARGUMENT.fullmatch(command.argument.strip())
        if asked is None:
            return texts.NOTHING_SHOWN
        offer = await self._offered(ctx, int(asked[1] or 0), shown=bool(asked[2]))
        answer = asked[2].casefold()
        try:
            if answer == "no":
                return texts.LEFT_AS_IT_IS
            if not answer and offer is None:
                return await self._review_last(ctx)
            if offer is None:
                return texts.NOTHING_SHOWN
            point = await self._point(ctx, offer.point)
            return await self._answer(ctx, command, offer, point)
        except CheckpointError as error:
            return texts.unavailable(str(error))

    async def _answer(self, ctx: AgentContext, command: CommandLine, offer: UndoOffer, point: Point) -> str | Said:
        cause = f"{ctx.session_id}:{command.seq}"
        if point.used_by == cause:  # this very command had begun before a crash
            return await self._bring_back(ctx, point, cause)
        if point.used_by:
            return texts.ALREADY_UNDONE
        changes = await self.checkpoints(ctx.session_id).changes(point)
        if offer.kind == "look" or (changes and changes.digest != offer.seen):
            return _review(point, changes, again=offer.kind != "look")
        return await self._bring_back(ctx, point, cause)

    async def _review_last(self, ctx: AgentContext) -> str | Said:
        """Of the last message that changed something and is not undone; one that left no trace is passed over."""
        kept = self.checkpoints(ctx.session_id)
        for point in reversed(await kept.points(ctx.session_id)):
            if point.kind == "turn" and not point.used_by and (changes := await kept.changes(point)):
                return _review(point, changes, again=False)
        return texts.NOTHING_TO_UNDO

    async def _bring_back(self, ctx: AgentContext, point: Point, cause: str) -> Said:
        """Each step may be done again: the present is kept, then it is noted who undoes, then it is done."""
        kept = self.checkpoints(ctx.session_id)
        before = await kept.before_undo(point, cause)
        points = await kept.points(ctx.session_id)
        if point.kind == "turn":
            later = [p for p in points if p.kind == "turn" and p.made >= point.made and not p.used_by]
            await kept.mark(later, cause)
        else:
            await kept.mark([p for p in points if p.used_by == point.cause], "")
            await kept.mark([point], cause)
        restored = await kept.restore(point)
        back = await kept.changes(before)
        logger.info("undo of {}: {} file(s), {} failed", ctx.session_id, restored.files, len(restored.failed))
        offer = UndoOffer(kind="redo", point=before.id, seen=back.digest, redo=True)
        if point.kind == "undo":
            return Said(texts.undone(restored, redo=True))
        return Said(texts.undone(restored, redo=False), offer)

    async def _offered(self, ctx: AgentContext, seq: int, *, shown: bool) -> UndoOffer | None:
        """What stands in line `seq`; without a number, and when an answer is given, the last that was shown."""
        if not seq and not shown:
            return None
        for line in reversed(await self._store.read_lines(ctx.session_id, after=max(0, seq - 1))):
            offer = offer_of(line)
            if offer and (line.seq == seq or (not seq and offer.kind != "look")):
                return offer
        return None

    async def _point(self, ctx: AgentContext, point_id: str) -> Point:
        for point in await self.checkpoints(ctx.session_id).points(ctx.session_id):
            if point.id == point_id:
                return point
        raise CheckpointError(texts.POINT_GONE)


def offer_of(line: Line) -> UndoOffer | None:
    return line.undo if isinstance(line, AssistantLine | ReplyLine) else None


def checkpointed(undo: Undo, ask_without: AskWithout) -> Gate:
    """Nothing is changed before it can be undone; where it cannot, `ask_without` decides (it raises ToolError)."""

    def wrap(handler: Handler) -> Handler:
        async def gate(invocation: Invocation) -> str:
            try:
                await undo.before(invocation)
            except CheckpointError as error:
                logger.warning("no point to go back to: {}", error)
                await ask_without(invocation, str(error))
            return await handler(invocation)

        return gate

    return wrap


def _places(invocation: Invocation) -> list[Path]:
    """Where else than in the current project the call works. What is refused there runs nothing."""
    arguments = invocation.arguments
    try:
        if invocation.tool.name == "git_operation":
            return [place_of(understand(split_git(str(arguments.get("cmd", "")))))]
        return [Path(folder(), str(arguments["path"]))] if "path" in arguments else []
    except ToolError:  # the tool itself says it
        return []


def _is_of(point: Point, turn: int, since: float) -> bool:
    return point.kind == "turn" and point.turn == turn and point.made >= since


def _review(point: Point, changes: Changes, *, again: bool) -> str | Said:
    if not changes:
        return texts.NO_CHANGES
    text = texts.review(changes, redo=point.kind == "undo", again=again)
    return Said(text, UndoOffer(kind="undo", point=point.id, seen=changes.digest, redo=point.kind == "undo"))
