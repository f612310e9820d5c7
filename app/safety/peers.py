"""Other processes of this machine: the same user's are kept from the server's memory, others' from its sockets."""

from __future__ import annotations

import asyncio
import socket
import struct
import sys

from loguru import logger


def close_to_peers() -> None:
    """The keys are there. Linux alone knows this; root can look all the same."""
    if sys.platform == "linux":
        from app.safety.confine.syscalls import close_to_peers as close

        try:
            close()
        except OSError as error:
            logger.warning("other processes of this user can read the environment of this one: {}", error)


def is_user(writer: asyncio.StreamWriter, uid: int) -> bool:
    """Whether the other end of a Unix socket was opened by this user or by root. Raises OSError."""
    if sys.platform != "linux":
        return False
    with socket.fromfd(writer.get_extra_info("socket").fileno(), socket.AF_UNIX, socket.SOCK_STREAM) as peer:
        _, theirs, _ = struct.unpack("3i", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return theirs in {uid, 0}
