"""Landlock: what this process and its children may open, from now on. Source: landlock(7), uapi/linux/landlock.h."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import ctypes
import os
import stat
import struct
from collections.abc import Iterable

from app.safety.confine.syscalls import call

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR, _REMOVE_DIR, _REMOVE_FILE = (1 << bit for bit in range(6))
_MAKE_CHAR, _MAKE_DIR, _MAKE_REG, _MAKE_SOCK, _MAKE_FIFO, _MAKE_BLOCK, _MAKE_SYM = (1 << bit for bit in range(6, 13))
_REFER, _TRUNCATE, _IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15
_BIND_TCP, _CONNECT_TCP = 1, 2
_ABSTRACT_UNIX, _SIGNAL = 1, 2
_ALL = (1 << 16) - 1

READ = _EXECUTE | _READ_FILE | _READ_DIR
USE = _READ_FILE | _WRITE_FILE  # of a device
WRITE = _ALL & ~(_MAKE_CHAR | _MAKE_BLOCK | _IOCTL_DEV)
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV
_FS_BY_ABI = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1}
TRUNCATE_ABI, NETWORK_ABI, SCOPE_ABI = 3, 4, 6
_BENEATH, _PORT = 1, 2


def abi() -> int:
    """0 where there is none."""
    try:
        return call("landlock_create_ruleset", None, 0, 1)
    except OSError:
        return 0


def restrict(grants: Iterable[tuple[str, int]], port: int | None = None) -> None:
    """For the rest of this process's life. `port`: the one to which TCP may be opened. Raises OSError."""
    version = abi()
    handled = _FS_BY_ABI.get(version, _ALL)
    net = _BIND_TCP | _CONNECT_TCP if version >= NETWORK_ABI else 0
    scope = _ABSTRACT_UNIX | _SIGNAL if version >= SCOPE_ABI else 0
    attributes = struct.pack("=QQQ", handled, net, scope)[: 24 if scope else 16 if net else 8]
    ruleset = call("landlock_create_ruleset", _buffer(attributes), len(attributes), 0)
    for path, rights in grants:
        _grant(ruleset, path, rights & handled)
    if port is not None and net:
        call("landlock_add_rule", ruleset, _PORT, _buffer(struct.pack("=QQ", _CONNECT_TCP, port)), 0)
    call("landlock_restrict_self", ruleset, 0)
    os.close(ruleset)


def keep_signals_inside() -> None:
    """This process and its children can signal nobody else. Nothing more is refused. Raises OSError."""
    attributes = struct.pack("=QQQ", _REFER, 0, _SIGNAL)  # moving between folders is refused where it is not granted
    ruleset = call("landlock_create_ruleset", _buffer(attributes), len(attributes), 0)
    _grant(ruleset, "/", _REFER)
    call("landlock_restrict_self", ruleset, 0)
    os.close(ruleset)


def _grant(ruleset: int, path: str, rights: int) -> None:
    """Never through a link: a command could have put it there."""
    try:
        descriptor = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return  # gone, or never there: nothing to grant
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISLNK(mode):
            return
        rights = rights if stat.S_ISDIR(mode) else rights & _OF_FILES
        call("landlock_add_rule", ruleset, _BENEATH, _buffer(struct.pack("=Qi", rights, descriptor)), 0)
    finally:
        os.close(descriptor)


def _buffer(data: bytes) -> ctypes.Array[ctypes.c_char]:
    return ctypes.create_string_buffer(data, len(data))
