"""The processes below one: found, measured, ended."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress

_PAGE = os.sysconf("SC_PAGE_SIZE")
_OF_MEMORY = ("/memfd:", "/dev/zero", "/SYSV", "/dev/shm/", "/tmp/")
_HASTE = 0.002  # s between two rounds of killing
_PATIENCE = 60.0  # s; what is stuck in the kernel is left to itself


def descendants(root: int, most: int = 1 << 30) -> list[int]:
    """Parents before their children; zombies too. No more than a few past `most`."""
    found: list[int] = []
    pending = [root]
    while pending and len(found) <= most:
        below = list(children(pending.pop()))
        found += below
        pending += below
    return found


def end(keep: int = 0) -> None:
    """Kills everything below this process (a subreaper, so that is all there ever was) and reaps it.

    First everything is stopped: what only died would make room for what still multiplies. `keep`: a child that is
    killed, but not reaped here.
    """
    deadline = time.monotonic() + _PATIENCE
    stopped: set[int] = set()
    while new := set(descendants(os.getpid())) - stopped:
        for pid in new:
            send(pid, signal.SIGSTOP)
        stopped |= new
        if time.monotonic() > deadline:
            break
    while alive := [pid for pid in descendants(os.getpid()) if pid != keep]:
        for pid in (*alive, keep):
            send(pid, signal.SIGKILL)
        for pid in alive:
            with suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        if time.monotonic() > deadline:
            return
        time.sleep(_HASTE)


def send(pid: int, number: int) -> None:
    if pid > 0:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def all_tasks() -> int:
    """Of the whole system, threads too."""
    with suppress(OSError, ValueError, IndexError), open("/proc/loadavg") as file:
        return int(file.read().split()[3].partition("/")[2])
    return 4096


def memory(pids: list[int], limit: int) -> int:
    """Bytes in use. What is shared is counted once, but only looked at when it matters: that is slow."""
    resident = sum(map(_resident, pids))
    return resident if resident <= limit else sum(map(_proportional, pids))


def memory_files(pids: list[int], unseen: int) -> int:
    """Bytes in open files that are nothing but memory. `unseen`: what to answer when a process does not let us look."""
    sizes: dict[tuple[int, int], int] = {}
    for pid in pids:
        try:
            names = os.listdir(f"/proc/{pid}/fd")
        except PermissionError:
            return unseen
        except OSError:
            continue
        for name in names:
            with suppress(OSError):
                _add_memory_file(f"/proc/{pid}/fd/{name}", sizes)
    return sum(sizes.values())


def _add_memory_file(path: str, sizes: dict[tuple[int, int], int]) -> None:
    if os.readlink(path).startswith(_OF_MEMORY):
        info = os.stat(path)
        sizes[info.st_dev, info.st_ino] = info.st_blocks * 512


def machine_memory(name: str) -> int:
    """Bytes, as /proc/meminfo calls them."""
    with suppress(OSError, ValueError, IndexError), open("/proc/meminfo") as file:
        return next((int(line.split()[1]) * 1024 for line in file if line.startswith(f"{name}:")), 0)
    return 0


def children(pid: int) -> Iterator[int]:
    with suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children", "rb") as file:
                yield from map(int, file.read().split())


def _resident(pid: int) -> int:
    with suppress(OSError, IndexError), open(f"/proc/{pid}/statm", "rb") as file:
        return int(file.read().split()[1]) * _PAGE
    return 0


def _proportional(pid: int) -> int:
    with suppress(OSError), open(f"/proc/{pid}/smaps_rollup", "rb") as file:
        for line in file:
            if line.startswith(b"Pss:"):
                return int(line.split()[1]) * 1024
    return _resident(pid)
