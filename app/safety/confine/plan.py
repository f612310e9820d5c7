"""What one command may see and use: made by the server, carried out by the helper (a process of its own)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Literal

Layer = Literal["bubblewrap", "landlock-uid", "landlock", "none"]


@dataclass(frozen=True, slots=True)
class Ceilings:
    """Of one command. `memory`, `file` and `disk` in bytes; `disk` is what it may add to the disk, all told."""

    memory: int = 2 << 30
    processes: int = 512
    file: int = 2 << 30
    open_files: int = 4096
    disk: int = 2 << 30


@dataclass(frozen=True, slots=True)
class Plan:
    """`writable` and `readable`: folders; `masked`: files and folders that are not there, whatever holds them.

    `argv[0]` is looked up in the PATH of `env`. `proxy`: the Unix socket through which alone the network is reached.
    """

    layer: Layer
    argv: Sequence[str]
    cwd: str
    env: Mapping[str, str]
    home: str
    writable: Sequence[str]
    readable: Sequence[str] = ()
    masked: Sequence[str] = ()
    seconds: float = 60.0
    ceilings: Ceilings = field(default_factory=Ceilings)
    proxy: str | None = None


def dump(plan: Plan) -> bytes:
    return json.dumps(asdict(plan)).encode()


def load(data: bytes) -> Plan:
    values = json.loads(data)
    return Plan(**(values | {"ceilings": Ceilings(**values["ceilings"])}))
