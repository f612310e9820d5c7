"""The server's end of the helper process (see confine/forkserver.py): started when first needed, restarted if it dies.

One for the whole process: it knows nothing, every command brings its own plan.
"""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import atexit
import os
import socket
import subprocess
import threading
from contextlib import suppress
from functools import cache
from pathlib import Path

from loguru import logger

from app.core import texts_sandbox as texts
from app.core.errors import SandboxError

INHERITED = "NANOBOT_HELPER"  # `descriptor:home` of a helper that was started as root, before this process was not
_CODE = Path(__file__).resolve().parent.parent.parent
_MAIN = (
    f"import sys; sys.path.insert(0, {str(_CODE)!r}); "
    "from app.safety.confine.forkserver import main; main(*map(int, sys.argv[1:]))"
)


def command(*numbers: int) -> list[str]:
    """Isolated and without site: it starts in a few ms and imports nothing of a user's."""
    return [sys.executable, "-I", "-S", "-c", _MAIN, *map(str, numbers)]


class Helper:
    """`privileged`: it was started as root for a server that is not, and gives commands another user, with `home`."""

    def __init__(self, inherited: int | None = None, home: str = "") -> None:
        self.privileged = inherited is not None
        self.home = home
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._requests = socket.socket(fileno=inherited) if inherited is not None else None
        atexit.register(self.close)

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def submit(self, output: int) -> socket.socket:
        """A channel to a new monitor, which writes into `output`. Raises SandboxError."""
        ours, theirs = socket.socketpair()
        with theirs:
            for again in (False, True):
                try:
                    with self._lock:
                        socket.send_fds(self._connected(), [b"j"], [theirs.fileno(), output])
                    return ours
                except OSError as error:  # nothing was received, so nothing has begun
                    logger.warning("the helper of the commands is gone: {}", error)
                    self._lose()
                    if again or self.privileged:
                        break
        ours.close()
        raise SandboxError(texts.SANDBOX_NO_HELPER)

    def close(self) -> None:
        with self._lock:
            self._lose()

    def _connected(self) -> socket.socket:
        if self._requests is None:
            if self.privileged:
                raise OSError("it was started as root and cannot be started again")
            self._requests = self._start()
        return self._requests

    def _start(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        with theirs:
            clean = {"PATH": os.defpath, "LANG": "C.UTF-8", "PYTHONUTF8": "1"}  # other processes of the user may look
            self._process = subprocess.Popen(
                command(theirs.fileno(), os.geteuid()), pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL, env=clean, cwd="/", start_new_session=True,
            )  # fmt: skip
        return ours

    def _lose(self) -> None:
        """It leaves by itself when its socket closes; a monitor that still works is no part of it."""
        requests, process = self._requests, self._process
        self._requests = self._process = None
        if requests:
            requests.close()
        if process:
            with suppress(subprocess.TimeoutExpired):
                process.wait(1)


@cache
def shared_helper() -> Helper:
    descriptor, _, home = os.environ.pop(INHERITED, "").partition(":")
    return Helper(int(descriptor), home) if descriptor.isdigit() else Helper()
