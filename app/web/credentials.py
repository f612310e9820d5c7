"""What lets somebody in, by id, in one private file. Whoever is not in it is out, so losing or cutting it is safe."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Generic, Self, TypeVar

from loguru import logger
from pydantic import TypeAdapter, ValidationError

from app.core.errors import StorageError
from app.web.privatefile import replace_private

C = TypeVar("C")


class Credentials(Generic[C]):
    """`clock` gives UNIX time: they outlive the process. `on_end` hears of each id that ends."""

    stored: ClassVar[TypeAdapter[Any]]  # of a dict by id
    when_unreadable: ClassVar[str]  # for the log: what that means, and what an unsaved use means
    when_unsaved: ClassVar[str]

    def __init__(self, path: Path, known: dict[str, C], clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._known = known
        self._clock = clock
        self._saving = asyncio.Lock()
        self._noting: set[asyncio.Task[None]] = set()
        self.on_end: Callable[[str], None] = lambda _: None

    @classmethod
    def read(cls, path: Path) -> Self:
        """Blocks."""
        try:
            return cls(path, cls.stored.validate_json(path.read_bytes()))
        except FileNotFoundError:
            return cls(path, {})
        except (OSError, ValidationError) as error:
            logger.error("{} cannot be read, so {}: {}", path.name, cls.when_unreadable, type(error).__name__)
            return cls(path, {})

    async def close(self) -> None:
        await asyncio.gather(*self._noting)

    def _note(self) -> None:
        """Saves what may also be lost, and waits for nothing."""
        noting = asyncio.get_running_loop().create_task(self._save_if_possible())
        self._noting.add(noting)
        noting.add_done_callback(self._noting.discard)

    async def _save_if_possible(self) -> None:
        try:
            await self._save()
        except StorageError as error:
            logger.warning("{}: {}", self.when_unsaved, error)

    async def _save(self) -> None:
        """Raises StorageError."""
        async with self._saving:
            await asyncio.to_thread(replace_private, self._path, self.stored.dump_json(self._known))
