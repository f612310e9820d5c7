"""The server as a process that kills itself, with SIGKILL, at one named point. Linux (it asks /proc for names).

    CRASH_TRACE=file CRASH_AT=<point> python -m tests.crash.killer uvicorn's arguments…

Every durable write and every external call that the server makes is a point; each passing is a line of CRASH_TRACE:

    write:<file>:<line type>#<n>@before | torn | after     a line of a log: nothing, half of it, all of it written
    sync:<file>:<line type>#<n>@after                      and synced
    write:redo.log#<n>@…, sync:redo.log#<n>@after           the same for the lines of several sessions at once
    file:<file>#<n>@before | after                         another file of DATA_DIR takes its name
    http:<method>#<n>@before | after                       a call to Telegram or a model: not sent; sent, and answered
    run:<program>#<n>@before | after                       a tool's process: not started; started
"""

from __future__ import annotations

import functools
import json
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp

_real_write, _real_fsync, _real_replace = os.write, os.fsync, os.replace
_real_popen, _real_request = subprocess.Popen.__init__, aiohttp.ClientSession._request  # pyright: ignore[reportPrivateUsage]
_seen: Counter[str] = Counter()
_lock = threading.Lock()
_last_written: dict[str, list[str]] = {}


def pass_by(label: str) -> Callable[[str], bool]:
    """Counts this passing; what it returns tells whether a moment of it is the one."""
    with _lock:
        _seen[label] += 1
        name = f"{label}#{_seen[label]}"
        _real_write(_trace, f"{name}\n".encode())
    return lambda moment: f"{name}@{moment}" == _at


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def write(descriptor: int, data: Any) -> int:
    labels = _line_labels(descriptor, bytes(data))
    points = [pass_by(label) for label in labels]
    if any(point("before") for point in points):
        die()
    if any(point("torn") for point in points):
        _real_write(descriptor, bytes(data)[: len(data) // 2])
        die()
    size = _real_write(descriptor, data)
    if any(point("after") for point in points):
        die()
    return size


def fsync(descriptor: int) -> None:
    _real_fsync(descriptor)
    for label in _last_written.pop(_name(descriptor), []):
        if pass_by(label.replace("write:", "sync:", 1))("after"):
            die()


def replace(self: Path, target: Any) -> Path:
    point = pass_by(f"file:{Path(target).name}")
    if point("before"):
        die()
    _real_replace(self, target)
    if point("after"):
        die()
    return Path(target)


def popen(self: subprocess.Popen[bytes], argv: Any, *args: Any, **kwargs: Any) -> None:
    point = pass_by(f"run:{Path(argv[0]).name}")
    if point("before"):
        die()
    _real_popen(self, argv, *args, **kwargs)
    if point("after"):
        die()


async def request(self: aiohttp.ClientSession, method: str, url: Any, **kwargs: Any) -> aiohttp.ClientResponse:
    point = pass_by(f"http:{str(url).partition('?')[0].rpartition('/')[2]}")
    if point("before"):
        die()
    response = await _real_request(self, method, url, **kwargs)
    if point("after"):
        die()
    return response


def _line_labels(descriptor: int, data: bytes) -> list[str]:
    name = _name(descriptor)
    if name == "redo.log":
        _last_written[name] = [f"write:{name}"]
        return [f"write:{name}"]
    if not name.endswith(".jsonl"):
        return []
    labels = [f"write:{name}:{json.loads(raw)['type']}" for raw in data.split(b"\n") if raw.strip()]
    _last_written[name] = labels
    return labels


@functools.lru_cache(maxsize=1)
def _data_dir() -> str:
    return os.path.realpath(os.environ["DATA_DIR"])


def _name(descriptor: int) -> str:
    path = os.readlink(f"/proc/self/fd/{descriptor}")
    return Path(path).name if path.startswith(_data_dir()) else ""


if __name__ == "__main__":
    import uvicorn

    _at = os.environ.get("CRASH_AT", "")
    _trace = os.open(os.environ["CRASH_TRACE"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write, os.fsync, Path.replace = write, fsync, replace  # type: ignore[assignment]
    subprocess.Popen.__init__ = popen  # type: ignore[method-assign]
    aiohttp.ClientSession._request = request  # type: ignore[method-assign]  # pyright: ignore[reportPrivateUsage]
    uvicorn.main(sys.argv[1:])
