"""Small files that only their owner may read. Everything here blocks; callers run it in a thread."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from app.core import texts
from app.core.errors import StorageError


def replace_private(path: Path, data: bytes) -> None:
    """Mode 0600, replaced in one step: there is always the old content or the new one. Raises StorageError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")  # made with mode 0600
    except OSError as error:
        raise StorageError(texts.cannot_write(error.strerror or "")) from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except OSError as error:
        with suppress(OSError):
            Path(name).unlink()
        raise StorageError(texts.cannot_write(error.strerror or "")) from error


def random_key(path: Path) -> bytes:
    """The 32 random bytes kept in `path`; made the first time, made again when the file is damaged."""
    with suppress(FileNotFoundError):
        key = path.read_bytes()
        if len(key) == 32:
            return key
    key = os.urandom(32)
    replace_private(path, key)
    return key
