"""A text that arrives in pieces, without secrets: where one may still be growing, the text waits for its next piece.

Most of what waits is a word that has not ended, since a key has no space in it. A value that has spaces, or one that
is written in groups or lines (67:73:6b, base64), waits as long as what has come fits its beginning; a private key
until its end.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from app.safety.encodings import encoded_forms, literal_forms

_OPEN_KEY = re.compile(r"-----BEGIN (?:[A-Z0-9 ]{0,60}-{0,5}|[A-Z0-9 ]{0,40}PRIVATE KEY[A-Za-z0-9+/=\s\\:,-]*)")
_KEY_END = re.compile(r"-----END [A-Z0-9 ]{0,60}-----")
_LONGEST_KEY = 20_000
_GAPS = re.compile(r"\\[nr]|\\?0?x|[\s:,-]")
_LINES = re.compile(r"\\[nr]|\s")
_ORDINARY = re.compile(r"(?:[^\W\d_][^\W\d_A-Z]{2,23})?[.,;:!?)\]…»*`]{0,4}")
_NO_COINCIDENCE = 4
_SEGMENT, _CONTEXT = 700, 300  # characters that are looked at again with each piece; what stays of them


@dataclass(frozen=True, slots=True)
class Growing:
    """The forms of the known values: as they are, in groups of hex, in lines of base64."""

    plain: tuple[str, ...]
    hex: tuple[str, ...]
    lines: tuple[str, ...]
    letters: frozenset[str]

    @staticmethod
    @lru_cache(8)
    def of(values: tuple[str, ...]) -> Growing:
        literal = [form for value in values for form in literal_forms(value)]
        cores = [form.core for value in values for form in encoded_forms(value)]
        hexes = tuple(value.encode("utf-8", "surrogatepass").hex() for value in values)
        return Growing(
            tuple(literal),
            hexes,
            tuple(core for core in cores if core not in hexes),
            frozenset("".join(literal)),
        )

    def begins(self, text: str, least: int = 1) -> int:
        """Where in the text the earliest of them may have begun that is not whole yet; its length when nowhere.

        `least`: characters that are no coincidence.
        """
        longest = max(map(len, (*self.plain, *self.hex, *self.lines)), default=0)
        tail = text[-4 * longest :] if longest else ""
        views = ((self.plain, None), (self.hex, _GAPS), (self.lines, _LINES))
        starts = (start for forms, gaps in views if forms for start in _starts(tail, forms, gaps, least))
        return len(text) - len(tail) + min(starts, default=len(tail))


def _starts(tail: str, forms: Sequence[str], gaps: re.Pattern[str] | None, least: int) -> Iterator[int]:
    gone = {place for gap in gaps.finditer(tail) for place in range(*gap.span())} if gaps else set[int]()
    places = [place for place in range(len(tail)) if place not in gone]
    packed = "".join(tail[place] for place in places)
    packed = packed.lower() if gaps is _GAPS else packed
    for form in forms:
        at = packed.find(form[0], max(0, len(packed) - len(form) + 1))
        while at >= 0 and not form.startswith(packed[at:]):
            at = packed.find(form[0], at + 1)
        if 0 <= at <= len(packed) - least:
            yield places[at]


class StreamRedactor:
    """Implements TextStream. `clean` redacts a whole text."""

    def __init__(self, clean: Callable[[str], str], growing: Growing) -> None:
        self._clean = clean
        self._growing = growing
        self._raw = ""  # the last of what has come
        self._word = 0  # where in it the last word begins
        self._safe = 0  # up to where it has been shown
        self._shown = ""  # that, clean

    def feed(self, piece: str) -> str:
        end = max((place for place, letter in enumerate(piece, 1) if self._ends_word(letter)), default=0)
        self._word = len(self._raw) + end if end else self._word
        self._raw += piece
        if self._word <= self._safe:
            return ""
        safe = min(self._word, self._growing.begins(self._raw), self._open_key())
        if safe <= self._safe:
            return ""
        clean = self._clean(self._raw[:safe])
        # A value with spaces in it may end in the last word.
        return self._show(safe, clean) if self._clean(self._raw).startswith(clean) else ""

    def pause(self) -> str:
        """An ordinary word need not wait for the next piece when that takes its time."""
        word = self._raw[self._word :]
        ordinary = self._growing.begins(self._raw, _NO_COINCIDENCE) == len(self._raw) and _ORDINARY.fullmatch(word)
        return self.end() if ordinary and self._open_key() == len(self._raw) else ""

    def end(self) -> str:
        return self._show(len(self._raw), self._clean(self._raw))

    def _ends_word(self, letter: str) -> bool:
        return letter.isspace() or (not letter.isascii() and letter not in self._growing.letters)

    def _open_key(self) -> int:
        """Where a private key begins that has not ended."""
        begin = self._raw.rfind("-----BEGIN ")
        if begin < 0 or len(self._raw) - begin > _LONGEST_KEY or _KEY_END.search(self._raw, begin):
            return len(self._raw)
        return begin if _OPEN_KEY.fullmatch(self._raw, begin) else len(self._raw)

    def _show(self, safe: int, clean: str) -> str:
        same = next((at for at, (a, b) in enumerate(zip(clean, self._shown, strict=False)) if a != b), None)
        fresh = clean[len(self._shown) if same is None else same :]
        self._safe, self._shown = safe, clean
        self._forget()
        return fresh

    def _forget(self) -> None:
        """What is long past is no longer looked at; a name keeps its value near."""
        if self._safe < _SEGMENT or "Private-Lines" in self._raw:
            return
        cut = self._raw.find("\n", self._safe - _CONTEXT, self._safe - _CONTEXT // 2) + 1
        cut = cut or self._raw.find(" ", self._safe - _CONTEXT, self._safe) + 1
        self._raw, self._word, self._safe = self._raw[cut:], self._word - cut, self._safe - cut
        self._shown = self._clean(self._raw[: self._safe])
