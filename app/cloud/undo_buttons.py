"""The buttons with which something is undone, and what comes back when one is pressed."""

from __future__ import annotations

from app.core import texts_undo as texts
from app.core.context import SESSION_ID
from app.core.contracts import Choice
from app.core.events import AssistantLine, ReplyLine

_YES, _NO = "us", "un"


def undo_choices(session_id: str, line: AssistantLine | ReplyLine) -> tuple[Choice, ...]:
    offer = line.undo
    if offer is None:
        return ()
    yes, no = f"{_YES}|{session_id}|{line.seq}", f"{_NO}|{session_id}|{line.seq}"
    match offer.kind:
        case "look":
            return (Choice(texts.undo_button(offer.files), yes),)
        case "redo":
            return (Choice(texts.REDO, yes),)
        case "undo":
            return (Choice(texts.REDO if offer.redo else texts.UNDO, yes), Choice(texts.CANCEL, no))


def parse_undo(data: str) -> tuple[str, int, bool] | None:
    """(session, seq of the line, yes)."""
    mark, _, rest = data.partition("|")
    session_id, _, seq = rest.partition("|")
    if mark not in {_YES, _NO} or not (seq.isdecimal() and seq.isascii()) or not SESSION_ID.fullmatch(session_id):
        return None
    return session_id, int(seq), mark == _YES
