"""Characters that nobody sees, in which text can hide: taken out, except where people's writing needs them."""

from __future__ import annotations

import re
import unicodedata

# Terminal colours and titles, and other control characters.
_CONTROL = re.compile(
    r"\x1b\[[0-9;:?<=>]{0,64}[ -/]{0,8}[@-~]|\x1b[\]PX^_][^\x07\x1b\n]{0,1000}(?:\x07|\x1b\\)"
    r"|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]"
)
_LINE_ENDS = re.compile("[\u2028\u2029]")
_UNSEEN = re.compile(
    "["
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u2800\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U00013430-\U00013455\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff"
    "]"
)
_FLAGS = re.compile(  # of England, Scotland and Wales: the only ones that are written in tags
    "(?<=\U0001f3f4)\U000e0067\U000e0062(?:\U000e0065\U000e006e\U000e0067|\U000e0073\U000e0063\U000e0074"
    "|\U000e0077\U000e006c\U000e0073)\U000e007f"
)
_JOINERS, _MARKS, _STYLES = frozenset("\u200c\u200d"), frozenset("\u200e\u200f\u061c"), frozenset("\ufe0e\ufe0f")
_MONGOLIAN = frozenset("\u180b\u180c\u180d\u180f")
_NEVER_TWO = _JOINERS | _MARKS | _MONGOLIAN  # a row of them says something else
_NEAR = 12  # characters around a mark, of which one is written from right to left
_SKIN = frozenset(map(chr, range(0x1F3FB, 0x1F400)))
_KEYCAP = "\u20e3"
# Arabic, Syriac, Indic, Burmese, Khmer… where joiners change how a word looks.
_JOINING = re.compile("[\u0620-\u08ff\u0900-\u0dff\u0f00-\u109f\u1780-\u18af\ufb50-\ufdff\ufe70-\ufefc]")


def seen(text: str) -> tuple[str, int]:
    """The text as people see it, and how many characters in it nobody would have."""
    text = _LINE_ENDS.sub("\n", _CONTROL.sub("", text))
    if not _UNSEEN.search(text):
        return text, 0
    flags = {place for flag in _FLAGS.finditer(text) for place in range(*flag.span())}
    kept: list[str] = []
    end = hidden = 0
    for found in _UNSEEN.finditer(text):
        at = found.start()
        if at in flags or _belongs(text, at):
            continue
        kept.append(text[end:at])
        end, hidden = at + 1, hidden + 1
    return "".join([*kept, text[end:]]), hidden


def _belongs(text: str, at: int) -> bool:
    """One alone, where its script or an emoji needs it."""
    it, before, after = text[at], text[max(0, at - 1) : at], text[at + 1 : at + 2]
    if not before or (before in _NEVER_TWO and it in _NEVER_TWO):
        return False
    if it in _STYLES:
        return _is_symbol(before) or (before in "#*0123456789" and after == _KEYCAP)
    if it in _MONGOLIAN:
        return "\u1820" <= before <= "\u18af"
    if it in _MARKS:
        return any(map(_is_leftward, text[max(0, at - _NEAR) : at + _NEAR]))
    if it not in _JOINERS:
        return False
    if it == "\u200d" and before in _STYLES:
        before = text[at - 2 : at - 1]
    if it == "\u200d" and _is_symbol(before) and _is_symbol(after):
        return True
    return bool(_JOINING.match(before))


def _is_symbol(character: str) -> bool:
    if not character:
        return False
    return character in _SKIN or character in "‼⁉〰" or unicodedata.category(character) in {"So", "Sm"}


def _is_leftward(character: str) -> bool:
    return character not in _MARKS and unicodedata.bidirectional(character) in {"R", "AL"}
