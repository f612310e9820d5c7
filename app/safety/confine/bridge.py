"""From a port on the loopback that a command sees to the Unix socket of the filtering proxy."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import fcntl
import os
import socket
import struct
import threading
from contextlib import suppress

from app.safety.confine.variables import through

PORT = 3128  # inside a network of its own; elsewhere the system chooses one
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1
_CHUNK = 65_536
_CONNECTIONS = 64  # at a time


def listen(port: int) -> int:
    """The descriptor; it stays in the network in which it was made."""
    listener = socket.create_server(("127.0.0.1", port), backlog=_CONNECTIONS)
    return listener.detach()


def raise_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sH22x", b"lo", 0)
        flags = struct.unpack("16sH22x", fcntl.ioctl(control, _SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sH22x", b"lo", flags | _IFF_UP))


def serve(listener: int, proxy: str) -> None:
    """Until it is killed. In a process of its own."""
    with socket.socket(fileno=listener) as server:
        free = threading.Semaphore(_CONNECTIONS)
        while True:
            free.acquire()
            client, _ = server.accept()
            threading.Thread(target=_join, args=(client, proxy, free), daemon=True).start()


def _join(client: socket.socket, proxy: str, free: threading.Semaphore) -> None:
    with client, suppress(OSError), socket.socket(socket.AF_UNIX) as upstream:
        upstream.connect(proxy)
        back = threading.Thread(target=_copy, args=(upstream, client), daemon=True)
        back.start()
        _copy(client, upstream)
        back.join()
    free.release()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(_CHUNK):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


def environment(port: int) -> dict[str, str]:
    return through(f"http://127.0.0.1:{port}")


def port_of(listener: int) -> int:
    with socket.socket(fileno=os.dup(listener)) as server:
        return server.getsockname()[1]
