"""What the loop stands on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from app.core.approvals import Approvals
from app.core.context import AgentContext
from app.core.contexts import Contexts
from app.core.contracts import Brain, EventSink, SessionStore, Surroundings
from app.core.gates import Handler
from app.core.machine import Machine
from app.core.permissions import Permissions
from app.core.roles import GUEST_TOOLS, People, Role, Standing, person_of
from app.core.toolkit import Toolbox
from app.core.undo import Undo


@dataclass(frozen=True, slots=True)
class Parts:
    """app/assembly.py builds the default ones. `guests`: the machine of each guest, by number."""

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
    permissions: Permissions
    people: People = field(default_factory=People)
    guests: Mapping[str, Machine] = field(default_factory=dict[str, Machine])

    def standing(self, ctx: AgentContext) -> Standing:
        """For the turn that is open now."""
        writers = [line.user_id for line in ctx.conversation.open.values()]
        role = self.people.role_in(ctx.session_id, writers)
        user = next(filter(None, writers), "") or person_of(ctx.session_id)
        if role is Role.OWNER:
            return Standing(role, user, self.toolbox, self.machine)
        machine = self.guests.get(person_of(ctx.session_id))
        tools = self.toolbox.only(GUEST_TOOLS if machine and role is Role.GUEST else ())
        return Standing(role, user, tools, machine or self.machine)
