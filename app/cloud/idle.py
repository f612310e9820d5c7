"""A quick look that proves most logs idle: ten thousand are seen in a second, where reading their lines takes five.

It says yes only when nothing in the whole log can be open; about all others the fold decides.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

_HEAD = re.compile(rb'\n\{"v":1,"seq":(\d+),"ts":[\d.e+]+,"turn":\d+,"type":"(\w+)"')
_DELIVERED = re.compile(rb'"of":(\d+),"part":(\d+),"parts":(\d+)[,}]')
_OPENERS = {b"user", b"retry", b"approval_asked"}
_FOR_A_CHAT = {b"assistant", b"reply", b"approval_asked"}


@dataclass
class _Seen:
    opener: int = -1  # index of the last line that opens something for the model, and of its last word
    spoken: int = -1
    user: int = 0  # seq of the last message
    commands: set[int] = field(default_factory=set[int])
    for_a_chat: set[bytes] = field(default_factory=set[bytes])
    parts: defaultdict[bytes, set[bytes]] = field(default_factory=lambda: defaultdict[bytes, set[bytes]](set))
    whole: set[bytes] = field(default_factory=set[bytes])  # of which every part is out


def surely_idle(log: bytes) -> bool:
    """`log`: a whole file."""
    with suppress(ValueError):  # what is no JSON is not judged here
        return _looks_idle(log)
    return False


def _looks_idle(log: bytes) -> bool:
    heads = _HEAD.findall(b"\n" + log)
    lines = log.split(b"\n")
    if lines.pop() or len(heads) != len(lines):
        return False  # something torn, unreadable, or of another version
    seen = _Seen()
    for index, (seq, kind) in enumerate(heads):
        _look_at(seen, index, seq, kind, lines[index])
    return not seen.commands and seen.for_a_chat <= seen.whole and _is_answered(seen, lines)


def _look_at(seen: _Seen, index: int, seq: bytes, kind: bytes, line: bytes) -> None:
    if kind in _OPENERS:
        seen.opener = index
    if kind in _FOR_A_CHAT and b'"reply_to":{' in line:
        seen.for_a_chat.add(seq)
    match kind:
        case b"user":
            seen.user = int(seq)
        case b"assistant":
            seen.spoken = index
        case b"command":
            seen.commands.add(int(seq))
        case b"reply" if seen.commands:
            seen.commands.discard(json.loads(line).get("to", 0))
        case b"delivered" if match := _DELIVERED.search(line):
            of, part, parts = match.groups()
            seen.parts[of].add(part)
            if len(seen.parts[of]) >= int(parts):
                seen.whole.add(of)
        case _:
            pass


def _is_answered(seen: _Seen, lines: Sequence[bytes]) -> bool:
    """The last line that opens something stands before a final answer that covers it, and no model spoke since."""
    if seen.spoken < 0:
        return seen.opener < 0
    answer = json.loads(lines[seen.spoken])
    return seen.opener < seen.spoken and answer.get("final") is True and answer.get("covers", 0) >= seen.user
