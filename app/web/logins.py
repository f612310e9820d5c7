"""Who is logged in, in DATA_DIR/logins.json."""

from __future__ import annotations

import secrets
from typing import NamedTuple

from pydantic import TypeAdapter

from app.web.credentials import Credentials

LOGIN_SECONDS = 30 * 86_400
IDLE_SECONDS = 7 * 86_400
_SEEN_SECONDS = 3_600.0  # how exact the last use is
_MOST = 200  # the oldest login ends when there are more


class Login(NamedTuple):
    """UNIX times: when it began and when it was last used."""

    began: float
    seen: float


class Logins(Credentials[Login]):
    """A login is a random id."""

    stored = TypeAdapter(dict[str, Login])
    when_unreadable = "everybody has to log in again"
    when_unsaved = "a login that may not survive a restart"

    def knows(self, login: str) -> bool:
        """It ends when it is old, and when nobody has used it for long."""
        known, now = self._known.get(login), self._clock()
        return known is not None and now - known.began < LOGIN_SECONDS and now - known.seen < IDLE_SECONDS

    def use(self, login: str) -> None:
        """A request was made with it."""
        known, now = self._known.get(login), self._clock()
        if known is None or now - known.seen < _SEEN_SECONDS:
            return
        self._known[login] = known._replace(seen=now)
        self._note()

    async def begin(self, instead_of: str = "") -> str:
        """In force at once; the browser's login before it ends. A full disk must not keep its owner out: then it
        lasts until the next start.
        """
        login, now = secrets.token_hex(16), self._clock()
        self._forget(instead_of)
        self._known[login] = Login(now, now)
        for old in [known for known in self._known if not self.knows(known)] + list(self._known)[:-_MOST]:
            self._forget(old)
        await self._save_if_possible()
        return login

    async def end(self, *logins: str) -> None:
        """Out at once, their open streams too. Raises StorageError when a restart could bring them back."""
        for login in logins:
            self._forget(login)
        await self._save()

    async def end_all(self) -> None:
        await self.end(*self._known)

    def _forget(self, login: str) -> None:
        if self._known.pop(login, None) is not None:
            self.on_end(login)
