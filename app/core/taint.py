"""What a conversation with text from outside in it may no longer do unasked, whatever the policy says.

Until that text, and every summary of it, has left the window: whoever wrote it may have told the model what to do.
"""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING

from app.core import texts_taint as texts
from app.core.given import is_given
from app.core.machine import folder, machine
from app.core.roles import Role
from app.core.survey import survey
from app.core.toolkit import Risk

if TYPE_CHECKING:
    from app.core.gates import Invocation

_NOTES = frozenset({"soul.md", "user.md", "agents.md", "memory.md"})
_WHY = {
    Risk.NETWORK: texts.ASK_NETWORK,
    Risk.OUTSIDE: texts.ASK_OUTSIDE,
    Risk.DESTRUCTIVE: texts.ASK_DESTRUCTIVE,
}


def must_ask(invocation: Invocation) -> str:
    """The rest of «Pregunto porque…», '' when nothing from outside is in the window or the call can do no harm."""
    origin = invocation.turn.ctx.conversation.untrusted if invocation.turn else ""
    what = _harm(invocation) if origin else ""
    return texts.because(what, origin) if what else ""


def _harm(invocation: Invocation) -> str:
    if invocation.tool.name == "web_fetch":
        return "" if _is_given(invocation) else texts.ASK_ADDRESS
    if invocation.risk is Risk.EXECUTE and not machine().sandbox.confined:
        return texts.ASK_UNCONFINED
    owner = invocation.turn is None or invocation.turn.standing is None or invocation.turn.standing.role is Role.OWNER
    if owner and invocation.risk is not Risk.READ and _is_notes(str(invocation.arguments.get("path", ""))):
        return texts.ASK_NOTES
    return _WHY.get(invocation.risk, "")


def _is_given(invocation: Invocation) -> bool:
    turn = invocation.turn
    return turn is not None and is_given(str(invocation.arguments.get("url", "")), turn.ctx.conversation.messages)


def _is_notes(path: str) -> bool:
    """They stand in the system prompt of every conversation. By whatever name: a link leads there as well."""
    look = survey()
    real = look.lands(path, folder()) if look and path else None
    names = [PurePath(path.replace("\\", "/")).name, real.name if real else ""]
    return any(name.rstrip(". ").casefold() in _NOTES for name in names)
