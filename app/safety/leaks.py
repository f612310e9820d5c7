"""Does a URL carry a secret to its site? Any piece of it can: path, parameters, fragment, the labels of the name."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Sequence
from typing import Protocol
from urllib.parse import parse_qsl, unquote, unquote_plus, urlsplit

from app.safety.redaction import SecretRedactor

_DECODED = 3  # times that a URL may be percent-encoded
_LEAST = 8  # letters and digits of a value that is looked for in pieces
# Every presigned link names the key it was signed with, which is no secret, or is signed for its own site.
_PRESIGNED = re.compile(
    r"(?<=[?&])(?:(?:X-Amz-Credential|AWSAccessKeyId)=(?:AKIA|ASIA)[A-Z0-9]{16}|sig=[^&#\s]{0,200})"
)
_NOT_WORD = re.compile(r"[\W_]+")


class Secrets(Protocol):
    """`values`: the exact secrets, as they are now."""

    @property
    def values(self) -> Sequence[str]: ...

    def redact(self, text: str) -> str: ...


class UrlGuard:
    def __init__(self, secrets: Secrets) -> None:
        self._secrets = secrets
        self._known: Sequence[str] = ()
        self._folded = SecretRedactor(())
        self._pieces: list[str] = []

    def carries_secret(self, url: str) -> bool:
        """In any form that the redactor knows, also percent-encoded, in another case, or taken to pieces."""
        self._refresh()
        return any(self._tells(view) for view in dict.fromkeys(_views(_PRESIGNED.sub("", url))))

    def _tells(self, view: str) -> bool:
        if self._secrets.redact(view) != view:
            return True
        lower = view.lower()  # names are written in small letters
        bare = _bare(lower)
        return self._folded.redact(lower) != lower or any(piece in bare for piece in self._pieces)

    def _refresh(self) -> None:
        """A key saved in the dashboard is a secret from that moment on."""
        if (values := tuple(self._secrets.values)) != self._known:
            self._known = values
            long = [value for value in values if len(value) >= _LEAST]
            self._folded = SecretRedactor([value.lower() for value in long])
            bare = [_bare(value) for value in long if len(_bare(value)) >= _LEAST]
            self._pieces = [*bare, *(value[::-1] for value in bare), *map(_base32, long)]


def _bare(text: str) -> str:
    return _NOT_WORD.sub("", text.lower())


def _base32(value: str) -> str:
    """As names carry data; what the last character holds depends on what follows."""
    return base64.b32encode(value.encode()).decode().rstrip("=")[:-1].lower()


def _views(url: str) -> Iterator[str]:
    """As it is and decoded, and the same without what stands between its pieces."""
    for decode in (unquote, unquote_plus):
        view = url
        for _ in range(_DECODED + 1):
            yield view
            yield from _joined(view)
            view = decode(view)


def _joined(url: str) -> Iterator[str]:
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return
    yield host.replace(".", "")
    yield "".join(value for _, value in parse_qsl(parts.query, keep_blank_values=True, max_num_fields=None))
    yield "".join(name for name, _ in parse_qsl(parts.query, keep_blank_values=True, max_num_fields=None))
    yield parts.path.replace("/", "")
