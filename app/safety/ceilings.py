"""How much of this machine one command may take."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import os
from contextlib import suppress
from pathlib import Path

from app.safety.confine.plan import Ceilings

_MOST = 4 << 30  # bytes of memory
_SHARE = 0.6
_LIMIT_FILES = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def ceilings() -> Ceilings:
    return Ceilings(memory=min(_MOST, int(_memory() * _SHARE)))


def _memory() -> int:
    """Of the machine, or of the container."""
    found = [_MOST * 2]
    with suppress(ValueError, OSError):
        found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    for name in _LIMIT_FILES:
        with suppress(OSError, ValueError):  # `max` is no number
            found.append(int(Path(name).read_text()))
    return min(found)
