"""Changes the rights and times of the server's own files for a command that runs as another user.

A process of the server's user, which is told what to change by an open file, and looks for itself where that lies.
"""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import ctypes
import errno
import os
import socket
import struct
from collections.abc import Callable, Sequence

from app.safety.confine.mask import inside, is_masked, lies_in
from app.safety.confine.plan import Plan
from app.safety.confine.syscalls import call, die_with_parent
from app.safety.confine.users import Users, become, lose_everything

_AT_EMPTY_PATH = 0x1000
_ERRNO = struct.Struct("=i")
_MAX = 64
Judge = Callable[[int], bool]


def folders(plan: Plan) -> Sequence[tuple[str, Sequence[str]]]:
    """What is granted, each with what is masked in it."""
    return [(path, inside(path, plan.masked)) for path in (*plan.writable, plan.home)]


def is_inside(descriptor: int, granted: Sequence[tuple[str, Sequence[str]]]) -> bool:
    real = os.readlink(f"/proc/self/fd/{descriptor}")
    return any(lies_in(real, folder) and not is_masked(real, masked) for folder, masked in granted)


def change_mode(descriptor: int, mode: int) -> None:
    os.chmod(f"/proc/self/fd/{descriptor}", mode & 0o1777)


def change_times(descriptor: int, times: bytes | None) -> None:
    buffer = None if times is None else ctypes.create_string_buffer(times, len(times))
    call("utimensat", descriptor, b"", buffer, _AT_EMPTY_PATH)


class Owner:
    """The end that asks. Raises OSError like the calls themselves."""

    def __init__(self, plan: Plan, users: Users) -> None:
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        parent = os.getpid()
        if os.fork() == 0:
            try:
                self._channel.close()
                become(users.server, users.group)
                lose_everything()
                die_with_parent(parent)
                _serve(theirs, folders(plan))
            finally:
                os._exit(0)
        theirs.close()

    def change_mode(self, descriptor: int, mode: int) -> None:
        self._ask(descriptor, b"m" + struct.pack("=I", mode))

    def change_times(self, descriptor: int, times: bytes | None) -> None:
        self._ask(descriptor, b"t" + (times or b""))

    def _ask(self, descriptor: int, words: bytes) -> None:
        socket.send_fds(self._channel, [words], [descriptor])
        (failure,) = _ERRNO.unpack(self._channel.recv(_ERRNO.size))
        if failure:
            raise OSError(failure, os.strerror(failure))


def _serve(channel: socket.socket, granted: Sequence[tuple[str, Sequence[str]]]) -> None:
    """Until the other end is gone."""
    while True:
        words, given, _, _ = socket.recv_fds(channel, _MAX, 1)
        if not words:
            return
        channel.send(_ERRNO.pack(_do(words, given[0], granted)))
        os.close(given[0])


def _do(words: bytes, descriptor: int, granted: Sequence[tuple[str, Sequence[str]]]) -> int:
    if not is_inside(descriptor, granted):
        return errno.EACCES
    try:
        if words[:1] == b"m":
            change_mode(descriptor, *struct.unpack("=I", words[1:]))
        else:
            change_times(descriptor, words[1:] or None)
    except OSError as error:
        return error.errno or errno.EACCES
    return 0
