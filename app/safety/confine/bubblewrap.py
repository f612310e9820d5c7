"""The command line of bubblewrap for a plan: what is not named here does not exist inside. Source: bwrap(1)."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence

from app.safety.confine.mask import closed, entries, lies_in, passages
from app.safety.confine.plan import Plan
from app.safety.confine.secrets import secrets_of_the_system

_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc")
_NAMESPACES = ("user", "pid", "ipc", "uts", "cgroup-try")
_SHARED_MEMORY = 256 << 20  # bytes in /dev/shm
_SCRATCH = 1 << 30  # bytes in a /tmp of memory
SECCOMP, STATUS, PASSWD, GROUP = 10, 11, 12, 13  # descriptors that bubblewrap is started with
FOLDERS = ("/usr/bin", "/bin", "/usr/local/bin", "/run/current-system/sw/bin")  # never a PATH that a command may fill
Source = Callable[[str], str]


def program() -> str | None:
    return shutil.which("bwrap", path=os.pathsep.join(FOLDERS))


def arguments(plan: Plan, uid: int, source: Source, *, own_network: bool = False) -> list[str]:
    """`source`: where a folder is to be found outside. `own_network`: this process has its own already."""
    return [
        "bwrap", *(f"--unshare-{name}" for name in _NAMESPACES), *([] if own_network else ["--unshare-net"]),
        "--disable-userns", "--die-with-parent", "--new-session", "--cap-drop", "ALL", "--hostname", "nanobot",
        "--uid", str(uid), "--gid", str(uid), *_tree(plan, source), "--chdir", plan.cwd,
        "--seccomp", str(SECCOMP), "--json-status-fd", str(STATUS), "--", *plan.argv,
    ]  # fmt: skip


def account(uid: int, home: str) -> tuple[bytes, bytes]:
    """The only users there are: what `whoami` and `~` say inside."""
    passwd = f"root:x:0:0:root:/:/bin/false\nnanobot:x:{uid}:{uid}:Nanobot:{home}:/bin/sh\n"
    return passwd.encode("utf-8", "surrogateescape"), f"root:x:0:\nnanobot:x:{uid}:\n".encode()


def _tree(plan: Plan, source: Source) -> list[str]:
    """Mounts from the outermost to the innermost: the more specific one wins."""
    mounts: dict[str, list[str]] = {}
    for path in _SYSTEM:
        mounts |= _system(path)
    mounts |= {path: _nothing(path) for path in secrets_of_the_system()}
    mounts |= {"/etc/passwd": ["--ro-bind-data", str(PASSWD), "/etc/passwd"]}
    mounts |= {"/etc/group": ["--ro-bind-data", str(GROUP), "/etc/group"]}
    mounts |= {"/proc": ["--proc", "/proc"], "/dev": ["--dev", "/dev"], "/tmp": _scratch(plan, source)}
    mounts["/dev/shm"] = ["--size", str(_SHARED_MEMORY), "--tmpfs", "/dev/shm"]
    mounts["/var/tmp"] = ["--symlink", "/tmp", "/var/tmp"]
    mounts["/run"] = ["--dir", "/run"]
    mounts |= {path: ["--ro-bind", source(path), path] for path in plan.readable}
    shut = [folder for folder in closed(plan.masked) if any(lies_in(folder, path) for path in plan.writable)]
    for path in (*plan.writable, plan.home):
        for step in _steps(path, plan.masked, shut):
            mounts[step] = ["--bind", source(step), step]
    mounts |= {path: ["--bind", source(path), path] for path in _of_home(plan)}
    visible = (*plan.writable, *plan.readable, plan.home)
    masks = [m for m in plan.masked if any(lies_in(m, path) for path in visible) and _can_be_covered(m)]
    mounts |= {mask: _nothing(mask) for mask in masks if mask not in mounts}
    ordered = sorted(mounts.items(), key=lambda item: item[0].rstrip("/").count("/"))
    read_only = ["/dev", *shut, *(mask for mask in masks if os.path.isdir(mask)), "/"]
    return [word for _, words in ordered for word in words] + [w for path in read_only for w in ("--remount-ro", path)]


def _steps(folder: str, masked: Sequence[str], shut: Sequence[str]) -> Iterator[str]:
    """What is attached one by one: what must not be moved away, and what stands in a folder that is shut."""
    yield folder
    yield from (step for step in passages(folder, masked) if os.path.isdir(step))
    for closed_one in shut:
        if lies_in(closed_one, folder):
            yield from entries(closed_one, masked)


def _of_home(plan: Plan) -> Sequence[str]:
    """Its tmp cannot be replaced: the next command's /tmp is made of it."""
    return [path] if os.path.isdir(path := f"{plan.home}/tmp") and not os.path.islink(path) else []


def _can_be_covered(mask: str) -> bool:
    return os.path.exists(mask) and not os.path.islink(mask)


def _system(path: str) -> Mapping[str, list[str]]:
    if os.path.islink(path):
        return {path: ["--symlink", os.readlink(path), path]}
    return {path: ["--ro-bind", path, path]} if os.path.isdir(path) else {}


def _nothing(path: str) -> list[str]:
    """/dev/null on a mount without devices cannot be opened at all."""
    return ["--perms", "0555", "--tmpfs", path] if os.path.isdir(path) else ["--ro-bind", "/dev/null", path]


def _scratch(plan: Plan, source: Source) -> list[str]:
    """/tmp is the commands' own, and stays from one to the next; in memory when something granted lies below."""
    if not _of_home(plan) or any(lies_in(path, "/tmp") for path in (*plan.writable, *plan.readable, plan.home)):
        return ["--size", str(_SCRATCH), "--perms", "1777", "--tmpfs", "/tmp"]
    return ["--bind", source(f"{plan.home}/tmp"), "/tmp"]


def staged(places: Mapping[str, str]) -> Source:
    """Looks a path up below the longest folder that has been put elsewhere."""

    def source(path: str) -> str:
        holders = [folder for folder in places if lies_in(path, folder)]
        if not holders:
            return path
        holder = max(holders, key=len)
        return places[holder] + path[len(holder.rstrip("/")) :]

    return source


def folders(plan: Plan) -> Iterator[str]:
    yield from (*plan.writable, plan.home, *plan.readable)


def missing(plan: Plan) -> Sequence[str]:
    return [path for path in folders(plan) if not os.path.isdir(path)]
