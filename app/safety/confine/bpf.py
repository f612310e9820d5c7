"""Seccomp programs put together by hand. A rule is the code that judges one system call; it always ends in a verdict.

Source: seccomp(2), uapi/linux/{bpf_common,seccomp,audit}.h
"""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import ctypes
import errno
import os
import struct
from collections.abc import Mapping, Sequence

from app.safety.confine.syscalls import MACHINE, call

Code = Sequence[tuple[int, int, int, int]]  # code, jump if true, jump if false, k

_LD, _AND, _JEQ, _JGE, _JSET, _RET = 0x20, 0x54, 0x15, 0x35, 0x45, 0x06
_AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_X32 = 0x40000000
_KILL, _ERRNO, _NOTIFY, _ALLOW = 0x80000000, 0x00050000, 0x7FC00000, 0x7FFF0000
_FILTER_LISTENER = 1 << 3
_WAIT_KILLABLE = 1 << 5  # a call that is being answered is not interrupted by a signal
LAST_KNOWN = 469  # file_setattr; what comes later is not judged by any rule, so it is not there

ALLOW: Code = [(_RET, 0, 0, _ALLOW)]
NOTIFY: Code = [(_RET, 0, 0, _NOTIFY)]


def refuse(code: int = errno.EPERM) -> Code:
    """errno 0: pretend that it was done."""
    return [(_RET, 0, 0, _ERRNO | code)]


def _low(argument: int) -> tuple[int, int, int, int]:
    return (_LD, 0, 0, 16 + 8 * argument)


def if_bits(argument: int, bits: int, then: Code, otherwise: Code = ALLOW) -> Code:
    return [_low(argument), (_JSET, 0, len(then), bits), *then, *otherwise]


def if_equal(argument: int, values: Sequence[int], then: Code, otherwise: Code, *, mask: int = 0xFFFFFFFF) -> Code:
    masked = [] if mask == 0xFFFFFFFF else [(_AND, 0, 0, mask)]
    tests = [(_JEQ, len(values) - 1 - n, 0, value) for n, value in enumerate(values)]
    tests[-1] = (_JEQ, 0, len(then), values[-1])
    return [_low(argument), *masked, *tests, *then, *otherwise]


def program(rules: Mapping[int, Code]) -> bytes:
    """Everything that no rule names is allowed; another architecture's calls end the process."""
    code = [(_LD, 0, 0, 4), (_JEQ, 1, 0, _AUDIT_ARCH[MACHINE]), (_RET, 0, 0, _KILL), (_LD, 0, 0, 0)]
    code += [(_JGE, 0, 1, LAST_KNOWN + 1), *refuse(errno.ENOSYS)]  # x32 (from 0x40000000) is among them
    for number, rule in rules.items():
        code += [(_JEQ, 0, len(rule), number), *rule]
    code += ALLOW
    return b"".join(struct.pack("=HBBI", *line) for line in code)


def install(compiled: bytes, *, listen: bool = False) -> int:
    """Returns the descriptor on which calls under NOTIFY are heard, or 0. Raises OSError."""
    lines = ctypes.create_string_buffer(compiled, len(compiled))
    head = struct.pack("@HP", len(compiled) // 8, ctypes.addressof(lines))
    buffer = ctypes.create_string_buffer(head, len(head))
    if not listen:
        return call("seccomp", 1, 0, buffer)
    try:
        return call("seccomp", 1, _FILTER_LISTENER | _WAIT_KILLABLE, buffer)
    except OSError:  # before 5.19
        return call("seccomp", 1, _FILTER_LISTENER, buffer)


def is_supported() -> bool:
    return MACHINE in _AUDIT_ARCH and os.path.exists("/proc/sys/kernel/seccomp")
