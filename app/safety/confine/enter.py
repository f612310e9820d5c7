"""What the child does between fork and exec: it shuts itself in. It never returns."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import os
import resource
import signal
import socket
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass

from app.safety.confine import bpf, bridge, bubblewrap, cull, landlock, staging, tree
from app.safety.confine.filters import seccomp
from app.safety.confine.home import make_usable, trust_repositories
from app.safety.confine.mask import inside, spread
from app.safety.confine.plan import Plan
from app.safety.confine.secrets import secrets_of_the_system
from app.safety.confine.syscalls import CLONE_NEWNET, CLONE_NEWUSER, die_with_parent, unshare
from app.safety.confine.users import Users, become, lose_everything

_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/sys/devices/system/cpu")
_PROC = ("cpuinfo", "filesystems", "loadavg", "meminfo", "stat", "sys", "uptime", "version")
_DEVICES = ("null", "zero", "full", "random", "urandom")
_NICE = 5


@dataclass(frozen=True, slots=True)
class Ends:
    """`output` of the command, `errors` for what kept it from starting, `status` for bubblewrap's own reports.

    `gift`: through it the parent gets the descriptors that are made inside. `port`: of the way to the proxy.
    `cull`: by it the parent ends everything at once.
    """

    output: int
    errors: int
    status: int
    gift: socket.socket
    port: int | None = None
    cull: socket.socket | None = None


def run(plan: Plan, users: Users, ends: Ends, parent: int) -> None:
    try:
        _prepare(plan, ends)
        if plan.layer == "bubblewrap":
            _bubblewrap(plan, users, ends, parent)
        else:
            _in_place(plan, users, ends, parent)
    except OSError as error:
        _report(ends.errors, str(error.errno or 0), error)
    except Exception as error:  # noqa: BLE001  the boundary of this process: nothing may run unconfined
        _report(ends.errors, "0", error)
    finally:
        os._exit(126)


def _prepare(plan: Plan, ends: Ends) -> None:
    os.setsid()
    null = os.open("/dev/null", os.O_RDONLY)
    for descriptor, number in ((null, 0), (ends.output, 1), (ends.output, 2)):
        os.dup2(descriptor, number)
    for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    os.nice(_NICE)
    with suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")  # when memory runs out, it is this that goes, not the server
    os.umask(0o002 if plan.layer == "landlock-uid" else 0o022)
    _limit(plan)


def _limit(plan: Plan) -> None:
    ceilings = plan.ceilings
    processor = int(plan.seconds * (os.cpu_count() or 1)) + 10
    limits = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_CPU: processor,
        resource.RLIMIT_DATA: ceilings.memory,  # not AS: node, Go and Java reserve much more than they use
        resource.RLIMIT_FSIZE: ceilings.file,
        resource.RLIMIT_NOFILE: ceilings.open_files,
        # it counts by user, who may have a desktop full of other processes
        resource.RLIMIT_NPROC: tree.all_tasks() + ceilings.processes,
        resource.RLIMIT_MEMLOCK: 1 << 20,
        resource.RLIMIT_MSGQUEUE: 0,
    }
    for kind, value in limits.items():
        hard = resource.getrlimit(kind)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (value, value))


# ---------------------------------------------------------------- in namespaces


def _bubblewrap(plan: Plan, users: Users, ends: Ends, parent: int) -> None:
    as_root = os.geteuid() == 0
    uid = users.tools if as_root else os.getuid()
    where = staging.places(bubblewrap.folders(plan)) if as_root else {}
    argv = bubblewrap.arguments(plan, uid, bubblewrap.staged(where), own_network=plan.proxy is not None)
    compiled = seccomp(plan.layer, landlock=landlock.abi())
    if plan.proxy is not None:
        _network_of_its_own(as_root=as_root)
        _give(ends.gift, bridge.listen(bridge.PORT))
    if as_root:
        staging.stage(where, {*plan.writable, plan.home}, uid)
        become(uid, uid)
    passwd, group = bubblewrap.account(uid, plan.home)
    _place(
        {
            bubblewrap.STATUS: ends.status,
            bubblewrap.SECCOMP: _memory(compiled),
            bubblewrap.PASSWD: _memory(passwd),
            bubblewrap.GROUP: _memory(group),
        },
        ends.errors,
    )
    die_with_parent(parent)  # after the change of user, which forgets it
    os.execve(
        bubblewrap.program() or "/bwrap",
        argv,
        _environment(plan, bridge.PORT, {"USER": "nanobot", "LOGNAME": "nanobot"}),
    )


def _network_of_its_own(*, as_root: bool) -> None:
    uid, gid = os.getuid(), os.getgid()
    unshare(CLONE_NEWNET if as_root else CLONE_NEWNET | CLONE_NEWUSER)
    if not as_root:
        for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
            with open(f"/proc/self/{name}", "w") as file:
                file.write(text)
    bridge.raise_loopback()


# ---------------------------------------------------------------- in place


def _in_place(plan: Plan, users: Users, ends: Ends, parent: int) -> None:
    if plan.layer == "landlock-uid":
        become(users.tools, users.group)
        make_usable(plan.home)  # the server cannot
        trust_repositories(plan.home)
    os.chdir(plan.cwd)
    lose_everything()
    die_with_parent(parent)
    if plan.layer == "none":
        _place({}, ends.errors)
        os.execvpe(plan.argv[0], list(plan.argv), plan.env)
    if ends.cull:
        cull.stand_by(ends.cull, parent)
    landlock.restrict(_grants(plan), ends.port)
    counted = os.geteuid() == 0 and not ends.cull
    compiled = seccomp(plan.layer, network=plan.proxy is not None, landlock=landlock.abi(), counted=counted)
    _give(ends.gift, bpf.install(compiled, listen=True))
    _place({}, ends.errors)
    os.execvpe(plan.argv[0], list(plan.argv), _environment(plan, ends.port or 0, {}))


def _environment(plan: Plan, port: int, more: Mapping[str, str]) -> dict[str, str]:
    return {**plan.env, **more, **({} if plan.proxy is None else bridge.environment(port))}


def _grants(plan: Plan) -> Iterator[tuple[str, int]]:
    masked = [*plan.masked, *secrets_of_the_system()]
    for path in (*_SYSTEM, "/etc", *plan.readable):
        yield from ((entry, landlock.READ) for entry in spread(path, inside(path, masked)))
    yield from ((f"/proc/{name}", landlock.READ) for name in _PROC)
    yield from ((f"/dev/{name}", landlock.USE) for name in _DEVICES)
    if plan.layer == "landlock-uid":  # in a container of ours; elsewhere other programs' memory is there
        yield "/dev/shm", landlock.WRITE
    for path in (*plan.writable, plan.home):
        yield from ((entry, landlock.WRITE) for entry in spread(path, inside(path, masked)))


# ---------------------------------------------------------------- descriptors


def _place(wanted: dict[int, int], errors: int) -> None:
    """Exactly these descriptors go on, besides the first three; `errors` closes by itself."""
    moved = {number: os.dup2(descriptor, 30 + number) for number, descriptor in wanted.items()}
    os.dup2(errors, 3, inheritable=False)
    for number, descriptor in moved.items():
        os.dup2(descriptor, number)
    for first, last in _gaps([0, 1, 2, 3, *wanted]):
        os.closerange(first, last)


def _gaps(kept: list[int]) -> Iterator[tuple[int, int]]:
    ordered = sorted(kept)
    for here, following in zip(ordered, [*ordered[1:], 1 << 20], strict=True):
        yield here + 1, following


def _memory(data: bytes) -> int:
    descriptor = os.memfd_create("nanobot")
    os.write(descriptor, data)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def _give(gift: socket.socket, descriptor: int) -> None:
    socket.send_fds(gift, [b"."], [descriptor])


def _report(errors: int, code: str, error: Exception) -> None:
    with suppress(OSError):
        os.write(3 if not _is_open(errors) else errors, f"{code} {error}".encode("utf-8", "replace")[:2000])


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True
