"""System calls that Python does not offer, by number: nothing is compiled. Source: the kernel's syscall tables."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import ctypes
import os

MACHINE = os.uname().machine
_COMMON = {  # the same on every architecture since 5.0
    "open_tree": 428, "move_mount": 429, "fsopen": 430, "fsconfig": 431, "fsmount": 432, "fspick": 433, "clone3": 435,
    "openat2": 437, "pidfd_getfd": 438, "mount_setattr": 442, "landlock_create_ruleset": 444, "landlock_add_rule": 445,
    "landlock_restrict_self": 446,
}  # fmt: skip
_OWN = {
    "x86_64": {
        "mount": 165,
        "unshare": 272,
        "prctl": 157,
        "capset": 126,
        "seccomp": 317,
        "tgkill": 234,
        "utimensat": 280,
    },
    "aarch64": {"mount": 40, "unshare": 97, "prctl": 167, "capset": 91, "seccomp": 277, "tgkill": 131, "utimensat": 88},
}
NUMBERS = _COMMON | _OWN.get(MACHINE, {})

CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWNET = 0x20000, 0x10000000, 0x40000000
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_CAPBSET_DROP = 1, 4, 24
_PR_SET_SUBREAPER, _PR_SET_NO_NEW_PRIVS, _PR_CAP_AMBIENT = 36, 38, 47
_LAST_CAPABILITY = 63
CAP_KILL, CAP_SETGID, CAP_SETUID = 5, 6, 7

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def call(name: str, *arguments: int | bytes | ctypes.Array[ctypes.c_char] | None) -> int:
    """Raises OSError; ENOSYS as well where the number is not known."""
    if name not in NUMBERS:
        raise OSError(38, f"{name} on {MACHINE}")
    passed = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    result = _libc.syscall(ctypes.c_long(NUMBERS[name]), *passed)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")
    return result


def unshare(flags: int) -> None:
    call("unshare", flags)


def mount(source: bytes | None, target: bytes, kind: bytes | None, flags: int, data: bytes | None = None) -> None:
    call("mount", source, target, kind, flags, data)


def die_with_parent(parent: int) -> None:
    """`parent`: who it was before the fork; it may have died meanwhile."""
    call("prctl", _PR_SET_PDEATHSIG, 9, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(137)


def adopt_orphans() -> None:
    """What double-forks below this process becomes its child, and can be found and ended."""
    call("prctl", _PR_SET_SUBREAPER, 1, 0, 0, 0)


def no_new_privileges() -> None:
    call("prctl", _PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def close_to_peers(*, closed: bool = True) -> None:
    """Other processes of this user cannot read the memory or the environment of this one.

    A change of user does the same, and /proc/self is closed with it.
    """
    call("prctl", _PR_SET_DUMPABLE, int(not closed), 0, 0, 0)


def keep_capabilities(kept: int = 0) -> None:
    """A bit set of those that stay; the bounding set is cut as far as that is permitted."""
    call("prctl", _PR_CAP_AMBIENT, 4, 0, 0, 0)
    for capability in range(_LAST_CAPABILITY + 1):
        if not kept >> capability & 1:
            try:
                call("prctl", _PR_CAPBSET_DROP, capability, 0, 0, 0)
            except OSError:  # without CAP_SETPCAP, or past the last one: no_new_privs keeps the rest out of reach
                continue
    header = ctypes.create_string_buffer(b"\x22\x05\x08\x20" + bytes(4), 8)  # _LINUX_CAPABILITY_VERSION_3, self
    low = kept.to_bytes(4, "little")
    call("capset", header, ctypes.create_string_buffer((low + low + bytes(4)) + bytes(12), 24))
