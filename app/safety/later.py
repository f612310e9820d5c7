"""What of a project runs later, outside every confinement: git hooks and settings, CI, editors' tasks. As it stands.

Found without walking the project: its top, its `.git`, and the few folders that such things live in. No link is ever
followed: a command may have put it there.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import Literal

from app.core.risk_later import HOLDERS, folded, is_later_name
from app.safety.git_config import programs
from app.safety.paths import SAFE

ASIDE = ".apartado"
_INERT = (".sample", ASIDE)
_OPEN_FOLDER = SAFE | getattr(os, "O_DIRECTORY", 0)
_MAX_FILE = 4 << 20  # bytes that are kept to be put back
_MAX_ENTRIES = 2_000  # of one project
_MAX_DEPTH = 5

Kind = Literal["file", "link", "folder", "other", "closed"]


@dataclass(frozen=True, slots=True)
class State:
    """`content`: of a file, or where a link leads; None for a file that is too big. `closed`: it cannot be listed."""

    kind: Kind
    mode: int = 0
    stamp: tuple[int, ...] = ()
    content: bytes | None = b""


Scene = Mapping[str, State]  # of one project: relative name → what stands there


def look(folder: int, known: Scene | None = None) -> Scene:
    """`folder`: open. `known`: what has not changed since is not read again."""
    scan = _Scan(known or {})
    names = scan.names(folder)
    for name in sorted(names):
        if is_later_name(name) and not name.endswith(_INERT):
            scan.leaf(folder, name, name)
        elif only := HOLDERS.get(folded(name)):
            scan.tree(folder, name, name, only=only)
    if ".git" in names:
        scan.repository(folder, ".git", ".git")
    return scan.found


def differ(before: State, now: State, name: str) -> bool:
    """In what would run. A configuration of git's: in the programs it names."""
    if before.stamp == now.stamp and before.kind == now.kind and before.stamp:
        return False
    if before.kind != now.kind or now.kind in {"folder", "closed"}:
        return before.kind != now.kind
    if leads_to_its_own(name, now):
        return False
    if is_settings(name):
        return _programs(before, name) != _programs(now, name)
    return before.content is None or before.content != now.content or (before.mode ^ now.mode) & 0o111 != 0


def _programs(state: State, name: str) -> list[tuple[str, str, str]]:
    return [entry for entry in programs(state.content) if not _is_a_submodules_own(name, *entry)]


def _is_a_submodules_own(name: str, section: str, key: str, value: str) -> bool:
    """Where its files are, within the project: git itself writes it."""
    where = os.path.normpath(f"{name.rpartition('/')[0]}/{value}")
    inside = not value.startswith("/") and where.partition("/")[0] not in {"..", ".git", "."}
    return name.startswith(".git/modules/") and (section, key) == ("core", "worktree") and inside


def is_settings(name: str) -> bool:
    return name.startswith(".git/") and name.rpartition("/")[2] in {"config", "config.worktree"}


def leads_to_its_own(name: str, state: State) -> bool:
    """A working tree's `commondir`, as git writes it: any other takes settings and hooks from elsewhere."""
    at = PurePosixPath(name)
    of_a_tree = at.name == "commondir" and at.parts[-3:-2] == ("worktrees",)
    return of_a_tree and state.kind == "file" and (state.content or b"").rstrip(b"\r\n") == b"../.."


@contextmanager
def opened(name: str, folder: int | None = None) -> Generator[int]:
    """A folder, to be listed; never through a link. Raises OSError."""
    descriptor = os.open(name, _OPEN_FOLDER, dir_fd=folder)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


