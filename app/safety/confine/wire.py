"""Between server and helper: a length and bytes over a stream socket."""

from __future__ import annotations

import socket
import struct

_LENGTH = struct.Struct("!I")
MAX = 64 << 20  # bytes
TAKEN = b"t"  # what the monitor says before it begins


def send(channel: socket.socket, data: bytes) -> None:
    channel.sendall(_LENGTH.pack(len(data)) + data)


def receive(channel: socket.socket) -> bytes:
    """b'' at the end. Raises OSError."""
    head = _exactly(channel, _LENGTH.size)
    return _exactly(channel, min(MAX, _LENGTH.unpack(head)[0])) if head else b""


def _exactly(channel: socket.socket, size: int) -> bytes:
    parts: list[bytes] = []
    while size:
        part = channel.recv(min(size, 1 << 20))
        if not part:
            return b""
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
