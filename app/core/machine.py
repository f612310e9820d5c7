"""What the tools stand on: the workspace, the sandbox and its network, the web, and the folder the turn works in."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

from app.core.contracts import Fetcher, Network, Redactor, Sandbox, Workspace


@dataclass(frozen=True, slots=True)
class ToolLimits:
    """`seconds` for a command, `output_chars` that reach the model, `per_minute` calls of one session."""

    seconds: float = 60.0
    output_chars: int = 12_000
    per_minute: int = 60


@dataclass(frozen=True, slots=True)
class Machine:
    """`network`: None where no command gets any."""

    workspace: Workspace
    sandbox: Sandbox
    fetcher: Fetcher
    redactor: Redactor
    limits: ToolLimits
    network: Network | None = None


_machine: ContextVar[Machine | None] = ContextVar("machine", default=None)
_folder: ContextVar[Path | None] = ContextVar("folder", default=None)


def use_machine(machine: Machine) -> None:
    """For this task and those it starts."""
    _machine.set(machine)


def use_folder(folder: Path | None) -> None:
    """Where relative paths of this task start: the chat's current project."""
    _folder.set(folder)


def machine() -> Machine:
    """The tools also work alone, as plain functions: on the default parts then."""
    current = _machine.get()
    if current is None:
        from app.core.defaults import default_machine

        current = default_machine()
        _machine.set(current)
    return current


def folder() -> Path:
    """The current project, else the first root."""
    return _folder.get() or Path(machine().workspace.roots[0])
