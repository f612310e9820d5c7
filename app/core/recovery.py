"""What to do at start: every session in which something is open goes on where its log ends."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from zoneinfo import ZoneInfo

from loguru import logger

from app.core.commands import Commands
from app.core.contracts import SessionStore
from app.core.events import AssistantLine, SummaryLine, UsageLine
from app.core.turns import TurnRunner

Wake = Callable[[str], None]


async def resume(store: SessionStore, commands: Commands, runner: TurnRunner, deliver: Wake) -> int:
    """Wakes the lanes of what is open; returns how many sessions that were."""
    busy = 0
    for info in await store.list_sessions():
        try:
            busy += await _resume_one(info.session_id, store, commands, runner, deliver)
        except Exception:  # noqa: BLE001  boundary: one session that cannot go on must not keep the others from it
            logger.exception("recovery: {} cannot go on", info.session_id)
    logger.info("recovery: {} session(s) with open work", busy)
    return busy


async def _resume_one(
    session_id: str, store: SessionStore, commands: Commands, runner: TurnRunner, deliver: Wake
) -> bool:
    ctx = await store.load_session(session_id)
    if ctx.commands:
        await commands.run_open(session_id)
    if ctx.outbox.pending:
        deliver(session_id)
    if ctx.conversation.open:
        runner.wake(session_id)
    return ctx.is_busy


async def spent_today(store: SessionStore, zone: str, now: float) -> float:
    """US dollars of today's model calls, from the logs: the budget survives restarts."""
    midnight = datetime.fromtimestamp(now, ZoneInfo(zone)).replace(hour=0, minute=0, second=0, microsecond=0)
    since, total = midnight.timestamp(), 0.0
    for info in await store.list_sessions():
        if info.updated >= since:
            for line in await store.read_lines(info.session_id):
                if line.ts >= since and isinstance(line, AssistantLine | SummaryLine | UsageLine):
                    total += line.usage.usd
    return total
