"""Which of a project's changed files git brought there itself: a checkout, a merge, a pull that was granted.

Such a file is in the commit that is checked out, and its content was in the repository before the command began (or
came over the network that somebody granted). What a command makes up is not.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from app.safety.later import State, opened

_MARGIN = 10_000_000  # ns by which the clock of files may be late
Run = Callable[[Sequence[str], Path], str]  # confined


class GitsOwn:
    """`networked`: what is new may have come from outside."""

    def __init__(self, run: Run, *, networked: bool) -> None:
        self._run = run
        self._networked = networked

    def __call__(self, project: Path, states: Mapping[str, State], since: int) -> set[str]:
        files = {name: state for name, state in states.items() if state.content is not None and state.kind == "file"}
        if not files or not (project / ".git").is_dir():
            return set()
        in_commit = self._tree(project, list(files))
        same = {name for name, state in files.items() if _blob(state.content or b"", in_commit.get(name, ""))}
        return {name for name in same if self._networked or _is_older(project, in_commit[name], since - _MARGIN)}

    def _tree(self, project: Path, names: Sequence[str]) -> dict[str, str]:
        """Name → object, in the commit that is checked out."""
        said = self._run(["git", "-c", "core.fsmonitor=false", "ls-tree", "-z", "HEAD", "--", *names], project)
        found: dict[str, str] = {}
        for line in said.split("\0"):
            head, tab, name = line.partition("\t")
            if tab and head.count(" ") == 2:
                found[name] = head.rpartition(" ")[2]
        return found


def _blob(content: bytes, expected: str) -> bool:
    kind = "sha256" if len(expected) == 64 else "sha1"
    whole = b"blob %d\0" % len(content) + content
    return hashlib.new(kind, whole, usedforsecurity=False).hexdigest() == expected


def _is_older(project: Path, name: str, since: int) -> bool:
    """Whether the object was there. The time of its last change of state cannot be set by anybody."""
    with suppress(OSError), opened(str(project)) as top, opened(".git", top) as git, opened("objects", git) as objects:
        with suppress(FileNotFoundError), opened(name[:2], objects) as folder:
            return os.stat(name[2:], dir_fd=folder, follow_symlinks=False).st_ctime_ns <= since
        return _packs_are_older(objects, since)
    return False


def _packs_are_older(objects: int, since: int) -> bool:
    """Nothing has been packed or borrowed since."""
    with opened("info", objects) as info, os.scandir(info) as entries:
        if any(entry.name == "alternates" for entry in entries):
            return False
    with opened("pack", objects) as packs, os.scandir(packs) as entries:
        changed = [entry.stat(follow_symlinks=False).st_ctime_ns for entry in entries]
    return bool(changed) and max(changed) <= since
