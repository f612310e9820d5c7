"""The redactor that Nanobot uses: for text in one piece, for answers to people, and for answers that stream."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from typing_extensions import override

from app.safety.leaks import UrlGuard
from app.safety.redaction import MARK, SecretRedactor
from app.safety.streamed import Growing, StreamRedactor

_ADDRESS = re.compile(r"(?:https?|ftp|mailto|tg):[^\s<>\"'`]{3,4000}", re.IGNORECASE)
_KNOWN_ADDRESSES = 2_000


class Redaction(SecretRedactor):
    """Implements Redactor."""

    @override
    def __init__(self, secrets: Sequence[str]) -> None:
        super().__init__(secrets)
        guard = UrlGuard(self)

        @lru_cache(_KNOWN_ADDRESSES)
        def leaks(url: str, _: tuple[str, ...]) -> bool:
            return guard.carries_secret(url)

        self._leaks = leaks

    def redact_answer(self, text: str) -> str:
        return _ADDRESS.sub(lambda found: MARK if self._leaks(found[0], self.values) else found[0], self.redact(text))

    def stream(self) -> StreamRedactor:
        return StreamRedactor(self.redact_answer, Growing.of(self.values))
