"""Calls that seccomp hands over because their arguments are pointers: done here instead, if they stay inside.

Landlock does not see chmod and utime, and connect only by its port. What is judged here is what is used: the path is
resolved once to an open file, the address is read once. Source: seccomp_unotify(2).
"""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import ctypes
import errno
import fcntl
import os
import select
import socket
import struct
from collections.abc import Callable, Sequence
from contextlib import suppress

from app.safety.confine import tree
from app.safety.confine.filters import NUMBERS
from app.safety.confine.owner import Owner, change_mode, change_times, folders, is_inside
from app.safety.confine.plan import Plan
from app.safety.confine.syscalls import call

_RECEIVE, _SEND, _STILL_VALID = 0xC0502100, 0xC0182101, 0x40082102
_NOTIFICATION = struct.Struct("=QIIiIQ6Q")  # id, pid, flags, number, architecture, ip, arguments
_ANSWER = struct.Struct("=QqiI")
_CONTINUE = 1
_MULTIPLIES = {"clone", "fork", "vfork"}
_AT_FDCWD, _AT_SYMLINK_NOFOLLOW, _AT_EMPTY_PATH = -100, 0x100, 0x1000
_PATH_MAX = 4096
_NAMES = {number: name for name, number in NUMBERS.items() if number is not None}


class Emulator:
    """Has to be of the same user as the command, and outside its confinement. `other`: for files of the server's."""

    def __init__(self, listener: int, plan: Plan, port: int | None, other: Owner | None = None) -> None:
        self._listener = listener
        self._other = other
        self._port = port
        self._processes = plan.ceilings.processes
        self._most = tree.all_tasks() + self._processes
        self._folders = folders(plan)
        self._calls: dict[str, Callable[[_Caller, Sequence[int]], None]] = {
            "chmod": lambda who, a: self._mode(who, _AT_FDCWD, a[0], a[1]),
            "fchmod": lambda who, a: self._mode(who, _signed(a[0]), 0, a[1]),
            "fchmodat": lambda who, a: self._mode(who, _signed(a[0]), a[1], a[2]),
            "utime": lambda who, a: self._times(who, (_AT_FDCWD, a[0], 0), who.seconds(a[1])),
            "utimes": lambda who, a: self._times(who, (_AT_FDCWD, a[0], 0), who.microseconds(a[1])),
            "futimesat": lambda who, a: self._times(who, (_signed(a[0]), a[1], 0), who.microseconds(a[2])),
            "utimensat": lambda who, a: self._times(who, (_signed(a[0]), a[1], a[3]), who.nanoseconds(a[2])),
            "connect": lambda who, a: self._connect(who, a[0], a[1], a[2]),
            "kill": lambda who, a: self._signal(who, _signed(a[0]), _signed(a[1]), thread=False),
            "tkill": lambda who, a: self._signal(who, _signed(a[0]), _signed(a[1]), thread=True),
            "tgkill": lambda who, a: self._signal(who, _signed(a[1]), _signed(a[2]), thread=True),
        }

    def serve(self) -> None:
        """Until the last process of the command has ended."""
        while True:
            request = bytearray(_NOTIFICATION.size)
            try:
                fcntl.ioctl(self._listener, _RECEIVE, request)
            except OSError as error:
                if error.errno in {errno.EINTR, errno.ENOENT}:  # the caller is gone
                    if not _NOTIFICATION.unpack(request)[0] and self._is_over():
                        return
                    continue
                return
            identity, pid, _, number, _, _, *arguments = _NOTIFICATION.unpack(request)
            name = _NAMES.get(number, "")
            if name in _MULTIPLIES:  # its arguments are numbers, and the filter has seen them
                failure, goes_on = self._crowded(), _CONTINUE
            else:
                failure, goes_on = self._answer(identity, pid, name, arguments), 0
            with suppress(OSError):
                fcntl.ioctl(self._listener, _SEND, _ANSWER.pack(identity, 0, -failure, 0 if failure else goes_on))

    def _crowded(self) -> int:
        """Only in a crowd is it looked at whose it is: that is slow."""
        crowd = tree.all_tasks() >= self._most
        return errno.EAGAIN if crowd and len(tree.descendants(os.getppid())) >= self._processes else 0

    def _is_over(self) -> bool:
        poll = select.poll()
        poll.register(self._listener, select.POLLIN)
        return any(event & select.POLLHUP for _, event in poll.poll(0))

    def _answer(self, identity: int, pid: int, name: str, arguments: Sequence[int]) -> int:
        """An errno; 0 for done."""
        try:
            with _Caller(pid) as caller:
                fcntl.ioctl(self._listener, _STILL_VALID, struct.pack("=Q", identity))
                self._calls[name](caller, arguments)
        except OSError as error:
            return error.errno or errno.EACCES
        except (KeyError, ValueError, struct.error):
            return errno.EINVAL
        return 0

    def _mode(self, who: _Caller, folder: int, path: int, mode: int) -> None:
        descriptor = self._open(who.path(folder, path, empty=False), follow=True)
        try:
            change_mode(descriptor, mode)
        except PermissionError:
            if self._other is None:
                raise
            self._other.change_mode(descriptor, mode)
        finally:
            os.close(descriptor)

    def _times(self, who: _Caller, where: tuple[int, int, int], times: bytes | None) -> None:
        folder, path, flags = where
        name = who.path(folder, path, empty=bool(flags & _AT_EMPTY_PATH))
        descriptor = self._open(name, follow=not flags & _AT_SYMLINK_NOFOLLOW or not path)
        try:
            change_times(descriptor, times)
        except PermissionError:
            if self._other is None:
                raise
            self._other.change_times(descriptor, times)
        finally:
            os.close(descriptor)

    def _signal(self, who: _Caller, target: int, number: int, *, thread: bool) -> None:
        """To a process of the command, a thread of one, or a group that one leads; 0: the caller's own group."""
        group = not thread and target <= 0
        target = (-target or os.getpgid(who.pid)) if group else target
        process = who.process(target)
        if process == os.getpid() or process not in tree.descendants(os.getppid()):
            raise PermissionError(errno.EPERM, "not its own")
        if thread:
            call("tgkill", process, target, number)
        else:
            (os.killpg if group else os.kill)(target, number)

    def _open(self, name: bytes, *, follow: bool) -> int:
        descriptor = os.open(name, os.O_PATH | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW))
        if not is_inside(descriptor, self._folders):
            os.close(descriptor)
            raise OSError(errno.EACCES, "outside")
        return descriptor

    def _connect(self, who: _Caller, descriptor: int, address: int, length: int) -> None:
        family, port, host = struct.unpack("=H2s4s", who.read(address, min(length, 16))[:8])
        if (family, port, host) != (socket.AF_INET, struct.pack("!H", self._port or 0), b"\x7f\0\0\x01"):
            raise PermissionError(errno.EACCES, "only the proxy")
        with who.socket(descriptor) as theirs:
            theirs.connect(("127.0.0.1", self._port or 0))


