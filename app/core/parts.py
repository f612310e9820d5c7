"""What the loop stands on."""

from __future__ import annotations

from dataclasses import dataclass

from app.core.approvals import Approvals
from app.core.contexts import Contexts
from app.core.contracts import Brain, EventSink, SessionStore, Surroundings
from app.core.gates import Handler
from app.core.machine import Machine
from app.core.toolkit import Toolbox
from app.core.undo import Undo


@dataclass(frozen=True, slots=True)
class Parts:
    """app/assembly.py builds the default ones."""

    brain: Brain
    store: SessionStore
    contexts: Contexts
    toolbox: Toolbox
    handler: Handler
    machine: Machine
    approvals: Approvals
    surroundings: Surroundings
    sink: EventSink
    undo: Undo
