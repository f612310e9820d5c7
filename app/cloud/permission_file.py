"""DATA_DIR/permissions.json: what is permitted for good. Only its owner may read it."""

from __future__ import annotations

import asyncio
from pathlib import Path

from loguru import logger

from app.cloud.chats import replace_whole
from app.core import texts
from app.core.errors import StorageError
from app.core.permissions import Kept


class PermissionFile:
    """Implements PermissionBook. A damaged file is kept aside and permits nothing: then the user is asked again."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def load(self) -> Kept:
        return await asyncio.to_thread(self._load)

    async def store(self, kept: Kept) -> None:
        await asyncio.to_thread(replace_whole, self._path, kept.model_dump(mode="json"))

    def _load(self) -> Kept:
        try:
            return Kept.model_validate_json(self._path.read_bytes())
        except FileNotFoundError:
            return Kept()
        except ValueError:
            aside = self._path.with_name(f"{self._path.name}.corrupt")
            logger.error("{} is damaged: it is kept as {}, and nothing is permitted", self._path.name, aside.name)
            self._set_aside(aside)
            return Kept()
        except OSError as error:
            raise StorageError(texts.cannot_read(self._path.name, type(error).__name__)) from error

    def _set_aside(self, aside: Path) -> None:
        try:
            self._path.replace(aside)
        except OSError as error:
            raise StorageError(texts.cannot_write(error.strerror or "")) from error
