"""What to do at start: every session in which something is open goes on where its log ends."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from datetime import datetime
from zoneinfo import ZoneInfo

from loguru import logger

from app.core.commands import Commands
from app.core.contracts import SessionStore
from app.core.events import AssistantLine, ResumedLine, SummaryLine, UsageLine, UserLine
from app.core.roles import person_of
from app.core.turns import TurnRunner

Wake = Callable[[str], None]
MOST_DEATHS = 3  # in a row within one step: then the step itself is to blame


async def resume(store: SessionStore, commands: Commands, runner: TurnRunner, deliver: Wake) -> int:
    """Wakes the lanes of what is open; returns how many sessions that were."""
    busy = 0
    for session_id in await store.busy_sessions():
        try:
            busy += await _resume_one(session_id, store, commands, runner, deliver)
        except Exception:  # noqa: BLE001  boundary: one session that cannot go on must not keep the others from it
            logger.exception("recovery: {} cannot go on; its lanes try again", session_id)
            deliver(session_id)
            runner.wake(session_id)
    logger.info("recovery: {} session(s) with open work", busy)
    return busy


async def _resume_one(
    session_id: str, store: SessionStore, commands: Commands, runner: TurnRunner, deliver: Wake
) -> bool:
    ctx = await store.load_session(session_id)
    if ctx.commands:
        await commands.run_open(session_id)
        runner.wake(session_id)  # for those that wait for its lane
    if ctx.outbox.pending:
        deliver(session_id)
    await store.refresh(ctx)
    if ctx.conversation.open:
        await store.append(session_id, ResumedLine(turn=ctx.turn, clean=store.left_cleanly))
        await store.refresh(ctx)
        if ctx.deaths >= MOST_DEATHS and not ctx.questions:  # a question waits for a person, it kills nobody
            logger.error("turn {} of {}: set aside after {} deaths in one step", ctx.turn, session_id, ctx.deaths)
            await runner.set_aside(ctx)
        else:
            runner.wake(session_id)
    return True


async def spent_today(store: SessionStore, zone: str, now: float) -> float:
    """US dollars of today's model calls, from the logs: the budget survives restarts."""
    return sum((await spent_by_user(store, zone, now)).values())


async def spent_by_user(store: SessionStore, zone: str, now: float) -> dict[str, float]:
    """Of each user; '' of those who have no name."""
    midnight = datetime.fromtimestamp(now, ZoneInfo(zone)).replace(hour=0, minute=0, second=0, microsecond=0)
    since, spent = midnight.timestamp(), defaultdict[str, float](float)
    for session_id in await store.touched_since(since):
        writers: dict[int, str] = {}
        for line in await store.read_lines(session_id):
            if isinstance(line, UserLine):
                writers[line.seq] = line.user_id
            elif line.ts >= since and isinstance(line, AssistantLine | SummaryLine | UsageLine):
                spent[writers.get(line.turn) or person_of(session_id)] += line.usage.usd
    return dict(spent)
