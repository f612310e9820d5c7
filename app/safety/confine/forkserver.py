"""The helper: a small resident process of one thread that forks a monitor for each command.

Forking a server full of threads is not safe, and starting an interpreter per command is slow. It ends when the server
does (its end of the socket closes), and never waits for anything but the next request or the end of a child.
"""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import gc
import os
import select
import signal
import socket
import traceback
from contextlib import suppress

from app.safety.confine import tree
from app.safety.confine.filters import seccomp
from app.safety.confine.landlock import abi
from app.safety.confine.monitor import attend
from app.safety.confine.plan import Layer
from app.safety.confine.secrets import secrets_of_the_system
from app.safety.confine.syscalls import adopt_orphans
from app.safety.confine.users import NOBODY, Users

_LAYERS: tuple[Layer, ...] = ("bubblewrap", "landlock-uid", "landlock")


def main(descriptor: int, server: int, tools: int = NOBODY, group: int = NOBODY) -> None:
    with socket.socket(fileno=descriptor) as requests:
        _Helper(requests, Users(server, tools, group)).serve()


class _Helper:
    def __init__(self, requests: socket.socket, users: Users) -> None:
        self._requests = requests
        self._users = users
        self._monitors: set[int] = set()
        self._woken, self._waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def serve(self) -> None:
        adopt_orphans()
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it ends with the server, not before
        signal.signal(signal.SIGCHLD, _wake)
        signal.set_wakeup_fd(self._waker, warn_on_full_buffer=False)
        _warm_up()
        poll = select.poll()
        poll.register(self._requests, select.POLLIN)
        poll.register(self._woken, select.POLLIN)
        while True:
            ready = {number for number, _ in poll.poll()}
            if self._woken in ready:
                self._tidy()
            if self._requests.fileno() in ready and not self._take():
                return

    def _take(self) -> bool:
        """One request: a channel and where the output goes. False: the server has gone."""
        try:
            data, given, _, _ = socket.recv_fds(self._requests, 1, 2)
        except OSError:
            return False
        if not data:
            return False
        if len(given) == 2:
            with suppress(OSError):  # no process to be had: the server sees the channel close
                self._fork(*given)
        for descriptor in given:
            os.close(descriptor)
        return True

    def _fork(self, channel: int, output: int) -> None:
        pid = os.fork()
        if pid:
            self._monitors.add(pid)
            return
        try:
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGCHLD, signal.SIGTERM):
                signal.signal(number, signal.SIG_DFL)
            for inherited in (self._woken, self._waker):
                os.close(inherited)
            self._requests.close()
            with socket.socket(fileno=channel) as server:
                attend(server, output, self._users)
        except BaseException:  # noqa: BLE001  the boundary of this process: the server sees the channel close
            traceback.print_exc()
        finally:
            os._exit(0)

    def _tidy(self) -> None:
        """Reaps monitors, and ends what one that died too early has left to this process."""
        with suppress(BlockingIOError):
            os.read(self._woken, 4096)
        for pid in tree.children(os.getpid()):
            if pid not in self._monitors:
                tree.send(pid, signal.SIGKILL)
        with suppress(ChildProcessError):
            while pid := os.waitpid(-1, os.WNOHANG)[0]:
                self._monitors.discard(pid)


def _wake(*_: object) -> None:
    """The wake-up descriptor says it."""


def _warm_up() -> None:
    """What every command needs is made once, and its pages stay shared."""
    secrets_of_the_system()
    for layer in _LAYERS:
        seccomp(layer, landlock=abi())
    gc.collect()
    gc.freeze()
