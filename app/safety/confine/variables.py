"""What tells programs the way to the network. Each has its own idea of how these are spelled."""

from __future__ import annotations

_NAMES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")


def through(proxy: str) -> dict[str, str]:
    """`proxy`: its URL."""
    return dict.fromkeys((*_NAMES, *map(str.lower, _NAMES)), proxy) | {"NO_PROXY": "", "no_proxy": ""}
