"""What Nanobot does by itself from time to time, as long as it runs."""

from __future__ import annotations

import asyncio

from loguru import logger

from app.cloud.sessions import SessionManager
from app.core.errors import CheckpointError, StorageError
from app.core.undo import Undo

DAY_SECONDS = 86_400.0


async def keep_up(store: SessionManager, undo: Undo, every: float = DAY_SECONDS) -> None:
    """Puts old conversations away, as SESSION_RETENTION_DAYS says, and old points of undo; now and once a day."""
    while True:
        try:
            if count := await store.cleanup_old_sessions():
                logger.info("{} old session(s) archived", count)
        except StorageError as error:
            logger.error("old sessions not archived: {}", error)
        try:
            await undo.tidy()
        except (CheckpointError, OSError) as error:
            logger.error("undo cannot be tidied: {}", error)
        await asyncio.sleep(every)
