"""How a secret value can stand in a text: as it is, escaped, or encoded and perhaps broken into lines and groups."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import quote, unquote_to_bytes

SHORTEST = 10  # characters of an encoded form that cannot be a coincidence
_MIXED = 8  # characters of a value that is looked for partly encoded

_LINE_BREAK = r"(?:\s|\\[nr]){0,40}"  # escaped ones count, and an indentation
_HEX_BREAK = r"(?:[\s:,-]|\\[nr]|\\?0?x){0,40}"  # 67 73, 67:73, \\x67\\x73, 0x67, 0x73


@dataclass(frozen=True, slots=True)
class Encoded:
    """`pattern` finds it in a text; it can only be there when `core` is in `pack(text)`, which is quick to ask."""

    core: str
    pack: Callable[[str], str]
    pattern: re.Pattern[str]


def literal_forms(secret: str) -> Iterator[str]:
    yield secret
    for form in (quote(secret, safe=""), json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]):
        if len(form) > len(secret):
            yield form


def encoded_forms(secret: str) -> Iterator[Encoded]:
    raw = secret.encode("utf-8", "surrogatepass")
    if len(secret) >= _MIXED:
        yield Encoded(raw.decode("latin-1"), _unquoted, re.compile("".join(map(_percent, secret))))
    if 2 * len(raw) >= SHORTEST:
        pairs = (f"{byte:02x}" for byte in raw)
        yield Encoded(raw.hex(), _without_groups, re.compile(_HEX_BREAK.join(pairs), re.IGNORECASE))
    for form in dict.fromkeys(_base64_forms(raw)):
        if len(form) >= SHORTEST:
            yield Encoded(form, _without_lines, re.compile(_LINE_BREAK.join(map(re.escape, form))))


def _percent(character: str) -> str:
    """Itself or percent-encoded, in any case: encoders differ in which characters they leave."""
    raw = character.encode("utf-8", "surrogatepass")
    return f"(?:{re.escape(character)}|(?i:{''.join(f'%{byte:02x}' for byte in raw)}))"


def _unquoted(text: str) -> str:
    return unquote_to_bytes(text.encode("utf-8", "surrogatepass")).decode("latin-1") if "%" in text else ""


def _without_lines(text: str) -> str:
    return "".join(text.split()).replace("\\n", "").replace("\\r", "")


def _without_groups(text: str) -> str:
    packed = _without_lines(text).lower()
    for separator in ("\\x", "0x", "x", ":", ",", "-"):
        packed = packed.replace(separator, "")
    return packed


def _base64_forms(raw: bytes) -> Iterator[str]:
    """The characters that depend on the secret alone, wherever it stands in what was encoded."""
    for shift in range(3):
        first = (8 * shift + 5) // 6  # characters that also depend on what comes before
        last = (8 * (shift + len(raw))) // 6  # and those after depend on what follows
        encoded = base64.b64encode(bytes(shift) + raw).decode()[first:last]
        yield encoded
        yield encoded.replace("+", "-").replace("/", "_")
