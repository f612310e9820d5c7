"""What no rlimit counts: the memory, the processes and the disk of a whole command."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import os
from collections.abc import Container, Sequence
from contextlib import suppress

from app.safety.confine import tree
from app.safety.confine.plan import Ceilings

TICK = 0.02  # s between two glances
_OWN = 8  # processes of ours at most, beside a command
_GLANCES = 5  # of them to a thorough look
_FILES = 200_000  # new inodes
_LAST_SHARE = 0.05  # of the machine's memory
_RESERVE = 256 << 20  # bytes that stay free for the server's own log


class Watch:
    """Of everything below this process but `apart`: what lost its parent as well is adopted by it.

    `folders`: where it may write. `memory`: one that is nothing but memory.
    """

    def __init__(
        self, ceilings: Ceilings, folders: Sequence[str], memory: str | None = None, apart: Container[int] = ()
    ) -> None:
        self._apart = apart
        self._ceilings = ceilings
        self._disks = {info.st_dev: folder for folder in folders if (info := _stat(folder))}
        self._before = {device: os.statvfs(folder) for device, folder in self._disks.items()}
        self._tasks = tree.all_tasks()
        self._memory = memory
        self._in_memory = _used(memory)
        self._shared = tree.machine_memory("Shmem")
        self._total, self._available = tree.machine_memory("MemTotal"), tree.machine_memory("MemAvailable")
        self._glances = 0

    def excess(self) -> str:
        """Which ceiling has been passed; '' for none. Quick but for every fifth time, or when there is a crowd."""
        self._glances += 1
        if any(map(self._filled, self._disks)):
            return "disk"
        crowd = tree.all_tasks() - self._tasks > self._ceilings.processes
        return self._look() if crowd or self._glances % _GLANCES == 0 else ""

    def _look(self) -> str:
        found = tree.descendants(os.getpid(), self._ceilings.processes + _OWN)
        pids = [pid for pid in found if pid not in self._apart]
        if len(pids) > self._ceilings.processes:
            return "processes"
        return "memory" if self._swollen(pids) or self._starved() else ""

    def _swollen(self, pids: list[int]) -> bool:
        """With what no process has mapped: files of memory that are only written."""
        most = self._ceilings.memory
        used = tree.memory(pids, most) + max(0, _used(self._memory) - self._in_memory)
        if used > most:
            return True
        grown = tree.machine_memory("Shmem") - self._shared
        return grown > most // 4 and used + tree.memory_files(pids, grown) > most

    def _starved(self) -> bool:
        """What no process can be charged with (buffers of pipes and sockets): when the machine itself runs out."""
        now = tree.machine_memory("MemAvailable")
        return now < self._total * _LAST_SHARE and self._available - now > self._ceilings.memory // 2

    def _filled(self, device: int) -> bool:
        with suppress(OSError):
            before, now = self._before[device], os.statvfs(self._disks[device])
            taken = (before.f_bfree - now.f_bfree) * now.f_frsize
            reserve = min(_RESERVE, now.f_blocks * now.f_frsize // 20)
            into_reserve = now.f_bavail * now.f_frsize < reserve and taken > reserve // 16
            return taken > self._ceilings.disk or into_reserve or before.f_ffree - now.f_ffree > _FILES
        return False


def _used(folder: str | None) -> int:
    """Bytes."""
    with suppress(OSError):
        info = os.statvfs(folder) if folder else None
        return (info.f_blocks - info.f_bfree) * info.f_frsize if info else 0
    return 0


def _stat(folder: str) -> os.stat_result | None:
    with suppress(OSError):
        return os.stat(folder)
    return None
