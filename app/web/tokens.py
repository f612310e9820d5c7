"""API tokens, in DATA_DIR/tokens.json: their names and digests. A token itself is seen once, when it is made.

It has 256 random bits, so a fast digest is enough: there is nothing to guess. Whoever is not in the file is out.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from loguru import logger
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from app.core import texts_web
from app.core.errors import NanobotError, StorageError
from app.web.privatefile import replace_private

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


_stored = TypeAdapter(dict[str, Token])


class Tokens:
    """By id. `on_end` hears of each one that is revoked."""

    def __init__(self, path: Path, known: dict[str, Token], clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._known = known
        self._clock = clock
        self._saving = asyncio.Lock()
        self._noting: set[asyncio.Task[None]] = set()
        self.on_end: Callable[[str], None] = lambda _: None

    @classmethod
    def read(cls, path: Path) -> Tokens:
        """Blocks."""
        try:
            return cls(path, _stored.validate_json(path.read_bytes()))
        except FileNotFoundError:
            return cls(path, {})
        except (OSError, ValidationError) as error:
            logger.error("{} cannot be read, so no API token is valid: {}", path.name, type(error).__name__)
            return cls(path, {})

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

    async def close(self) -> None:
        await asyncio.gather(*self._noting)

    def _note_use(self, token_id: str, known: Token) -> None:
        now = self._clock()
        if now - known.used >= _USED_SECONDS:
            self._known[token_id] = known.model_copy(update={"used": now})
            noting = asyncio.get_running_loop().create_task(self._note())
            self._noting.add(noting)
            noting.add_done_callback(self._noting.discard)

    async def _note(self) -> None:
        try:
            await self._save()
        except StorageError as error:
            logger.warning("the last use of a token is not stored: {}", error)

    async def _save(self) -> None:
        async with self._saving:
            await asyncio.to_thread(replace_private, self._path, _stored.dump_json(self._known))


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()
