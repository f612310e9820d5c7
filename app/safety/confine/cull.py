"""Ends a whole command at once, where the kernel counts none of its processes (uid 0) and nothing else would be fast
enough for what multiplies.

Landlock can confine signals to a domain: in it, a signal to everybody reaches the command and nothing else. A process
of that domain waits outside the command's own confinement; the command cannot reach it.
"""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import os
import signal
import socket
from contextlib import suppress

from app.safety.confine import landlock

_NOW, _DONE = b"k", b"d"
_PATIENCE = 5.0  # s


def is_possible() -> bool:
    return landlock.abi() >= landlock.SCOPE_ABI


def stand_by(channel: socket.socket, monitor: int) -> None:
    """In the command's first process, before it shuts itself in: from now on signals stay below here."""
    landlock.keep_signals_inside()
    if os.fork():
        return
    try:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        keep = channel.fileno()
        os.closerange(0, keep)
        os.closerange(keep + 1, 1 << 16)
        while channel.recv(1) == _NOW:
            if not _reaches(monitor):  # or it would be the machine that ends
                os.kill(-1, signal.SIGKILL)
            channel.send(_DONE)
    finally:
        os._exit(0)


def end(channel: socket.socket) -> None:
    """Everything of the command. What it does not reach is left to tree.end()."""
    with suppress(OSError):
        channel.settimeout(_PATIENCE)
        channel.send(_NOW)
        channel.recv(1)


def _reaches(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except PermissionError:
        return False
    except OSError:
        return True
    return True
