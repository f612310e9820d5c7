"""Which projects a point holds: those that a call works in for certain, the others as far as time allows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from app.safety.bounds import Bounds
from app.safety.undo.walk import Ground, Masks


class Grounds:
    """`notes`: single files outside the roots that may be written, all in one folder."""

    def __init__(self, bounds: Bounds, notes: Sequence[Path]) -> None:
        self._bounds = bounds
        self._notes = [note.parent.resolve() / note.name for note in notes]

    def certain(self, places: Sequence[Path]) -> list[Ground]:
        """The project of each place, what lies loose beside it, and the notes."""
        found: dict[str, Ground] = {}
        for place in places:
            root = self._root_of(place)
            inside = list(place.relative_to(root).parts) if root else []
            if root and inside and (len(inside) > 1 or place.is_dir()):
                ground = Ground(root / inside[0])
                found[ground.key] = ground
        for root in self._roots():
            ground = Ground(root, flat=True)
            found[ground.key] = ground
        if self._notes:
            folder = next(iter(self._notes)).parent
            ground = Ground(folder, names=tuple(note.name for note in self._notes))
            found[ground.key] = ground
        return list(found.values())

    def others(self, certain: Sequence[Ground]) -> Iterator[Ground]:
        """Every other project, the one used last first."""
        known = {ground.key for ground in certain}
        folders: list[tuple[float, Path]] = []
        for root in self._roots():
            with suppress(OSError):
                folders += [(p.stat().st_mtime, p) for p in root.iterdir() if p.is_dir() and not p.is_symlink()]
        for _, folder in sorted(folders, reverse=True):
            ground = Ground(folder)
            if ground.key not in known and not self._bounds.hides(folder):
                yield ground

    def made_since(self, held: Sequence[Ground], uncovered: Sequence[str]) -> list[str]:
        """New folders beside the projects: whoever made them, they stay."""
        known = {ground.top.name for ground in held} | set(uncovered)
        return [ground.top.name for ground in self.others(held) if ground.top.name not in known]

    def masks(self, ground: Ground) -> Masks:
        """Looked up by name only where something masked lies below."""
        if self._bounds.hides_below(ground.top) and not ground.names:
            return Masks(self._bounds.hides, self._bounds.hidden_ids())
        return Masks(_nothing, self._bounds.hidden_ids())

    def _roots(self) -> list[Path]:
        return [root for root in self._bounds.roots if not any(other in root.parents for other in self._bounds.roots)]

    def _root_of(self, place: Path) -> Path | None:
        return next((root for root in self._roots() if place == root or root in place.parents), None)


def _nothing(_: Path) -> bool:
    return False
