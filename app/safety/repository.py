"""Git repositories as files: where git would find one from a folder, and what of it could start a program.

What git accepts is decided by git; here every candidate on the way up counts, and any doubt is the bad answer.
Source: gitrepository-layout(5), gitformat-index(5), setup.c.
"""

from __future__ import annotations

import os
import re
import stat
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from app.safety.git_config import MAX_CONFIG, entries, is_harmless
from app.safety.paths import SAFE, lstat

MAX_INDEX = 64 << 20  # bytes
MAX_WALK = 20_000  # entries
_GITLINK = (0o160000).to_bytes(4, "big")  # an index entry's mode
_WORKTREE = re.compile(
    r"^[^#;\n]*\bworktree[ \t]*=[ \t]*(\"[^\"\n]*\"|[^#;\n]*?)[ \t]*(?:[#;].*)?$", re.IGNORECASE | re.MULTILINE
)
_FILTER = re.compile(r"^[^#\n]*\sfilter=(\S+)", re.MULTILINE)
_POINTER = re.compile(r"gitdir: ([^\0\r\n]+)[\r\n]*")

Holds = Callable[[Path], bool]


class DoubtError(Exception):
    """It cannot be said that this repository is plain."""


@dataclass(frozen=True, slots=True)
class Repository:
    """`folder` holds the work tree, `own` the HEAD and the index, `common` the configuration and the objects."""

    folder: Path
    own: Path
    common: Path

    def check_plain(self) -> None:
        """Raises DoubtError, OSError or ValueError."""
        for file in (self.common / "config", self.own / "config.worktree", self.common / "config.worktree"):
            self._check_config(file)
        objects = self.common / "objects"
        if (objects / "info/alternates").exists() or objects.is_symlink():
            raise DoubtError("objects from elsewhere")

    def stays_inside(self, holds: Holds) -> bool:
        """Whether a core.worktree leads to a folder of the workspace. Raises ValueError, OSError, DoubtError."""
        for file in (self.common / "config", self.own / "config.worktree", self.common / "config.worktree"):
            if file.exists() or file.is_symlink():
                for trees in _WORKTREE.findall(read(file, MAX_CONFIG).decode("utf-8", "replace")):
                    if not holds(Path(os.path.realpath(self.own / trees.strip('"')))):
                        return False
        return True

    def filters_named(self) -> set[str]:
        try:
            return set(_FILTER.findall(read(self.folder / ".gitattributes", MAX_CONFIG).decode("utf-8", "replace")))
        except (DoubtError, OSError):
            return set()

    def has_submodules(self) -> bool:
        """True as well where it might: the mode's four bytes may be there by chance."""
        index = self.own / "index"
        if not index.exists():
            return False
        return any(self.own.glob("sharedindex.*")) or _GITLINK in read(index, MAX_INDEX)

    def _check_config(self, file: Path) -> None:
        if not file.exists() and not file.is_symlink():
            return
        for section, key, value in entries(read(file, MAX_CONFIG).decode()):
            here = (section, key) == ("core", "worktree") and self._is_here(value)
            if not here and not is_harmless(section, key):
                raise DoubtError(f"{section}.{key}")

    def _is_here(self, worktree: str) -> bool:
        """As the configuration of a submodule says it."""
        return not set(worktree) & set('\\"#;') and os.path.realpath(self.own / worktree) == str(self.folder)


def repositories(folder: Path, holds: Holds, *, bare: bool = False) -> Iterator[Repository]:
    """From a real folder upwards. Raises DoubtError and OSError. `bare`: such are ignored, as by git when told so."""
    if not holds(folder):
        raise DoubtError("outside the workspace")
    for level in (folder, *folder.parents):
        if not holds(level):
            return
        if not bare and lstat(str(level / "HEAD"), None):
            raise DoubtError("a bare repository")
        dot = level / ".git"
        if info := lstat(str(dot), None):
            yield _opened(level, dot, info, holds)


def is_git_file(real: Path) -> bool:
    """Part of a repository: of a `.git`, however the disk may spell it, or of a bare one."""
    if any(map(is_git_name, real.parts)):
        return True
    return any(lstat(str(level / "HEAD"), None) and (level / "objects").exists() for level in real.parents)


def is_git_name(name: str) -> bool:
    """As HFS+ (invisible characters) and NTFS (short names, streams, trailing dots) compare it."""
    seen = "".join(c for c in name if unicodedata.category(c) != "Cf").partition(":")[0]
    return seen.rstrip(" .").casefold() in {".git", "git~1"}


def links_outside(folder: Path, holds: Holds) -> bool:
    """Whether a link to a folder leads out of the workspace. Too many entries to look at: perhaps."""
    pending, looked = [folder], 0
    while pending:
        with os.scandir(pending.pop()) as found:
            for entry in found:
                looked += 1
                if looked > MAX_WALK or (entry.is_symlink() and entry.is_dir() and not holds(Path(entry).resolve())):
                    return True
                if entry.is_dir(follow_symlinks=False) and entry.name != ".git":
                    pending.append(Path(entry))
    return False


def read(file: Path, limit: int) -> bytes:
    """A regular file, never through a link, never blocking. Raises DoubtError and OSError."""
    with os.fdopen(os.open(file, os.O_RDONLY | SAFE), "rb") as opened:
        info = os.fstat(opened.fileno())
        if not stat.S_ISREG(info.st_mode) or info.st_size > limit:
            raise DoubtError(file.name)
        return opened.read(limit)


def _opened(level: Path, dot: Path, info: os.stat_result, holds: Holds) -> Repository:
    if stat.S_ISREG(info.st_mode):
        pointer = _POINTER.fullmatch(read(dot, MAX_CONFIG).decode())
        if pointer is None:
            raise DoubtError("a .git file")
        own = (level / pointer[1]).resolve()
    elif stat.S_ISDIR(info.st_mode):
        own = dot
    else:
        raise DoubtError("a .git link")
    commondir = own / "commondir"
    common = (own / read(commondir, MAX_CONFIG).decode().strip()).resolve() if commondir.exists() else own
    if not holds(own) or not holds(common):
        raise DoubtError("a repository outside")
    return Repository(level, own, common)
