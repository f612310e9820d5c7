"""A model's Markdown as Telegram messages: plain text with entities, cut where a reader would cut.

telegramify-markdown does the conversion. Around it: what it would hide (HTML, $…$, ||…||, __…__, links into the
project) is kept as written, since here that is code and shell far more often than mark-up; and its own splitter knows
neither the limit of 100 entities nor emoji of several characters. A message holds 4096 UTF-16 units and 100 entities.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, islice, pairwise

import pyromark
from loguru import logger
from telegram import MessageEntity
from telegramify_markdown import MessageEntity as Entity
from telegramify_markdown import RenderConfig, convert
from telegramify_markdown.converter import STANDARD_OPTIONS

from app.core.contracts import Part

MAX_UNITS = 4000  # of 4096: who sends may put a line in front (the mark of a repeat)
MAX_ENTITIES = 100
_MAX_PASSES = 200
_LONGEST_EMOJI = 64
_STYLES = frozenset({"bold", "italic", "underline", "strikethrough"})
_QUOTES = frozenset({"blockquote", "expandable_blockquote"})
_SOLID = frozenset({"code", "pre", "text_link"})
_EXCLUSIVE = (_QUOTES, _SOLID)  # Telegram shows none of a group inside another of it
_LINK = re.compile(r"(https?|tg)://\S|mailto:\S", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_JOINER = "\u200d"
_MODIFIER = re.compile("[\U0001f3fb-\U0001f3ff\U000e0020-\U000e007f]")
_FLAG_LETTERS = "".join(map(chr, range(0x1F1E6, 0x1F200)))  # two make a flag
_INVISIBLE = re.compile("[\u2800\ufffc\U000e0000-\U000e007f]")


@dataclass(frozen=True, slots=True)
class Span:
    """An entity over text[start:end], in Python's characters."""

    kind: str
    start: int
    end: int
    url: str | None = None
    language: str | None = None


def to_parts(markdown: str) -> list[Part]:
    """The messages, in order; `payload` is a tuple of MessageEntity. Empty when there is nothing to see."""
    text, spans = _convert(_clean(markdown))
    return [
        Part(text[start:end], tuple(_entities(text, spans, start, end)))
        for start, end in _pieces(text, spans)
        if _visible(text[start:end])
    ]