class _Scan:
    def __init__(self, known: Mapping[str, State]) -> None:
        self.known = known
        self.found: dict[str, State] = {}
        self.repositories = 0  # one within another

    def names(self, folder: int) -> set[str]:
        with suppress(OSError):
            return set(os.listdir(folder))
        return set()

    def leaf(self, folder: int, name: str, path: str) -> State | None:
        with suppress(FileNotFoundError):
            info = os.stat(name, dir_fd=folder, follow_symlinks=False)
            stamp = (info.st_mtime_ns, info.st_ctime_ns, info.st_size, info.st_ino, info.st_dev, info.st_mode)
            old = self.known.get(path)
            same = old is not None and old.stamp == stamp and old.kind != "closed"
            self.found[path] = old if old and same else _read(folder, name, info, stamp)
            return self.found[path]
        return None

    def tree(self, folder: int, name: str, path: str, *, only: tuple[str, ...] = ("*",), depth: int = 0) -> None:
        state = self.leaf(folder, name, path)
        if state is None or state.kind != "folder":
            return
        try:
            with opened(name, folder) as inner:
                for entry in self._entries(inner, only, depth):
                    self.tree(inner, entry, f"{path}/{entry}", depth=depth + 1)
        except OSError:
            self.found[path] = State("closed", state.mode)

    def _entries(self, folder: int, only: tuple[str, ...], depth: int) -> list[str]:
        entries = sorted(os.listdir(folder))
        chosen = [n for n in entries if not n.endswith(_INERT) and any(fnmatchcase(folded(n), part) for part in only)]
        if chosen and (depth >= _MAX_DEPTH or len(self.found) + len(chosen) > _MAX_ENTRIES):
            raise OSError(errno.E2BIG, "more than is looked at")
        return chosen

    def repository(self, folder: int, name: str, path: str) -> None:
        """Hooks and settings; those of submodules and working trees as well."""
        state = self.leaf(folder, name, path)
        if state is None or state.kind != "folder":
            return
        self.repositories += 1
        try:
            with opened(name, folder) as inner:
                self._repository(inner, path)
        except OSError:
            self.found[path] = State("closed", state.mode)
        self.repositories -= 1

    def _repository(self, folder: int, path: str) -> None:
        names = self.names(folder)
        for entry in sorted(names & {"config", "config.worktree", "commondir"}):
            self.leaf(folder, entry, f"{path}/{entry}")
        if "hooks" in names:
            self.tree(folder, "hooks", f"{path}/hooks", depth=_MAX_DEPTH - 2)
        for entry in sorted(names & {"modules", "worktrees"}):
            if self.repositories > _MAX_DEPTH:
                raise OSError(errno.E2BIG, "more than is looked at")
            self._repositories(folder, entry, f"{path}/{entry}")

    def _repositories(self, folder: int, name: str, path: str, depth: int = 0) -> None:
        state = self.leaf(folder, name, path)
        if state is None or state.kind != "folder":
            return
        with opened(name, folder) as inner:
            names = self.names(inner)
            if names & {"HEAD", "hooks", "config", "config.worktree", "commondir"}:
                self.repository(folder, name, path)
            elif depth < _MAX_DEPTH:
                for entry in sorted(n for n in names if not n.endswith(ASIDE)):
                    self._repositories(inner, entry, f"{path}/{entry}", depth + 1)


def _read(folder: int, name: str, info: os.stat_result, stamp: tuple[int, ...]) -> State:
    mode = stat.S_IMODE(info.st_mode)
    if stat.S_ISDIR(info.st_mode):
        return State("folder", mode, (info.st_ino, info.st_dev))
    if stat.S_ISLNK(info.st_mode):
        return State("link", mode, stamp, os.fsencode(os.readlink(name, dir_fd=folder)))
    if not stat.S_ISREG(info.st_mode):
        return State("other", mode, stamp)
    try:
        with os.fdopen(os.open(name, os.O_RDONLY | SAFE, dir_fd=folder), "rb") as file:
            content = file.read(_MAX_FILE + 1)
    except OSError:
        return State("closed", mode)
    return State("file", mode, stamp, content if len(content) <= _MAX_FILE else None)
