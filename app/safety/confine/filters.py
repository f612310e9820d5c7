"""Which system calls a command does without. The file system and the network are judged elsewhere as far as possible;
here stands what those do not see."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import errno
import socket
from collections.abc import Mapping
from functools import cache

from app.safety.confine.bpf import ALLOW, NOTIFY, Code, if_bits, if_equal, program, refuse
from app.safety.confine.landlock import SCOPE_ABI, TRUNCATE_ABI
from app.safety.confine.plan import Layer
from app.safety.confine.syscalls import MACHINE

# name: (x86_64, aarch64)
_NUMBERS: dict[str, tuple[int | None, int | None]] = {
    # kernel, clock, machine
    "acct": (163, 89), "adjtimex": (159, 171), "bpf": (321, 280), "clock_adjtime": (305, 266),
    "clock_settime": (227, 112), "delete_module": (176, 106), "fanotify_init": (300, 262), "finit_module": (313, 273),
    "init_module": (175, 105), "ioperm": (173, None), "iopl": (172, None), "kexec_file_load": (320, 294),
    "kexec_load": (246, 104), "lookup_dcookie": (212, 18), "nfsservctl": (180, 42), "perf_event_open": (298, 241),
    "quotactl": (179, 60), "quotactl_fd": (443, 443), "reboot": (169, 142), "sethostname": (170, 161),
    "setdomainname": (171, 162), "settimeofday": (164, 170), "swapoff": (168, 225), "swapon": (167, 224),
    "syslog": (103, 116), "uselib": (134, None), "userfaultfd": (323, 282), "vhangup": (153, 58),
    # mounts and namespaces
    "chroot": (161, 51), "fsconfig": (431, 431), "fsmount": (432, 432), "fsopen": (430, 430), "fspick": (433, 433),
    "mount": (165, 40), "mount_setattr": (442, 442), "move_mount": (429, 429), "open_by_handle_at": (304, 265),
    "open_tree": (428, 428), "open_tree_attr": (467, 467), "pivot_root": (155, 41), "setns": (308, 268),
    "umount2": (166, 39), "unshare": (272, 97), "listmount": (458, 458), "statmount": (457, 457),
    # other processes, keys
    "add_key": (248, 217), "kcmp": (312, 272), "keyctl": (250, 219), "migrate_pages": (256, 238),
    "move_pages": (279, 239), "pidfd_getfd": (438, 438), "process_madvise": (440, 440),
    "process_mrelease": (448, 448), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "ptrace": (101, 117), "request_key": (249, 218),
    # judged by their arguments
    "clone": (56, 220), "fork": (57, None), "vfork": (58, None), "clone3": (435, 435),
    "io_uring_setup": (425, 425), "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427), "ioctl": (16, 29), "openat2": (437, 437), "personality": (135, 92),
    "chmod": (90, None), "fchmod": (91, 52), "fchmodat": (268, 53), "fchmodat2": (452, 452), "creat": (85, None),
    "mkdir": (83, None), "mkdirat": (258, 34), "mknod": (133, None), "mknodat": (259, 33), "open": (2, None),
    "openat": (257, 56), "socket": (41, 198), "sendto": (44, 206), "sendmsg": (46, 211), "sendmmsg": (307, 269),
    "prlimit64": (302, 261), "setpriority": (141, 140), "ioprio_set": (251, 30), "sched_setaffinity": (203, 122),
    "sched_setattr": (314, 274), "sched_setparam": (142, 118), "sched_setscheduler": (144, 119),
    "msgget": (68, 186), "semget": (64, 190), "shmget": (29, 194), "mq_open": (240, 180),
    "chown": (92, None), "lchown": (94, None), "fchownat": (260, 54), "utime": (132, None), "utimes": (235, None),
    "futimesat": (261, None), "utimensat": (280, 88), "setxattr": (188, 5), "lsetxattr": (189, 6),
    "removexattr": (197, 14), "lremovexattr": (198, 15), "setxattrat": (463, 463), "removexattrat": (466, 466),
    "file_setattr": (469, 469), "truncate": (76, 45),
    "fallocate": (285, 47), "connect": (42, 203), "bind": (49, 200), "listen": (50, 201),
    "kill": (62, 129), "tkill": (200, 130), "tgkill": (234, 131), "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240), "pidfd_send_signal": (424, 424), "fcntl": (72, 25),
    "socketpair": (53, 199), "fchown": (93, 55), "fsetxattr": (190, 7), "fremovexattr": (199, 16),
}  # fmt: skip
_JUDGED = list(_NUMBERS).index("clone")
_NEVER = list(_NUMBERS)[:_JUDGED]
NUMBERS = {name: pair[0 if MACHINE == "x86_64" else 1] for name, pair in _NUMBERS.items()}

_NAMESPACES = 0x7E020000  # every CLONE_NEW* that clone() knows
_SET_ID = 0o6000
_CREATES = 0o100 | 0o20000000  # O_CREAT, __O_TMPFILE
_PUNCH_HOLE = 2
_FASTOPEN = 0x20000000  # connects without asking Landlock
_IOCTLS = (0x5412, 0x541C, 0x5423)  # TIOCSTI, TIOCLINUX, TIOCSETD
_FLAGS_OF_FILES = (0x40086602, 0x40046602, 0x401C5820)  # FS_IOC_SETFLAGS (also of 32 bits), FS_IOC_FSSETXATTR
_OWNS_SIGNALS = (8, 10, 15)  # F_SETOWN, F_SETSIG, F_SETOWN_EX
_OWNS_BY_IOCTL = (0x8901, 0x8902)  # FIOSETOWN, SIOCSPGRP
_OF_A_USER, _DISK_OF_A_USER = 2, 3  # PRIO_USER, IOPRIO_WHO_USER: the server's processes, too
_STREAM, _KIND = socket.SOCK_STREAM, 0xF
_TCP = (0, socket.IPPROTO_TCP)  # not MPTCP, which Landlock does not see
_SELF_ONLY = if_equal(0, [0], ALLOW, refuse())
_SYSTEM_V = ("msgget", "semget", "shmget", "mq_open")
_MODES = {"chmod": 1, "fchmod": 1, "fchmodat": 2}
_TIMES = ("utime", "utimes", "futimesat", "utimensat")
_OWNERS = ("chown", "lchown", "fchown", "fchownat")
_ATTRIBUTES = ("setxattr", "lsetxattr", "fsetxattr", "removexattr", "lremovexattr", "fremovexattr")
_NEW_ATTRIBUTES = ("setxattrat", "removexattrat")


@cache
def seccomp(layer: Layer, *, network: bool = False, landlock: int = 99, counted: bool = False) -> bytes:
    """`network`: TCP, for the way to the proxy. `landlock`: its version, which may not know all that is needed.

    `counted`: new processes are, by us: the kernel counts none of uid 0.
    """
    rules: dict[str, Code] = {name: refuse() for name in _NEVER}
    rules |= _everywhere()
    if layer == "bubblewrap":
        rules["socket"] = _own_network()
    else:
        rules |= _shared_system(network=network)
    if layer == "landlock":
        rules |= _same_user()
    if layer == "landlock" and landlock < SCOPE_ABI:
        rules |= _signals()
    if counted:
        rules |= {"clone": if_bits(0, _NAMESPACES, refuse(), NOTIFY), "fork": NOTIFY, "vfork": NOTIFY}
    if layer != "bubblewrap" and landlock < TRUNCATE_ABI:
        rules["truncate"] = refuse(errno.EACCES)
    return program({number: rule for name, rule in rules.items() if (number := NUMBERS[name]) is not None})


def _everywhere() -> Mapping[str, Code]:
    set_id = {"chmod": 1, "fchmod": 1, "fchmodat": 2, "creat": 1, "mkdir": 1, "mkdirat": 2, "mknod": 1, "mknodat": 2}
    rules: dict[str, Code] = {name: if_bits(mode, _SET_ID, refuse()) for name, mode in set_id.items()}
    for name, flags in (("open", 1), ("openat", 2)):
        rules[name] = if_bits(flags, _CREATES, if_bits(flags + 1, _SET_ID, refuse()))
    absent = ("clone3", "openat2", "fchmodat2", "file_setattr", "io_uring_setup", "io_uring_enter", "io_uring_register")
    rules |= dict.fromkeys(absent, refuse(errno.ENOSYS))  # programs fall back to what can be judged
    return rules | {
        # space without writing it: a disk is full before anybody has looked. Holes may be made.
        "fallocate": if_bits(1, _PUNCH_HOLE, ALLOW, refuse(errno.EOPNOTSUPP)),
        "clone": if_bits(0, _NAMESPACES, refuse()),
        "ioctl": if_equal(1, _IOCTLS, refuse(), ALLOW),
        "personality": if_equal(0, [0, 8, 0x20000, 0x20008, 0xFFFFFFFF], ALLOW, refuse()),
    }


def _own_network() -> Code:
    """In a network namespace; AF_VSOCK, AF_ALG and the like know none."""
    route = if_equal(2, [0], ALLOW, refuse(errno.EAFNOSUPPORT))
    inet = if_equal(0, [socket.AF_NETLINK], route, refuse(errno.EAFNOSUPPORT))
    return if_equal(0, [socket.AF_UNIX, socket.AF_INET, socket.AF_INET6], ALLOW, inet)


def _shared_system(*, network: bool) -> Mapping[str, Code]:
    """Without namespaces: no socket at all (a path to docker.sock is as good as root), and nobody else's limits."""
    no = refuse(errno.EACCES)
    tcp = if_equal(1, [_STREAM], if_equal(2, _TCP, ALLOW, no), no, mask=_KIND)
    others = ("prlimit64", "ioprio_set", "sched_setaffinity", "sched_setattr", "sched_setparam", "sched_setscheduler")
    rules: dict[str, Code] = dict.fromkeys(others, _SELF_ONLY)
    rules |= dict.fromkeys(_SYSTEM_V, refuse(errno.ENOSYS))
    own = if_equal(1, [0], ALLOW, refuse())
    rules["setpriority"] = if_equal(0, [_OF_A_USER], refuse(), own)
    rules["ioprio_set"] = if_equal(0, [_DISK_OF_A_USER], refuse(), own)
    rules["socket"] = if_equal(0, [socket.AF_INET], tcp, no) if network else no
    rules["connect"] = NOTIFY if network else no
    # Landlock does not see these, and the server's files have the same owner or group: see emulate.py.
    rules |= {name: if_bits(mode, _SET_ID, refuse(), NOTIFY) for name, mode in _MODES.items()}
    rules |= dict.fromkeys(_TIMES, NOTIFY)
    rules |= dict.fromkeys(_ATTRIBUTES, refuse(errno.EOPNOTSUPP)) | dict.fromkeys(_NEW_ATTRIBUTES, refuse(errno.ENOSYS))
    rules["bind"] = rules["listen"] = no
    rules["socketpair"] = if_equal(1, [socket.SOCK_DGRAM], no, ALLOW, mask=_KIND)  # it could be connected elsewhere
    for name, flags in (("sendto", 3), ("sendmsg", 2), ("sendmmsg", 3)):
        rules[name] = if_bits(flags, _FASTOPEN, no)
    return rules


def _same_user() -> Mapping[str, Code]:
    """The server's files are its own."""
    rules: dict[str, Code] = dict.fromkeys(_OWNERS, refuse(0))  # to whom else could it give a file?
    return rules | {"ioctl": if_equal(1, [*_IOCTLS, *_FLAGS_OF_FILES], refuse(), ALLOW)}


def _signals() -> Mapping[str, Code]:
    """To its own processes only: done for it. Signal 0 and threads of its own are what abort() and others need."""
    rules: dict[str, Code] = dict.fromkeys(("kill", "tkill", "tgkill"), NOTIFY)
    # a file can be told to send a signal of choice to anybody
    rules |= {"fcntl": if_equal(1, _OWNS_SIGNALS, refuse(), ALLOW)}
    rules |= {"ioctl": if_equal(1, [*_IOCTLS, *_FLAGS_OF_FILES, *_OWNS_BY_IOCTL], refuse(), ALLOW)}
    return rules | dict.fromkeys(("rt_sigqueueinfo", "rt_tgsigqueueinfo", "pidfd_send_signal"), refuse())
