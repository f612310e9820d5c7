"""The commands' own HOME. They may leave anything there; the next one finds it in order."""

from __future__ import annotations

import os
import stat
from contextlib import suppress


def make_usable(home: str) -> None:
    """With a folder `tmp` that is one, and no link. Raises OSError."""
    os.makedirs(home, 0o700, exist_ok=True)
    _open_up(home)
    temporary = os.path.join(home, "tmp")
    if os.path.lexists(temporary) and not stat.S_ISDIR(os.lstat(temporary).st_mode):
        os.unlink(temporary)
    os.makedirs(temporary, 0o700, exist_ok=True)
    _open_up(temporary)


def trust_repositories(home: str) -> None:
    """Those of the server's user: in a file, because git does not pass its environment on to the git of a clone.

    Only where the commands have no settings of their own yet.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
    with suppress(OSError), os.fdopen(os.open(os.path.join(home, ".gitconfig"), flags, 0o644), "w") as file:
        file.write("[safe]\n\tdirectory = *\n")


def _open_up(folder: str) -> None:
    if os.stat(folder).st_mode & 0o700 != 0o700:
        os.chmod(folder, 0o700)
