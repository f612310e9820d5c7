"""A question as one message of a chat, its buttons, and what comes back when one is pressed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from app.core import texts_asking as texts
from app.core.context import SESSION_ID
from app.core.contracts import Channel, Choice, Part
from app.core.events import ApprovalAskedLine

Pressed = Literal["allow", "always", "deny", "why"]
_MARKS: dict[Pressed, str] = {"allow": "si", "always": "ss", "deny": "no", "why": "pq"}
_PRESSED: dict[str, Pressed] = {mark: pressed for pressed, mark in _MARKS.items()}
_LONGEST = 12_000  # characters that a chat is shown: a few messages, with the buttons below the last
_LIMITS = (3_000, 1_500, 700)  # of one that is longer; the first that makes one message


def question_parts(channel: Channel, text: str) -> Sequence[Part]:
    if len(text) <= _LONGEST:
        return channel.split(text)
    cuts = (channel.split(texts.cut_question(text, limit)) for limit in _LIMITS)
    return next((parts for parts in cuts if len(parts) == 1), None) or channel.split(text)


def question_choices(session_id: str, line: ApprovalAskedLine) -> tuple[Choice, ...]:
    """What is not shown whole is not permitted here: the dashboard has all of it."""
    whole = len(line.question) <= _LONGEST
    offered: dict[Pressed, str] = {"allow": texts.ALLOW} if whole else {}
    offered["deny"] = texts.DENY
    if line.rule and whole:
        offered["always"] = texts.ALWAYS
    if line.kind != "pay":  # no model hears of that refusal
        offered["why"] = texts.DENY_WHY
    return tuple(Choice(label, choice_data(session_id, line.seq, pressed)) for pressed, label in offered.items())


def choice_data(session_id: str, asked: int, pressed: Pressed) -> str:
    """At most 64 bytes, as Telegram wants it."""
    return f"{_MARKS[pressed]}|{session_id}|{asked}"


def parse_choice(data: str) -> tuple[str, int, Pressed] | None:
    """(session, seq of the question, what was pressed)."""
    mark, _, rest = data.partition("|")
    session_id, _, asked = rest.partition("|")
    pressed = _PRESSED.get(mark)
    if pressed is None or not (asked.isdecimal() and asked.isascii()) or not SESSION_ID.fullmatch(session_id):
        return None
    return session_id, int(asked), pressed
