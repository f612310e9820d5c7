"""What may be touched: folders, single files outside them, and what is masked even inside."""

from __future__ import annotations

import os
import unicodedata
from collections import deque
from collections.abc import Iterable, Sequence
from pathlib import Path

_NEVER = (Path("/proc"),)  # the server's own environment, memory and files, should a root ever be above it


class Bounds:
    """All paths are taken as they are when this is built; what is masked is looked up again by identity."""

    def __init__(self, roots: Sequence[Path], files: Sequence[Path], hidden: Sequence[Path]) -> None:
        self.roots = tuple(root.resolve() for root in roots)
        outer = [root for root in self.roots if not any(other in root.parents for other in self.roots)]
        self._folders = {_key(root.parts): root for root in outer}
        self._folders |= {  # a root may be named through a link: /tmp on macOS
            _key(given.absolute().parts): root for given, root in zip(roots, self.roots, strict=True) if root in outer
        }
        singles = [file.parent.resolve() / file.name for file in files]
        self._files = {_key(file.parts): file for file in singles}
        granted = [*map(_folded, outer), *map(_folded, singles)]
        masked = (*hidden, *(path for path in _NEVER if os.name == "posix"))
        self._hidden = [
            path
            for path in {h.absolute() for h in masked} | {h.resolve() for h in masked}
            if not any(_is_above(_folded(path), inner) for inner in granted)  # a grant is more specific
        ]
        self._masks = [_folded(path) for path in self._hidden]

    def anchor(self, parts: Iterable[str]) -> tuple[Path, deque[str]] | None:
        """The granted folder that an absolute path enters and the rest of the path; None when there is none.

        `..` before that folder is taken by name: the folders are real paths, and nothing else is ever opened.
        """
        rest = deque(parts)
        seen: list[str] = []
        while rest:
            part = rest.popleft()
            if part != "..":
                seen.append(part)
            elif len(seen) > 1:
                seen.pop()
            key = _key(seen)
            if root := self._folders.get(key):
                return root, rest
            if (file := self._files.get(key)) and not rest:
                return file.parent, deque([file.name])
        return None

    def hides(self, real: Path) -> bool:
        parts = _folded(real)
        return any(parts[: len(mask)] == mask for mask in self._masks)

    def hides_below(self, real: Path) -> bool:
        parts = _folded(real)
        return any(mask[: len(parts)] == parts for mask in self._masks)

    def holds(self, real: Path) -> bool:
        """Whether a real path lies in a granted folder and is not masked."""
        parts = _key(real.parts)
        return any(parts[: len(root)] == root for root in self._folders) and not self.hides(real)

    def hidden_ids(self) -> frozenset[tuple[int, int]]:
        """Device and inode of what is masked now, whatever name leads there."""
        found: set[tuple[int, int]] = set()
        for path in self._hidden:
            try:
                info = path.stat()
            except OSError:
                continue
            found.add((info.st_dev, info.st_ino))
        return frozenset(found)


def _key(parts: Iterable[str]) -> tuple[str, ...]:
    return tuple(os.path.normcase(part) for part in parts)


def _folded(path: Path) -> tuple[str, ...]:
    """As the least discerning file system would compare it."""
    return tuple(unicodedata.normalize("NFC", part).casefold() for part in path.parts)


def _is_above(outer: tuple[str, ...], inner: tuple[str, ...]) -> bool:
    return len(outer) < len(inner) and inner[: len(outer)] == outer
