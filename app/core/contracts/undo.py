"""What the agent needs so that what it does to files can be undone."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol


@dataclass(frozen=True, slots=True)
class Point:
    """A state of the files that can be brought back.

    `kind` turn: before turn `turn` changed anything; undo: before an undo (to bring back what was undone). `made` is
    a UNIX time, `cause` the command that made it. `used_by`: the command that brought it back, '' while it is unused.
    """

    id: str
    session_id: str
    turn: int
    made: float
    kind: Literal["turn", "undo"] = "turn"
    cause: str = ""
    used_by: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    """What became of a file since the point. Line counts are None for what is not text."""

    path: str
    kind: Literal["added", "changed", "removed"]
    plus: int | None = None
    minus: int | None = None


@dataclass(frozen=True, slots=True)
class Changes:
    """`files` of the projects, `git` how many of git's own, `uncovered` what no point holds, in Spanish."""

    files: Sequence[Change] = ()
    git: int = 0
    uncovered: Sequence[str] = ()
    digest: str = ""

    def __bool__(self) -> bool:
        return bool(self.files or self.git)


@dataclass(frozen=True, slots=True)
class Restored:
    """How many files were brought back or removed, and those that could not be."""

    files: int
    failed: Sequence[str] = ()


class Checkpoints(Protocol):
    """Raises CheckpointError, with a Spanish sentence, for what cannot be kept or brought back."""

    @property
    def off_because(self) -> str:
        """Why there are no points here at all, in Spanish; '' when there are."""
        ...

    async def before_turn(self, session_id: str, turn: int, since: float, places: Sequence[Path]) -> Point:
        """On disk when it returns. The turn's point, made now unless there is one that holds `places` already.

        A point made before `since` belongs to another turn of that number.
        """
        ...

    async def before_undo(self, point: Point, cause: str) -> Point:
        """The present state of all that `point` holds; the same `cause` makes it once."""
        ...

    async def points(self, session_id: str) -> Sequence[Point]:
        """The oldest first."""
        ...

    async def changes(self, point: Point) -> Changes:
        """Between the point and now."""
        ...

    async def mark(self, used: Sequence[Point], cause: str) -> None:
        """Notes durably which command used these points; '' makes them usable again."""
        ...

    async def restore(self, point: Point) -> Restored:
        """Idempotent: what differs from the point becomes as it was then."""
        ...

    async def forget(self, session_id: str) -> None:
        """Its points; the room is freed by the next tidy()."""
        ...

    async def tidy(self) -> None:
        """Forgets old points and frees their room."""
        ...


def digest_of(changes: Sequence[Change], git: int) -> str:
    """The same list of changes, whatever their size."""
    told = "\0".join(f"{c.kind} {c.path}" for c in sorted(changes, key=lambda c: c.path))
    return hashlib.sha256(f"{told}\0{bool(git)}".encode("utf-8", "surrogateescape")).hexdigest()[:12]
