"""How Telegram reads a message's text: parse modes, entities, cleaning, limits.

The rules and the error sentences are those of the Bot API server and its TDLib (`Client.cpp`, `MessageEntity.cpp`,
`misc.cpp`); the public half is https://core.telegram.org/bots/api#formatting-options. Offsets count UTF-16 units.
"""

from __future__ import annotations

import html
import re
from typing import Any, NoReturn

MAX_TEXT = 4096
MAX_CAPTION = 1024
MAX_ENTITIES = 100
MAX_BYTES = 1 << 15

Entity = dict[str, Any]

SPLITTABLE = {"bold", "italic", "underline", "strikethrough", "spoiler"}
QUOTES = {"blockquote", "expandable_blockquote"}
CONTINUOUS = {"code", "pre", "text_link", "text_mention", "custom_emoji"}
# Telegram finds these itself and ignores them when a bot sends them.
FOUND_BY_TELEGRAM = {
    "mention", "hashtag", "cashtag", "bot_command", "url", "email", "phone_number", "bank_card_number",
}  # fmt: skip

_SPACES = {
    *" \n\u1680\u180e\u202e\u202f\u205f\u2800\u3000\ufffc\u00a0\ufeff",
    *map(chr, range(0x2000, 0x2010)),
}


_MIDDLE = "a middle of a UTF-16 symbol at byte offset"


class TextError(Exception):
    """Telegram's own sentence, without the `Bad Request: `."""


