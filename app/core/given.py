"""Which addresses somebody has given word for word: the user in his messages, a fetched page in its links.

An address that the model has made up itself can carry away whatever it has read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from urllib.parse import quote, urljoin, urlsplit

from app.core.messages import Message, ToolCall

_ADDRESS = re.compile(r"https?://[^\s<>\"'`\\]{1,2000}", re.IGNORECASE)
_BARE = re.compile(
    r"(?<![\w@/.:-])(?:[\w-]{1,63}\.){1,8}[a-z]{2,24}(?::\d{1,5})?(?![\w@-])(?:[/?][^\s<>\"'`\\]{0,2000})?",
    re.IGNORECASE,
)
_LINK = re.compile(r"\]\((?!https?:)([^\s()<>]{1,1000})\)", re.IGNORECASE)
_AROUND = ".,;:!?…*_~»”)]}|"
_PORTS = {"http": 80, "https": 443}


def is_given(url: str, messages: Sequence[Message]) -> bool:
    """Encrypted where it was given plain is the same, never the other way round."""
    wanted = _normal(url)
    return bool(wanted) and any(_normal(given) in {wanted, _plain(wanted)} for given in _given(messages))


def _given(messages: Sequence[Message]) -> Iterator[str]:
    calls = {call.id: call for message in messages for call in message.tool_calls}
    for message in messages:
        call = calls.get(message.tool_call_id or "")
        if message.role == "user" and message.seq:  # without a line: a summary or a note, not the user's words
            yield from _whole(_ADDRESS, message.content)
            yield from (f"https://{found}" for found in _whole(_BARE, message.content))
        elif message.role == "tool" and call is not None and call.name == "web_fetch" and not message.is_error:
            yield from _whole(_ADDRESS, message.content)
            yield from (urljoin(_asked(call), found[1]) for found in _LINK.finditer(message.content))


def _whole(pattern: re.Pattern[str], text: str) -> Iterator[str]:
    """As it stands there, and without what a sentence or a link's own signs put behind it."""
    for found in pattern.finditer(text):
        yield found[0]
        for end in (" ", ")", "]", "|"):
            yield found[0].partition(end)[0].rstrip(_AROUND)


def _asked(call: ToolCall) -> str:
    try:
        return str(json.loads(call.arguments)["url"])
    except (ValueError, KeyError, TypeError):
        return ""


def _normal(url: str) -> str:
    """The same for whatever asks a site for the same; '' for what is no address. Every liberty left here is a bit
    that the model can send: only what people leave out counts as nothing.
    """
    try:
        parts = urlsplit(url.strip())
        host, port = (parts.hostname or "").removesuffix("."), parts.port
    except ValueError:
        return ""
    if parts.scheme not in _PORTS or not host or host.endswith(".") or parts.username is not None:
        return ""
    shown_port = "" if port in (None, _PORTS[parts.scheme]) else f":{port}"
    path = quote(parts.path or "/", safe="%/:@!$&'()*+,;=~-._")
    query = quote(parts.query, safe="%/:@!$&'()*+,;=~-._?[]{}|^")
    return f"{parts.scheme}://{_ascii(host)}{shown_port}{path}?{query}"


def _ascii(host: str) -> str:
    try:
        return host if host.isascii() else host.encode("idna").decode()
    except UnicodeError:
        return host


def _plain(normal: str) -> str:
    return normal.replace("https:", "http:", 1) if normal.startswith("https:") else normal
