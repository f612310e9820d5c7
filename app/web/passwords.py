"""The dashboard's password: an argon2 hash, or the plain text of an environment variable hashed once."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from functools import cached_property

from pwdlib import PasswordHash

SHORTEST = 10
LONGEST = 200
_hasher = PasswordHash.recommended()


class Password:
    """`stored` as DASHBOARD_PASSWORD holds it: `$argon2…` or plain text."""

    def __init__(self, stored: str) -> None:
        self._stored = stored

    async def matches(self, given: str) -> bool:
        """In constant time, in a thread: it takes some 50 ms of a core, on purpose."""
        return len(given) <= LONGEST and await asyncio.to_thread(self._verify, given)

    def fingerprint(self, key: bytes) -> str:
        """Ties a session to this password: choosing another ends it, a restart does not."""
        return hmac.new(key, self._stored.encode(), hashlib.sha256).hexdigest()[:32]

    def _verify(self, given: str) -> bool:
        return _hasher.verify(given, self._hash)

    @cached_property
    def _hash(self) -> str:
        return self._stored if self._stored.startswith("$argon2") else _hasher.hash(self._stored)


async def hash_password(plain: str) -> str:
    return await asyncio.to_thread(_hasher.hash, plain)