def utf16_len(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-16-le")) // 2


# ---------------------------------------------------------------- Markdown


def _clean(markdown: str) -> str:
    """Telegram refuses half surrogate pairs, turns a tab into one space, and drops line separators."""
    whole = markdown.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    lines = re.sub(r"\r\n?|[\u2028\u2029]", "\n", whole)
    return _CONTROL.sub("", lines).expandtabs(4)


def _convert(markdown: str) -> tuple[str, list[Span]]:
    """Boundary: whatever the parsers do with a model's text (Rust panics are no Exception), the text goes out."""
    try:
        text, entities = convert(_as_written(markdown), latex_escape=False, config=_config())
        return text, _spans(text, entities)
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        logger.opt(exception=True).warning("Markdown of {} characters not converted; sent as it is", len(markdown))
        return markdown, []


def _config() -> RenderConfig:
    config = RenderConfig.isolated()
    symbols = config.markdown_symbol
    symbols.heading_level_1 = symbols.heading_level_2 = symbols.heading_level_3 = symbols.heading_level_4 = ""
    symbols.unordered_list_item = "•"
    symbols.task_uncompleted = "⬜"
    symbols.image = "🖼 "
    return config


def _as_written(markdown: str) -> str:
    """Escapes, until the parser finds no more of it, what would be swallowed."""
    for _ in range(_MAX_PASSES):
        if not (offsets := _swallowed(markdown.encode())):
            return markdown
        bounds = [0, *sorted(offsets), len(markdown.encode())]
        markdown = b"\\".join(markdown.encode()[a:b] for a, b in pairwise(bounds)).decode()
    raise ValueError("too much HTML outside code")


def _swallowed(source: bytes) -> set[int]:
    """Byte offsets of such marks; those of ||spoilers||, which know no code, only when no other is left."""
    offsets: set[int] = set()
    code: list[tuple[int, int]] = []
    for event, place in pyromark.events_with_range(source.decode(), options=STANDARD_OPTIONS):
        start, end = place["start"], place["end"]
        match event:
            case {"InlineHtml": _}:
                offsets.add(start)
            case {"Start": "HtmlBlock"}:
                offsets.add(source.index(b"<", start))
            case {"Start": "Strong"} if source.startswith(b"__", start):  # __init__.py
                offsets |= {start, start + 1, end - 2, end - 1}
            case {"InlineMath": _}:
                offsets |= {start, end - 1}
            case {"DisplayMath": _}:
                offsets |= {start, start + 1, end - 2, end - 1}
            case {"Start": {"Link": {"dest_url": str(url)}} | {"Image": {"dest_url": str(url)}}}:
                if not _LINK.match(url):
                    offsets.add(start)
            case {"Code": _} | {"Start": {"CodeBlock": _}}:
                code.append((start, end))
            case _:
                pass
    if offsets:
        return offsets
    pipes = [m.start() for m in re.finditer(rb"(?<!\\)\|\|", source)]
    free = [p for p in pipes if not any(start <= p < end for start, end in code)]
    return {offset for p in free for offset in (p, p + 1)}


# ---------------------------------------------------------------- entities


def _spans(text: str, entities: Sequence[Entity]) -> list[Span]:
    """The library's entities, outer before inner, without those that Telegram would not show."""
    units = _units(text)
    found = [
        Span(
            e.type,
            bisect_right(units, e.offset) - 1,
            bisect_right(units, e.offset + e.length) - 1,
            e.url,
            " ".join((e.language or "").split()[:1]) or None,
        )
        for e in entities
    ]
    kept: list[Span] = []
    ends = dict.fromkeys(_EXCLUSIVE, 0)
    for span in sorted(dict.fromkeys(found), key=_outer_first):
        group = next((group for group in _EXCLUSIVE if span.kind in group), None)
        if (group is None and span.kind not in _STYLES) or (span.url and not _LINK.match(span.url)):
            continue
        if group is not None:
            if span.start < ends[group]:
                continue
            ends[group] = span.end
        kept.append(span)
    return kept


def _outer_first(span: Span) -> tuple[int, int, bool, bool]:
    return span.start, -span.end, span.kind not in _QUOTES, span.url is None


def _entities(text: str, spans: Sequence[Span], start: int, end: int) -> Iterator[MessageEntity]:
    """Those of the piece text[start:end]; what reaches beyond it goes on in the next one."""
    inside = (replace(s, start=max(s.start, start), end=min(s.end, end)) for s in spans if s.start < end)
    shown = (s for s in inside if s.start < s.end and _visible(text[s.start : s.end]))
    for span in islice(shown, MAX_ENTITIES):
        yield MessageEntity(
            span.kind,
            utf16_len(text[start : span.start]),
            utf16_len(text[span.start : span.end]),
            url=span.url,
            language=span.language,
        )


# ---------------------------------------------------------------- pieces


def _pieces(text: str, spans: Sequence[Span]) -> Iterator[tuple[int, int]]:
    units = _units(text)
    inside = bytearray(len(text) + 1)
    for span in spans:
        inside[span.start + 1 : span.end] = b"\1" * (span.end - span.start - 1)
    start = 0
    while start < len(text):
        if text[start] == "\n":  # blank lines between two pieces; spaces may be the indentation of code
            start += 1
            continue
        end = bisect_right(units, units[start] + MAX_UNITS) - 1
        crowd = [s.start for s in spans if s.end > start]
        if len(crowd) > MAX_ENTITIES and crowd[MAX_ENTITIES] > start:
            end = min(end, crowd[MAX_ENTITIES])
        if end < len(text):
            end = _cut(text, inside, start, end)
        yield start, start + len(text[start:end].rstrip())
        start = end


def _cut(text: str, inside: bytearray, start: int, end: int) -> int:
    """Where to end a piece, in its second half: a paragraph, a line, a word; outside entities when possible."""
    middle = start + (end - start) // 2
    for separator, anywhere in (("\n\n", False), ("\n", False), ("\n", True), (" ", False), (" ", True)):
        at = text.rfind(separator, middle, end)
        while at >= 0:
            if anywhere or not inside[at + len(separator)]:
                return at + len(separator)
            at = text.rfind(separator, middle, at)
    return _between_characters(text, start, end)


def _between_characters(text: str, start: int, end: int) -> int:
    """`end`, or a little before it when it would tear apart what people see as one character."""
    cut = end
    while _joined(text, cut):
        cut -= 1
        if cut <= max(start, end - _LONGEST_EMOJI):
            return end
    return cut


def _joined(text: str, at: int) -> bool:
    before, after = text[at - 1], text[at]
    if before == _JOINER or after == _JOINER or _MODIFIER.match(after) or unicodedata.category(after).startswith("M"):
        return True
    flags = len(text[:at]) - len(text[:at].rstrip(_FLAG_LETTERS)) if after in _FLAG_LETTERS else 0
    return flags % 2 == 1


def _units(text: str) -> list[int]:
    """The UTF-16 offset of every character, and of the end."""
    return list(accumulate((2 if c > "\uffff" else 1 for c in text), initial=0))


def _visible(text: str) -> bool:
    """Whether Telegram would find anything in it (TDLib's is_empty_string, a little stricter)."""
    return any(
        not c.isspace() and unicodedata.category(c) not in {"Cc", "Cf"} and not _INVISIBLE.match(c) for c in text
    )
