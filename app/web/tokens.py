"""API tokens, in DATA_DIR/tokens.json: their names and digests. A token itself is seen once, when it is made.

It has 256 random bits, so a fast digest is enough: there is nothing to guess.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from typing import Literal

from pydantic import BaseModel, ConfigDict, TypeAdapter

from app.core import texts_web
from app.core.errors import NanobotError, StorageError
from app.web.credentials import Credentials

Scope = Literal["leer", "escribir"]
MOST = 50
LONGEST_NAME = 60
_USED_SECONDS = 60.0  # how exact the last use is
_TOKEN = re.compile(r"nanobot_(?P<id>[0-9a-f]{12})_(?P<secret>[\w-]{43})", re.ASCII)


class UnfitToken(NanobotError):
    """Its sentence says why there will be no such token."""


class Token(BaseModel):
    """`created` and `used` are UNIX times; `used` 0: never."""

    model_config = ConfigDict(frozen=True)

    name: str
    digest: str
    scope: Scope
    created: float
    used: float = 0.0


class Tokens(Credentials[Token]):
    """By a public id, which is a part of the token."""

    stored = TypeAdapter(dict[str, Token])
    when_unreadable = "no API token is valid"
    when_unsaved = "the last use of a token is not stored"

    @property
    def all(self) -> dict[str, Token]:
        """The newest first."""
        return dict(sorted(self._known.items(), key=lambda item: -item[1].created))

    def scope(self, token_id: str) -> Scope | None:
        """None when there is no such token (any more)."""
        known = self._known.get(token_id)
        return known.scope if known else None

    def id_of(self, given: str) -> str:
        """'' for what is no token of ours. The digests are compared in constant time, an unknown id's too."""
        found = _TOKEN.fullmatch(given)
        token_id = found["id"] if found else ""
        known = self._known.get(token_id)
        fits = hmac.compare_digest(_digest(given), known.digest if known else _digest(""))
        if known is None or not fits:
            return ""
        self._note_use(token_id, known)
        return token_id

    async def create(self, name: str, scope: Scope) -> str:
        """The token, on disk when it returns. Raises UnfitToken, StorageError."""
        name = " ".join(name.split())
        if not name.isprintable() or not 1 <= len(name) <= LONGEST_NAME:
            raise UnfitToken(texts_web.token_name(LONGEST_NAME))
        if len(self._known) >= MOST:
            raise UnfitToken(texts_web.too_many_tokens(MOST))
        token_id = secrets.token_hex(6)
        token = f"nanobot_{token_id}_{secrets.token_urlsafe(32)}"
        self._known[token_id] = Token(name=name, digest=_digest(token), scope=scope, created=self._clock())
        try:
            await self._save()
        except StorageError:
            del self._known[token_id]
            raise
        return token

    async def revoke(self, token_id: str) -> None:
        """In force at once. Raises StorageError when a restart could bring it back."""
        if self._known.pop(token_id, None) is not None:
            self.on_end(token_id)
            await self._save()

    def _note_use(self, token_id: str, known: Token) -> None:
        now = self._clock()
        if now - known.used >= _USED_SECONDS:
            self._known[token_id] = known.model_copy(update={"used": now})
            self._note()


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()
