"""What every command stands on, and what runs it: one way for Linux, one for the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from app.core.contracts import CommandResult, RunLimits
from app.safety.verdict import Mode, Verdict


@dataclass(frozen=True, slots=True)
class Ground:
    """`roots`: where commands may write. `hidden`: what they never see, also inside. `readable`: programs of the user.

    `home`: the commands' own HOME; it may lie in something hidden.
    """

    home: Path
    env: Mapping[str, str]
    roots: Sequence[Path]
    hidden: Sequence[Path]
    readable: Sequence[Path]


class AnyJob(Protocol):
    """`execute()` blocks its thread; `stop()` and `kill()` may be called from any other."""

    def execute(self) -> CommandResult: ...

    def stop(self) -> None: ...

    def kill(self) -> None: ...


class Backend(Protocol):
    def choose(self, mode: Mode) -> Verdict:
        """Blocks."""
        ...

    def job(self, verdict: Verdict, argv: Sequence[str], cwd: Path, limits: RunLimits) -> AnyJob:
        """Raises SandboxError."""
        ...
