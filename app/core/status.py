"""StatusReport: how Nanobot is, for /estado, the dashboard and GET /api/status."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from app.core.contracts import RouteState


@dataclass(frozen=True, slots=True)
class MissingItem:
    """Something not configured: the variable, what it is for, and where to get it."""

    variable: str
    what: str
    where: str


@dataclass(frozen=True, slots=True)
class StatusReport:
    """Sentences are Spanish; money in US dollars. `open_work`: sessions in which something is under way."""

    version: str
    uptime_seconds: float
    routes: Sequence[RouteState]
    telegram: str
    telegram_ok: bool
    spent_today_usd: float
    daily_budget_usd: float
    sandbox: str
    open_work: int
    missing: Sequence[MissingItem] = field(default_factory=tuple[MissingItem, ...])
