"""Who is logged in, in DATA_DIR/logins.json. Whoever is not in it is out: losing or cutting the file is safe."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from loguru import logger
from pydantic import TypeAdapter, ValidationError

from app.core.errors import StorageError
from app.web.privatefile import replace_private

LOGIN_SECONDS = 30 * 86_400
IDLE_SECONDS = 7 * 86_400
_SEEN_SECONDS = 3_600.0  # how exact the last use is
_MOST = 200  # the oldest login ends when there are more


class Login(NamedTuple):
    """UNIX times: when it began and when it was last used."""

    began: float
    seen: float


_stored = TypeAdapter(dict[str, Login])


class Logins:
    """A login is a random id. `clock` gives UNIX time: logins outlive the process. `on_end` hears of each that ends."""

    def __init__(self, path: Path, known: dict[str, Login], clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._known = known
        self._clock = clock
        self._saving = asyncio.Lock()
        self._noting: set[asyncio.Task[None]] = set()
        self.on_end: Callable[[str], None] = lambda _: None

    @classmethod
    def read(cls, path: Path) -> Logins:
        """Blocks."""
        try:
            return cls(path, _stored.validate_json(path.read_bytes()))
        except FileNotFoundError:
            return cls(path, {})
        except (OSError, ValidationError) as error:
            logger.warning("{} cannot be read, so everybody has to log in again: {}", path.name, type(error).__name__)
            return cls(path, {})

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
        noting = asyncio.get_running_loop().create_task(self._save_if_possible())
        self._noting.add(noting)
        noting.add_done_callback(self._noting.discard)

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

    async def close(self) -> None:
        await asyncio.gather(*self._noting)

    def _forget(self, login: str) -> None:
        if self._known.pop(login, None) is not None:
            self.on_end(login)

    async def _save_if_possible(self) -> None:
        try:
            await self._save()
        except StorageError as error:
            logger.warning("a login that may not survive a restart: {}", error)

    async def _save(self) -> None:
        async with self._saving:
            await asyncio.to_thread(replace_private, self._path, _stored.dump_json(self._known))
