"""Secrets in text become a mark. Linear in the text's length: every pattern is anchored or bounded."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from app.core.texts_safety import SECRET_MARK as MARK
from app.safety.encodings import SHORTEST, Encoded, encoded_forms, literal_forms
from app.safety.keyforms import forms_in

_SHORT = 8  # characters; a shorter value only counts as a whole word
_PASSES = 4  # a mark can lay bare another secret's edge


class SecretRedactor:
    """`secrets`: exact values. Their base64, hex, URL and JSON forms count as well, and any well-known key."""

    def __init__(self, secrets: Sequence[str]) -> None:
        self._secrets: tuple[str, ...] = ()
        self._whole: list[str] = []
        self._words: list[re.Pattern[str]] = []
        self._encoded: list[Encoded] = []
        self.add(secrets)

    @property
    def values(self) -> tuple[str, ...]:
        return self._secrets

    def add(self, values: Iterable[str]) -> None:
        """What has just become a secret (a key saved in the dashboard) is hidden from now on."""
        known_now = tuple(dict.fromkeys((*self._secrets, *filter(None, values))))
        if known_now == self._secrets:
            return
        self._secrets = known_now
        known = {form for secret in self._secrets for form in literal_forms(secret)}
        words = sorted((form for form in known if len(form) < _SHORT), key=len, reverse=True)
        self._whole = sorted((form for form in known if len(form) >= _SHORT), key=len, reverse=True)
        self._words = [re.compile(rf"(?<!\w){re.escape(word)}(?!\w)") for word in words]
        self._encoded = [form for secret in self._secrets for form in encoded_forms(secret)]

    def redact(self, text: str) -> str:
        for _ in range(_PASSES):
            before, text = text, self._pass(text)
            if before == text:
                break
        return text

    def has_mark(self, text: str) -> bool:
        return MARK in text

    def _pass(self, text: str) -> str:
        """Marks are left alone: a secret may be a part of the mark's own words."""
        return MARK.join(self._redact_piece(piece) for piece in text.split(MARK))

    def _redact_piece(self, piece: str) -> str:
        pieces = [piece]
        for form in forms_in(piece):
            pieces = [inner for part in pieces for inner in form.pieces(part)]
        for form in self._whole:
            if any(form in part for part in pieces):
                pieces = [inner for part in pieces for inner in part.split(form)]
        for pattern in (*self._words, *self._encoded_in(piece)):
            pieces = [inner for part in pieces for inner in pattern.split(part)]
        return MARK.join(pieces)

    def _encoded_in(self, piece: str) -> Iterable[re.Pattern[str]]:
        """A search for a value in pieces is slow: it is made only where the packed text holds the value."""
        if len(piece) < SHORTEST:
            return ()
        views = {pack: pack(piece) for pack in {form.pack for form in self._encoded}}
        return [form.pattern for form in self._encoded if form.core in views[form.pack]]
