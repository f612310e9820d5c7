"""The dashboard's password: an argon2 hash, or the plain text of an environment variable hashed once."""

from __future__ import annotations

import asyncio
import hashlib
import hmac

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError
from loguru import logger
from pwdlib import PasswordHash

from app.core import texts_web
from app.core.errors import ConfigError

SHORTEST = 12  # of one that is chosen in the dashboard
LONGEST = 1_000
_HASH = "$argon2"
_hasher = PasswordHash.recommended()


class Password:
    """`hashed`: `$argon2…`. `fingerprint` ties a session to this password: choosing another ends it, a restart not."""

    def __init__(self, hashed: str, fingerprint: str) -> None:
        self._hash = hashed
        self.fingerprint = fingerprint

    @classmethod
    def of(cls, stored: str, key: bytes) -> Password:
        """`stored` as DASHBOARD_PASSWORD holds it, plain text too: only its hash is kept. Blocks for 50 ms then."""
        fingerprint = hmac.new(key, stored.encode(), hashlib.sha256).hexdigest()[:32]
        return cls(stored if stored.startswith(_HASH) else _hasher.hash(stored), fingerprint)

    async def matches(self, given: str) -> bool:
        """In constant time, in a thread: it takes some 50 ms of a core, on purpose."""
        return len(given) <= LONGEST and await asyncio.to_thread(self._verify, given)

    def _verify(self, given: str) -> bool:
        return _hasher.verify(given, self._hash)


async def hash_password(plain: str) -> str:
    return await asyncio.to_thread(_hasher.hash, plain)


def unfit(password: str, again: str) -> str:
    """Why a chosen password will not do, in Spanish; '' when it will."""
    if not SHORTEST <= len(password) <= LONGEST:
        return texts_web.password_length(SHORTEST, LONGEST)
    return "" if password == again else texts_web.PASSWORDS_DIFFER


def check_configured(stored: str, *, loopback_only: bool) -> None:
    """Blocks. Raises ConfigError, with one Spanish line, for a DASHBOARD_PASSWORD that nothing typed could match."""
    if stored.startswith(_HASH):
        _check_hash(stored)
    elif len(stored) > LONGEST:
        raise ConfigError(texts_web.configured_password_too_long(LONGEST))
    elif len(stored) < SHORTEST and not loopback_only:
        logger.warning("DASHBOARD_PASSWORD has fewer than {} characters on a server open to the network", SHORTEST)


def _check_hash(stored: str) -> None:
    """By argon2 itself, which tells a wrong password from a wrong hash; pwdlib does not."""
    try:
        PasswordHasher().verify(stored, "")
    except VerifyMismatchError:
        return
    except (InvalidHashError, VerificationError, UnicodeEncodeError) as error:
        raise ConfigError(texts_web.MALFORMED_HASH) from error
