"""Which session each chat is in: a small file replaced whole. `cause` makes moving on idempotent.

An entry is {"session", "cause"}, or {"same_as": chat} for a chat that has got another address.
"""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
import threading
from contextlib import suppress
from pathlib import Path

from loguru import logger
from pydantic import TypeAdapter

from app.cloud.journal import sync_folder
from app.core import texts
from app.core.errors import StorageError

Book = dict[str, dict[str, str]]
_BOOK: TypeAdapter[Book] = TypeAdapter(Book)


class ChatFile:
    """Implements ChatBook. Raises StorageError."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.RLock()
        self._book: Book | None = None  # this process alone writes the file

    async def session_of(self, chat: str) -> str:
        book = self._book if self._book is not None else await asyncio.to_thread(self._load)
        chat = _resolved(book, chat)
        return book.get(chat, {}).get("session", chat)

    async def start_new(self, chat: str, cause: str) -> str:
        return await asyncio.to_thread(self._start_new, chat, cause)

    async def moved(self, old: str, new: str) -> None:
        """From now on both names mean the same chat."""
        await asyncio.to_thread(self._moved, old, new)

    def _start_new(self, chat: str, cause: str) -> str:
        with self._lock:
            book = self._load()
            chat = _resolved(book, chat)
            entry = book.get(chat, {})
            if entry.get("cause") == cause:
                return entry["session"]
            names = [p.stem for p in (self._path.parent / "sessions").glob(f"{chat}_*.jsonl")]
            names.append(entry.get("session", chat))
            suffixes = [name.removeprefix(chat).lstrip("_") for name in names]
            number = max((int(s) for s in suffixes if s.isdigit()), default=1) + 1
            fresh = {"session": f"{chat}_{number}", "cause": cause}
            self._replace(book | {chat: fresh})
            return fresh["session"]

    def _moved(self, old: str, new: str) -> None:
        with self._lock:
            book = self._load()
            home = _resolved(book, old)
            if home not in (new, _resolved(book, new)):
                self._replace(book | {new: {"same_as": home}})

    def _load(self) -> Book:
        with self._lock:
            if self._book is None:
                self._book = self._read()
            return self._book

    def _read(self) -> Book:
        try:
            return _BOOK.validate_json(self._path.read_bytes())
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            logger.error("chats.json cannot be read: {}", type(error).__name__)
            raise StorageError(texts.cannot_read(self._path.name, type(error).__name__)) from error

    def _replace(self, book: Book) -> None:
        replace_whole(self._path, book)
        self._book = book


def replace_whole(path: Path, value: object) -> None:
    """As JSON, on disk when it returns: there is always the old content or the new one. Raises StorageError."""
    try:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-")
    except OSError as error:
        raise StorageError(texts.cannot_write(error.strerror or "")) from error
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(value, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
        sync_folder(path.parent)
    except OSError as error:
        with suppress(OSError):
            Path(name).unlink()
        raise StorageError(texts.cannot_write(error.strerror or "")) from error


def _resolved(book: Book, chat: str) -> str:
    return book.get(chat, {}).get("same_as", chat)
