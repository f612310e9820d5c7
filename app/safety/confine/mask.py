"""What is masked inside what is granted, by real paths."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import PurePath


def lies_in(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def is_masked(path: str, masked: Sequence[str]) -> bool:
    return any(lies_in(path, mask) for mask in masked)


def spread(path: str, masked: Sequence[str]) -> Iterator[str]:
    """The folder itself, or everything in it that neither is masked nor holds something masked.

    Landlock only adds rights: a folder with something masked in it cannot be granted, only its other entries.
    """
    if is_masked(path, masked):
        return
    if not any(lies_in(mask, path) for mask in masked):
        yield path
        return
    for entry in entries(path, masked):
        yield from spread(entry, masked)


def passages(folder: str, masked: Sequence[str]) -> Iterator[str]:
    """The folders between `folder` and what is masked in it: moved away, they would take it out of the mask."""
    for mask in masked:
        if lies_in(mask, folder) and mask != folder:
            yield from (str(step) for step in PurePath(mask).parents if lies_in(str(step), folder))


def closed(masked: Sequence[str]) -> list[str]:
    """The folders in which nothing new may appear: something masked would stand there, or is a link that does.

    Nothing can be put over what is not there, and a link could be replaced.
    """
    return [_deepest(mask) for mask in masked if os.path.islink(mask) or not os.path.exists(mask)]


def entries(folder: str, masked: Sequence[str]) -> list[str]:
    """What stands in a closed folder, and may be used all the same."""
    try:
        paths = [f"{folder.rstrip('/')}/{name}" for name in os.listdir(folder)]
    except OSError:
        return []
    return [path for path in paths if not os.path.islink(path) and not is_masked(path, masked)]


def _deepest(path: str) -> str:
    """The innermost folder on the way that is there."""
    return next(str(step) for step in PurePath(path).parents if os.path.isdir(step))


def inside(folder: str, masked: Sequence[str]) -> list[str]:
    """The masks that hold in a granted folder: a grant within a mask is the more specific."""
    return [mask for mask in masked if lies_in(mask, folder) and mask != folder]
