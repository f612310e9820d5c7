"""Whether a text can be a host or the root of an http service."""

from __future__ import annotations

import re
from ipaddress import ip_address
from urllib.parse import urlsplit

_is_label = re.compile(r"[^\W_](?:[\w-]{0,61}[^\W_])?").fullmatch


def is_host(text: str) -> bool:
    """An IP address without brackets, or a name."""
    try:
        return bool(ip_address(text))
    except ValueError:
        labels = text.removesuffix(".").split(".")
        return all(map(_is_label, labels)) and not labels[-1].isdecimal()  # 999.1.1.1 is no name either


def is_http_url(text: str) -> bool:
    """Something that a path can be added to: no query, no fragment."""
    if re.search(r"[\s?#]", text):
        return False
    try:
        parts = urlsplit(text)
        return parts.scheme in {"http", "https"} and is_host(parts.hostname or "") and parts.port != 0
    except ValueError:  # the port, or the brackets of an IPv6 address
        return False
