"""Secrets in text become a mark. Linear in the text's length: every pattern is anchored or bounded."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from app.core.texts_safety import SECRET_MARK as MARK
from app.safety.encodings import SHORTEST, encoded_forms, literal_forms

_SHORT = 8  # characters; a shorter value only counts as a whole word
_PASSES = 4  # a mark can lay bare another secret's edge

# Where a key may begin: not inside a word, but after an escape such as %3D or \n.
_EDGE = r"(?:(?<![A-Za-z0-9_-])|(?<=%[0-9A-Fa-f]{2})|(?<=\\[nrt]))"
_WORD = r"[A-Za-z0-9_-]"
_BREAK = r"(?:\s|\\[nr]){1,8}"  # lines joined by spaces and escaped ones count
_LINE = r"(?:\r?\n|(?:\\r)?\\n)[ \t]{0,16}"

_PEM = (
    r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
    rf"(?:{_BREAK}[A-Za-z-]{{4,20}}: [^\n\\]{{1,120}}){{0,4}}"
    rf"(?:{_BREAK}[A-Za-z0-9+/]{{40,}}={{0,2}})+"
    rf"(?:{_LINE}[A-Za-z0-9+/=]{{1,76}}(?![^\s\\\"'])){{0,3}}"  # a key cut in the middle
    rf"(?:(?:{_BREAK}[A-Za-z0-9+/=]{{1,39}})?{_BREAK}-----END [A-Z0-9 ]{{0,40}}-----)?"
)

KEY_FORMATS = tuple(
    re.compile(pattern)
    for pattern in (
        r"gsk_[A-Za-z0-9]{20,}",  # Groq
        r"sk-ant-[A-Za-z0-9_-]{20,}",  # Anthropic
        _EDGE + rf"sk-(?:proj|svcacct|admin|or|None)-(?={_WORD}*[0-9]){_WORD}{{20,}}",  # OpenAI, OpenRouter
        _EDGE + r"sk-(?=[A-Za-z0-9]*[0-9])[A-Za-z0-9]{32,}",
        r"gh[pousr]_[A-Za-z0-9]{36,}",  # GitHub
        r"github_pat_[A-Za-z0-9_]{22,}",
        r"glpat-[A-Za-z0-9_-]{20,}",  # GitLab
        _EDGE + r"(?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Za-z0-9])",  # AWS
        r"xox[abeoprs]-[A-Za-z0-9-]{10,}",  # Slack
        rf"(?<![0-9])[0-9]{{8,10}}(?::|%3[Aa]){_WORD}{{35}}(?!{_WORD})",  # Telegram
        r"AIza[A-Za-z0-9_-]{35}",  # Google
        r"[rs]k_live_[A-Za-z0-9]{20,}",  # Stripe
        r"npm_[A-Za-z0-9]{36}",
        r"pypi-AgEIcHlwaS5vcmc[A-Za-z0-9_-]{50,}",
        _EDGE + r"hf_[A-Za-z0-9]{30,}",  # Hugging Face
        _EDGE + rf"eyJ{_WORD}{{8,}}\.eyJ{_WORD}{{8,}}\.{_WORD}{{8,}}",  # JWT
        _PEM,
    )
)


class SecretRedactor:
    """`secrets`: exact values. Their base64, hex, URL and JSON forms count as well, and any well-known key."""

    def __init__(self, secrets: Sequence[str]) -> None:
        self._secrets: tuple[str, ...] = ()
        self.add(secrets)

    @property
    def values(self) -> tuple[str, ...]:
        return self._secrets

    def add(self, values: Iterable[str]) -> None:
        """What has just become a secret (a key saved in the dashboard) is hidden from now on."""
        self._secrets = tuple(dict.fromkeys((*self._secrets, *filter(None, values))))
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
        for form in self._whole:
            if any(form in part for part in pieces):
                pieces = [inner for part in pieces for inner in part.split(form)]
        for pattern in (*self._words, *KEY_FORMATS, *self._encoded_in(piece)):
            pieces = [inner for part in pieces for inner in pattern.split(part)]
        return MARK.join(pieces)

    def _encoded_in(self, piece: str) -> Iterable[re.Pattern[str]]:
        """A search for a value in pieces is slow: it is made only where the packed text holds the value."""
        if len(piece) < SHORTEST:
            return ()
        views = {pack: pack(piece) for pack in {form.pack for form in self._encoded}}
        return [form.pattern for form in self._encoded if form.core in views[form.pack]]
