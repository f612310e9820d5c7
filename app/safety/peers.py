"""The server's own memory and environment, which hold the keys: closed to other processes of the same user."""

from __future__ import annotations

import sys

from loguru import logger


def close_to_peers() -> None:
    """Linux alone knows this; root can look all the same."""
    if sys.platform == "linux":
        from app.safety.confine.syscalls import close_to_peers as close

        try:
            close()
        except OSError as error:
            logger.warning("other processes of this user can read the environment of this one: {}", error)
