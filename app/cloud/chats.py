"""Which session each chat is in: a small file replaced whole. `cause` makes moving on idempotent."""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
import threading
from pathlib import Path

from loguru import logger

from app.cloud.journal import sync_folder
from app.core import texts
from app.core.errors import StorageError


class ChatFile:
    """Implements ChatBook. Raises StorageError."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._book: dict[str, dict[str, str]] | None = None  # this process alone writes the file

    async def session_of(self, chat: str) -> str:
        if self._book is None:
            await asyncio.to_thread(self._load)
        return (self._book or {}).get(chat, {}).get("session", chat)

    async def start_new(self, chat: str, cause: str) -> str:
        return await asyncio.to_thread(self._start_new, chat, cause)

    def _start_new(self, chat: str, cause: str) -> str:
        with self._lock:
            book = self._load()
            entry = book.get(chat, {})
            if entry.get("cause") == cause:
                return entry["session"]
            names = [p.stem for p in (self._path.parent / "sessions").glob(f"{chat}_*.jsonl")]
            names.append(entry.get("session", chat))
            suffixes = [name.removeprefix(chat).lstrip("_") for name in names]
            number = max((int(s) for s in suffixes if s.isdigit()), default=1) + 1
            fresh = {"session": f"{chat}_{number}", "cause": cause}
            self._write(book | {chat: fresh})
            self._book = book | {chat: fresh}
            return fresh["session"]

    def _load(self) -> dict[str, dict[str, str]]:
        if self._book is None:
            self._book = self._read()
        return self._book

    def _read(self) -> dict[str, dict[str, str]]:
        try:
            return json.loads(self._path.read_text("utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            logger.error("chats.json cannot be read: {}", error)
            raise StorageError(texts.cannot_read(self._path.name, type(error).__name__)) from error

    def _write(self, book: dict[str, dict[str, str]]) -> None:
        try:
            descriptor, name = tempfile.mkstemp(dir=self._path.parent, prefix=".chats-")
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump(book, file, indent=1)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(self._path)
            sync_folder(self._path.parent)
        except OSError as error:
            raise StorageError(texts.cannot_write(error.strerror or "")) from error
