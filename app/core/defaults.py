"""The one place where core reaches up to app.assembly, late: AgentLoop(settings) and the tools work alone."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.config import Settings
    from app.core.machine import Machine
    from app.core.parts import Parts


def default_parts(settings: Settings) -> Parts:
    from app.assembly import build_parts

    return build_parts(settings)


@cache
def default_machine() -> Machine:
    from app.assembly import build_machine
    from app.config import load_settings

    return build_machine(load_settings())
