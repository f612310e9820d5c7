"""What the owner has permitted for good: exact calls, or a narrow kind of them, each said in words. All revocable."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from loguru import logger
from pydantic import BaseModel, ConfigDict

from app.core.errors import StorageError


class Rule(BaseModel):
    """`key`: calls with the same one are permitted together. `words`: which calls these are, for people."""

    model_config = ConfigDict(frozen=True)

    key: str
    words: str


class Permission(Rule):
    """`number` is never given twice, so that revoking it again revokes nothing else. `made`: UNIX time."""

    number: int
    made: float
    by: str = ""


class Kept(BaseModel):
    """`last`: the highest number ever given."""

    model_config = ConfigDict(frozen=True)

    last: int = 0
    permissions: tuple[Permission, ...] = ()


class PermissionBook(Protocol):
    """Where they are kept; what is stored is on disk. Raises StorageError."""

    async def load(self) -> Kept: ...

    async def store(self, kept: Kept) -> None: ...


class Permissions:
    def __init__(self, book: PermissionBook, clock: Callable[[], float] = time.time) -> None:
        self._book = book
        self._clock = clock
        self._known: Kept | None = None  # this process alone changes them
        self._changing = asyncio.Lock()

    async def allow(self, rule: Rule) -> bool:
        """A book that cannot be read permits nothing."""
        try:
            return any(known.key == rule.key for known in await self.all())
        except StorageError as error:
            logger.error("permissions cannot be read, so everything is asked: {}", error)
            return False

    async def all(self) -> Sequence[Permission]:
        """In the order in which they were given. Raises StorageError."""
        async with self._changing:
            return (await self._load()).permissions

    async def add(self, rule: Rule, by: str) -> None:
        """Once, however often. Raises StorageError."""
        async with self._changing:
            kept = await self._load()
            if any(known.key == rule.key for known in kept.permissions):
                return
            number = kept.last + 1
            new = Permission(key=rule.key, words=rule.words, number=number, made=self._clock(), by=by)
            fresh = Kept(last=number, permissions=(*kept.permissions, new))
            await self._book.store(fresh)
            self._known = fresh
            logger.info("permission {} given by {}", number, by)

    async def revoke(self, number: int) -> bool:
        """In force at once. False when there never was one of this number. Raises StorageError: it may come back."""
        async with self._changing:
            kept = await self._load()
            if not 0 < number <= kept.last:
                return False
            self._known = Kept(last=kept.last, permissions=tuple(p for p in kept.permissions if p.number != number))
            await self._book.store(self._known)
            logger.info("permission {} revoked", number)
            return True

    async def _load(self) -> Kept:
        if self._known is None:
            self._known = await self._book.load()
        return self._known
