"""The sites that one grant of network opens: exact names, and `*.name` for everything below a name."""

from __future__ import annotations

from collections.abc import Iterable

from app.core import texts_fetch as texts
from app.core.errors import FetchError
from app.safety.addresses import host_allowed, read_url


class AllowedHosts:
    """Raises FetchError for an entry that no name can match, or that would open too much (`*`, `*.com`, an address)."""

    def __init__(self, entries: Iterable[str]) -> None:
        self._exact: set[str] = set()
        self._below: set[str] = set()
        for entry in entries:
            name = _name(entry.removeprefix("*."))
            if name is None:
                raise FetchError(texts.bad_allowed_host(entry))
            (self._below if entry.startswith("*.") else self._exact).add(name)

    def __contains__(self, host: str) -> bool:
        name = host.lower().removesuffix(".")
        labels = name.split(".")
        return name in self._exact or any(".".join(labels[n:]) in self._below for n in range(1, len(labels)))


def _name(text: str) -> str | None:
    """As DNS knows it: small letters, without the last dot, ß and ñ in their ASCII form."""
    if not text or set(text) & set("/:@?#[]*%\\ "):
        return None
    try:
        host = (read_url(f"http://{text}/").raw_host or "").removesuffix(".")
    except FetchError:
        return None
    return host if host_allowed(host, lambda _: False) else None