def utf16_len(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def is_empty(text: str) -> bool:
    return all(c in _SPACES or 0xE0000 <= ord(c) <= 0xE007F for c in text)


def formatted(
    text: str,
    parse_mode: str,
    entities: list[Entity] | None,
    max_length: int = MAX_TEXT,
    what: str = "message",
) -> tuple[str, list[Entity]]:
    """The text and the entities that the message will have. Raises TextError."""
    if len(text.encode()) > MAX_BYTES:
        raise TextError("text is too long")
    mode = parse_mode.lower()
    if mode == "html":
        text, entities = parse_html(text)
    elif mode == "markdownv2":
        text, entities = parse_markdown_v2(text)
    elif mode not in {"", "none"}:
        raise TextError("unsupported parse_mode")
    checked = check_entities(text, entities or [])
    text, checked = _trim(*_clean(text, checked))
    if utf16_len(text) > max_length:
        raise TextError(f"{what} is too long")
    return text, checked[:MAX_ENTITIES]


def check_entities(text: str, entities: list[Entity]) -> list[Entity]:
    """The entities that Telegram keeps, sorted. Raises TextError for those that it refuses."""
    starts, byte = {}, 0
    position = 0
    for char in text:
        starts[position] = byte
        position += 2 if ord(char) > 0xFFFF else 1
        byte += len(char.encode())
    starts[position] = byte
    kept: list[Entity] = []
    for entity in entities:
        kind, offset, length = entity.get("type"), entity.get("offset"), entity.get("length")
        if not isinstance(offset, int) or not isinstance(length, int):
            raise TextError('can\'t parse MessageEntity: Field "offset" must be of type Number')
        if kind in FOUND_BY_TELEGRAM:
            continue
        if kind not in SPLITTABLE | QUOTES | CONTINUOUS:
            raise TextError("can't parse MessageEntity: Unsupported type specified")
        if kind == "text_link" and not entity.get("url"):
            raise TextError("can't parse MessageEntity: Can't find field \"url\"")
        if not 0 <= offset <= 1_000_000:
            raise TextError(f"receive an entity with incorrect offset {offset}")
        if not 0 <= length <= 1_000_000:
            raise TextError(f"receive an entity with incorrect length {length}")
        if length == 0:
            continue
        end = offset + length
        this = f"entity beginning at UTF-16 offset {offset}"
        if offset >= position:
            raise TextError(f"entity begins after the end of the text at UTF-16 offset {offset}")
        if offset not in starts:
            raise TextError(f"entity begins in {_MIDDLE} {starts[offset + 1]}")
        if end > position:
            raise TextError(f"{this} ends after the end of the text at UTF-16 offset {end}")
        if end not in starts:
            raise TextError(f"{this} ends in {_MIDDLE} {starts[end + 1]}")
        kept.append(dict(entity))
    return sorted(kept, key=lambda e: (e["offset"], -e["length"]))


def problems(text: str, entities: list[Entity]) -> list[str]:
    """What Telegram would refuse or silently repair: a sender that is right has none."""
    found: list[str] = []
    try:
        kept = check_entities(text, entities)
    except TextError as error:
        return [str(error)]
    if len(kept) != len(entities):
        found.append("an entity is dropped")
    if len(entities) > MAX_ENTITIES:
        found.append(f"{len(entities)} entities")
    if utf16_len(text) > MAX_TEXT:
        found.append(f"{utf16_len(text)} units")
    if is_empty(text):
        found.append("nothing to see")
    units = text.encode("utf-16-le")
    for i, outer in enumerate(kept):
        start, end = outer["offset"], outer["offset"] + outer["length"]
        if is_empty(units[2 * start : 2 * end].decode("utf-16-le")):
            found.append(f"{outer['type']} covers only spaces")
        for inner in kept[i + 1 :]:
            if inner["offset"] >= end:
                break
            if inner["offset"] + inner["length"] > end:
                found.append(f"{outer['type']} and {inner['type']} overlap in part")
            if outer["type"] in CONTINUOUS and inner["type"] in CONTINUOUS | QUOTES:
                found.append(f"{inner['type']} inside {outer['type']}")
    return found


def _clean(text: str, entities: list[Entity]) -> tuple[str, list[Entity]]:
    """Control characters become spaces; \\r, line separators and direction overrides go."""
    moved, position, out = {}, 0, []
    kept = 0
    for char in text:
        moved[position] = kept
        width = 2 if ord(char) > 0xFFFF else 1
        position += width
        if char == "\r" or 0x2028 <= ord(char) <= 0x202E or char in "\u0333\u033f\u030a":
            continue
        out.append(" " if char != "\n" and char < " " else char)
        kept += width
    moved[position] = kept
    for entity in entities:
        end = moved[entity["offset"] + entity["length"]]
        entity["offset"] = moved[entity["offset"]]
        entity["length"] = end - entity["offset"]
    return "".join(out), [e for e in entities if e["length"] > 0]


def _trim(text: str, entities: list[Entity]) -> tuple[str, list[Entity]]:
    """The end loses its white space; the beginning only what stands before the first entity."""
    if is_empty(text):
        raise TextError("text must be non-empty")
    text = text.rstrip(" \n")
    length = utf16_len(text)
    for entity in entities:
        entity["length"] = min(entity["length"], length - entity["offset"])
    entities = [e for e in entities if e["length"] > 0]
    first = min((e["offset"] for e in entities), default=length)
    lead = 0
    while lead < first and text[lead] in " \n":
        lead += 1
    for entity in entities:
        entity["offset"] -= lead
    return text[lead:], entities


_TAGS = {
    "b": "bold", "strong": "bold", "i": "italic", "em": "italic", "u": "underline", "ins": "underline",
    "s": "strikethrough", "strike": "strikethrough", "del": "strikethrough", "tg-spoiler": "spoiler",
    "span": "spoiler", "a": "text_link", "tg-emoji": "custom_emoji", "code": "code", "pre": "pre",
    "blockquote": "blockquote",
}  # fmt: skip
_ATTRIBUTE = re.compile(r"""\s*([\w-]+)(?:\s*=\s*("[^"]*"|'[^']*'|[\w.-]+))?""")


def parse_html(source: str) -> tuple[str, list[Entity]]:
    out: list[str] = []
    units = 0
    opened: list[tuple[str, dict[str, str], int]] = []
    entities: list[Entity] = []
    i = 0

    def refuse(sentence: str) -> NoReturn:
        raise TextError(f"can't parse entities: {sentence}")

    while i < len(source):
        begin = len(source[:i].encode())
        if source[i] == "&" and (match := re.compile(r"&(#x?[0-9a-fA-F]+|lt|gt|amp|quot);").match(source, i)):
            char = html.unescape(match[0])
            out.append(char)
            units += utf16_len(char)
            i = match.end()
            continue
        if source[i] != "<":
            out.append(source[i])
            units += utf16_len(source[i])
            i += 1
            continue
        close = source.find(">", i)
        if source.startswith("</", i):
            if not opened:
                refuse(f"Unexpected end tag at byte offset {begin}")
            if close < 0:
                refuse(f"Unclosed end tag at byte offset {begin}")
            name, attributes, start = opened.pop()
            ended = source[i + 2 : close].strip().lower()
            if ended and ended != name:
                refuse(f'Unmatched end tag at byte offset {begin}, expected "</{name}>", found "</{ended}>"')
            if units > start:
                _add_html_entity(entities, name, attributes, (start, units), "".join(out))
        else:
            name = re.split(r"[\s>]", source[i + 1 :], maxsplit=1)[0].lower()
            if close < 0:
                refuse(f"Unclosed start tag at byte offset {begin}")
            if name not in _TAGS:
                refuse(f'Unsupported start tag "{name}" at byte offset {begin}')
            attributes = {
                m[1].lower(): html.unescape((m[2] or "").strip("\"'"))
                for m in _ATTRIBUTE.finditer(source[i + 1 + len(name) : close])
            }
            if name == "span" and attributes.get("class") != "tg-spoiler":
                refuse(f'Tag "span" must have class "tg-spoiler" at byte offset {begin}')
            opened.append((name, attributes, units))
        i = close + 1
    if opened:
        refuse(f"Can't find end tag corresponding to start tag {opened[-1][0]}")
    return "".join(out), entities


def _add_html_entity(
    entities: list[Entity], name: str, attributes: dict[str, str], span: tuple[int, int], text: str
) -> None:
    start, end = span
    entity: Entity = {"type": _TAGS[name], "offset": start, "length": end - start}
    if name == "a":
        entity["url"] = attributes.get("href") or text.encode("utf-16-le")[2 * start :].decode("utf-16-le")
    elif name == "tg-emoji":
        entity["custom_emoji_id"] = attributes.get("emoji-id", "")
    elif name == "blockquote" and "expandable" in attributes:
        entity["type"] = "expandable_blockquote"
    elif name == "code" and attributes.get("class", "").startswith("language-"):
        entity["language"] = attributes["class"].removeprefix("language-")
    elif name == "pre" and entities and entities[-1]["type"] == "code":
        last = entities[-1]
        if (last["offset"], last["length"]) == (start, end - start) and "language" in last:
            last["type"] = "pre"
            return
    entities.append(entity)


_RESERVED = "_*[]()~`>#+-=|{}.!"
_PAIRS = {"*": "bold", "_": "italic", "__": "underline", "~": "strikethrough", "||": "spoiler"}


def parse_markdown_v2(source: str) -> tuple[str, list[Entity]]:
    """Everything but custom emoji and expandable quotes."""
    out: list[str] = []
    units = 0
    opened: list[tuple[str, int, int, Entity]] = []  # marker, start, byte offset, more fields
    entities: list[Entity] = []
    i = 0

    def refuse(sentence: str) -> NoReturn:
        raise TextError(f"can't parse entities: {sentence}")

    def write(char: str) -> None:
        nonlocal units
        out.append(char)
        units += utf16_len(char)

    def close_entity(kind: str, more: Entity | None = None) -> None:
        _marker, start, _byte, fields = opened.pop()
        if units > start:
            entities.append({"type": kind, "offset": start, "length": units - start} | fields | (more or {}))

    while i < len(source):
        char = source[i]
        top = opened[-1][0] if opened else ""
        if char == "\\" and i + 1 < len(source) and 0 < ord(source[i + 1]) <= 126:
            write(source[i + 1])
            i += 2
        elif top in {"`", "```"}:
            if source.startswith(top, i):
                close_entity("pre" if top == "```" else "code")
                i += len(top)
            elif char == "`":
                refuse("Character '`' is reserved and must be escaped with the preceding '\\'")
            else:
                write(char)
                i += 1
        elif char == "\n" and opened and opened[0][0] == ">" and not source.startswith("\n>", i):
            if top != ">":
                refuse(f"Can't find end of {opened[-1][0]} entity at byte offset {opened[-1][2]}")
            close_entity("blockquote")
            write(char)
            i += 1
        elif char == ">" and (i == 0 or source[i - 1] == "\n"):
            if not opened:
                opened.append((">", units, len(source[:i].encode()), {}))
            i += 1
        elif char == "`":
            marker = "```" if source.startswith("```", i) else "`"
            byte = len(source[:i].encode())
            i += len(marker)
            fields: Entity = {}
            if marker == "```" and (match := re.compile(r"([^\s`]+)(?=\s)").match(source, i)):
                fields["language"] = match[1]
                i = match.end()
            if marker == "```" and source[i : i + 1] == "\n":
                i += 1
            opened.append((marker, units, byte, fields))
        elif char == "[":
            opened.append(("[", units, len(source[:i].encode()), {}))
            i += 1
        elif char == "]" and top == "[":
            url = ""
            i += 1
            if source[i : i + 1] == "(":
                end = re.compile(r"(?:\\.|[^)\\])*").match(source, i + 1)
                stop = end.end() if end else i + 1
                if source[stop : stop + 1] != ")":
                    refuse(f"Can't find end of a URL at byte offset {len(source[: i + 1].encode())}")
                url = re.sub(r"\\(.)", r"\1", source[i + 1 : stop])
                i = stop + 1
            if url:
                close_entity("text_link", {"url": url})
            else:
                opened.pop()
        else:
            marker = next((m for m in ("__", "||", "*", "_", "~") if source.startswith(m, i)), "")
            if not marker:
                if char in _RESERVED:
                    refuse(f"Character '{char}' is reserved and must be escaped with the preceding '\\'")
                write(char)
                i += 1
            elif top == marker:
                close_entity(_PAIRS[marker])
                i += len(marker)
            else:
                opened.append((marker, units, len(source[:i].encode()), {}))
                i += len(marker)
    if opened and opened[-1][0] == ">":
        close_entity("blockquote")
    if opened:
        names = _PAIRS | {"`": "code", "```": "pre", "[": "textUrl", ">": "blockquote"}
        marker, _start, byte, _fields = opened[-1]
        refuse(f"Can't find end of {names[marker].capitalize()} entity at byte offset {byte}")
    return "".join(out), entities
