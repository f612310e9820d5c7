"""Who is logged in, in DATA_DIR/logins.json. Whoever is not in it is out: losing or cutting the file is safe."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections import defaultdict
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from loguru import logger
from pydantic import TypeAdapter, ValidationError

from app.core.errors import StorageError
from app.web.privatefile import replace_private

LOGIN_SECONDS = 30 * 86_400
_MOST = 200  # the oldest login ends when there are more
_stored = TypeAdapter(dict[str, float])


class Logins:
    """A login is a random id. `clock` gives UNIX time: logins outlive the process."""

    def __init__(self, path: Path, began: dict[str, float], clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._began = began
        self._clock = clock
        self._viewers: defaultdict[str, set[Callable[[], None]]] = defaultdict(set)
        self._saving = asyncio.Lock()

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
        return login in self._began and self._clock() - self._began[login] < LOGIN_SECONDS

    async def begin(self) -> str:
        """In force at once. A full disk must not keep its owner out: then it lasts until the next start."""
        login = secrets.token_hex(16)
        self._began[login] = self._clock()
        for old in [known for known in self._began if not self.knows(known)] + list(self._began)[:-_MOST]:
            self._forget(old)
        try:
            await self._save()
        except StorageError as error:
            logger.warning("a login that will not survive a restart: {}", error)
        return login

    async def end(self, *logins: str) -> None:
        """Out at once, their open streams too. Raises StorageError when a restart could bring them back."""
        for login in logins:
            self._forget(login)
        await self._save()

    async def end_all(self) -> None:
        await self.end(*self._began)

    @contextmanager
    def viewing(self, login: str, leave: Callable[[], None]) -> Generator[None]:
        """`leave` is called when this login ends meanwhile."""
        self._viewers[login].add(leave)
        try:
            yield
        finally:
            self._viewers[login].discard(leave)
            if not self._viewers[login]:
                del self._viewers[login]

    def _forget(self, login: str) -> None:
        self._began.pop(login, None)
        for leave in self._viewers.get(login, ()):
            leave()

    async def _save(self) -> None:
        async with self._saving:
            await asyncio.to_thread(replace_private, self._path, json.dumps(self._began).encode())
