"""Who is who. Owners may use everything; guests only what cannot reach beyond a folder of their own; others nothing.

A session has the rights of the person it belongs to, whoever writes in it: what a guest has said stands in its window.
So guests have sessions of their own in groups too, and nothing of an owner's conversation ever reaches them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from app.core.machine import Machine
from app.core.toolkit import Risk, Toolbox

GUEST_TOOLS = frozenset({"read_file", "write_file", "edit_file", "list_dir", "web_fetch"})
GUEST_RISKS = frozenset({Risk.READ, Risk.WRITE, Risk.NETWORK})  # what asks still asks the guest himself
GUEST_COMMANDS = frozenset({"start", "ayuda", "nuevo", "estado", "para", "reintentar", "adjunto", "deshacer"})
_PERSON = re.compile(r"telegram_(?:g[0-9]+-i)?(?P<person>[0-9]+)(?:-t[0-9]+)?(?:_[0-9]+)?")


class Role(StrEnum):
    OWNER = "owner"
    GUEST = "guest"
    NOBODY = "nobody"


def person_of(session_id: str) -> str:
    """The Telegram user whose session this is; '' for a shared one and for the browser's."""
    found = _PERSON.fullmatch(session_id)
    return found["person"] if found else ""


@dataclass(frozen=True, slots=True)
class People:
    """`strict`: Telegram is in use, so a number that is not named is nobody's."""

    owners: frozenset[int] = frozenset()
    guests: frozenset[int] = frozenset()
    strict: bool = False

    def role(self, user_id: str) -> Role:
        """Telegram users have numbers. Whoever has none (browser, API, library) was let in as the owner."""
        if not user_id.isdecimal():
            return Role.OWNER
        if int(user_id) in self.guests:
            return Role.GUEST
        return Role.NOBODY if self.strict and int(user_id) not in self.owners else Role.OWNER

    def role_in(self, session_id: str, writers: Iterable[str]) -> Role:
        """The least of those who have written what is open; in a session of whoever is no owner, never more than guest.

        `writers` may have lost their place since: then nobody answers them.
        """
        roles = {self.role(writer) for writer in writers}
        if Role.NOBODY in roles:
            return Role.NOBODY
        theirs = self.role(person_of(session_id)) is not Role.OWNER
        return Role.GUEST if theirs or Role.GUEST in roles else Role.OWNER

    def may_decide(self, user_id: str, session_id: str) -> bool:
        """Whether this person's word counts for a question of this session."""
        role = self.role(user_id)
        return role is Role.OWNER or (role is Role.GUEST and person_of(session_id) == user_id)


@dataclass(frozen=True, slots=True)
class Standing:
    """What one turn stands on. `user`: whose limits it uses up."""

    role: Role
    user: str
    toolbox: Toolbox
    machine: Machine