class _Caller:
    """A thread that waits in a system call: what its pointers point to."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._memory = os.open(f"/proc/{pid}/mem", os.O_RDONLY | os.O_CLOEXEC)

    def __enter__(self) -> _Caller:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._memory)

    def read(self, address: int, size: int) -> bytes:
        return os.pread(self._memory, size, address)

    def path(self, folder: int, address: int, *, empty: bool) -> bytes:
        """As seen from here: the command has the same root. An `empty` one: the descriptor itself."""
        text = b"" if address else b"\0"
        empty = empty or not address
        while b"\0" not in text and len(text) < _PATH_MAX:
            start = address + len(text)
            text += self.read(start, 4096 - start % 4096)  # never past a page that is not there
        name = text.partition(b"\0")[0]
        if not name and not empty:
            raise FileNotFoundError(errno.ENOENT, "")
        if name.startswith((b"/proc/self", b"/proc/thread-self", b"/dev/fd", b"/dev/std")):
            name = f"/proc/{self.pid}".encode() + _own(name)
        base = "cwd" if folder == _AT_FDCWD else f"fd/{folder}"
        return name if name.startswith(b"/") else f"/proc/{self.pid}/{base}".encode() + (b"/" + name if name else b"")

    def seconds(self, address: int) -> bytes | None:
        """struct utimbuf"""
        if not address:
            return None
        access, change = struct.unpack("=qq", self.read(address, 16))
        return struct.pack("=qqqq", access, 0, change, 0)

    def microseconds(self, address: int) -> bytes | None:
        if not address:
            return None
        a, a_micro, c, c_micro = struct.unpack("=qqqq", self.read(address, 32))
        return struct.pack("=qqqq", a, a_micro * 1000, c, c_micro * 1000)

    def nanoseconds(self, address: int) -> bytes | None:
        return self.read(address, 32) if address else None

    def socket(self, descriptor: int) -> socket.socket:
        process = os.pidfd_open(self.process(self.pid))
        try:
            return socket.socket(fileno=call("pidfd_getfd", process, descriptor, 0))
        finally:
            os.close(process)

    def process(self, thread: int) -> int:
        """A thread calls; a pidfd is of a process. Raises OSError."""
        with open(f"/proc/{thread}/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("Tgid:"))


def _own(name: bytes) -> bytes:
    """What follows /proc/<pid> for the spellings of `this process`."""
    for prefix, own in ((b"/proc/self", b""), (b"/proc/thread-self", b""), (b"/dev/fd", b"/fd")):
        if name.startswith(prefix):
            return own + name[len(prefix) :]
    return b"/fd/" + {b"/dev/stdin": b"0", b"/dev/stdout": b"1", b"/dev/stderr": b"2"}.get(name, b"-1")


def _signed(number: int) -> int:
    return ctypes.c_int(number & 0xFFFFFFFF).value
