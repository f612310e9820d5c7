"""Updates as they come from Telegram, each read by itself: one that cannot be read takes no other with it."""

from __future__ import annotations

import asyncio
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlencode

from loguru import logger
from telegram import Bot, Update
from telegram.request import BaseRequest

from app.cloud.journal import sync_folder
from app.cloud.telegram_http import RequestGarbled
from app.core import texts
from app.core.errors import StorageError

WANTED = ["message", "edited_message", "callback_query"]
_ANSWER_SECONDS = 10  # beyond the time that Telegram was asked to wait


@dataclass(frozen=True, slots=True)
class Incoming:
    """`update` is None when it cannot be read; `raw` is what came."""

    id: int
    raw: object
    update: Update | None

    @property
    def sender(self) -> int | None:
        """As far as it can be told of what cannot be read."""
        found = [_fields(_fields(content).get("from")).get("id") for content in _fields(self.raw).values()]
        return next((number for number in found if type(number) is int), None)

    @property
    def chat(self) -> int | None:
        chat = self.update.effective_chat if self.update else None
        return chat.id if chat else None


class Updates:
    """getUpdates without PTB's own, which reads all or nothing and logs what it could not read."""

    def __init__(self, bot: Bot, request: BaseRequest) -> None:
        self._bot = bot
        self._request = request

    async def fetch(self, offset: int | None, seconds: int) -> list[Incoming]:
        """Waits up to `seconds` for the first. Raises TelegramError."""
        wanted: dict[str, object] = {"timeout": seconds, "allowed_updates": json.dumps(WANTED)}
        if offset is not None:
            wanted["offset"] = offset
        url = f"{self._bot.base_url}/getUpdates?{urlencode(wanted)}"
        result: Any = await self._request.post(url, read_timeout=seconds + _ANSWER_SECONDS)
        raws = cast("list[object]", result) if isinstance(result, list) else [None]
        items = [read_update(raw, self._bot) for raw in raws]
        if None in items:
            raise RequestGarbled("getUpdates did not answer with a list of updates")
        return cast("list[Incoming]", items)


def _fields(raw: object) -> dict[str, Any]:
    return cast("dict[str, Any]", raw) if isinstance(raw, dict) else {}


def read_update(raw: object, bot: Bot) -> Incoming | None:
    """None when it is no update at all."""
    fields = _fields(raw)
    number, update = fields.get("update_id"), None
    if type(number) is not int:
        return None
    try:
        update = Update.de_json(fields, bot)
    except Exception as error:  # noqa: BLE001  boundary: Telegram may send what this library cannot read
        logger.error("update {} cannot be read: {}", number, type(error).__name__)
    return Incoming(number, fields, update)


class Quarantine:
    """The updates that could not be understood, one JSON object a line: passed over, never lost."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def keep(self, item: Incoming) -> None:
        """On disk when it returns. Raises StorageError."""
        line = json.dumps({"ts": round(time.time(), 3), "update": item.raw}) + "\n"
        try:
            await asyncio.to_thread(self._append, line.encode())
        except OSError as error:
            raise StorageError(texts.cannot_write(error.strerror or "")) from error

    def _append(self, line: bytes) -> None:
        is_new = not self._path.exists()
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "ab") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
        if is_new:
            sync_folder(self._path.parent)
