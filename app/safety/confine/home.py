"""The commands' own HOME. They may leave anything there; the next one finds it in order."""

from __future__ import annotations

import os
import stat


def make_usable(home: str) -> None:
    """With a folder `tmp` that is one, and no link. Raises OSError."""
    os.makedirs(home, 0o700, exist_ok=True)
    _open_up(home)
    temporary = os.path.join(home, "tmp")
    if os.path.lexists(temporary) and not stat.S_ISDIR(os.lstat(temporary).st_mode):
        os.unlink(temporary)
    os.makedirs(temporary, 0o700, exist_ok=True)
    _open_up(temporary)


def _open_up(folder: str) -> None:
    if os.stat(folder).st_mode & 0o700 != 0o700:
        os.chmod(folder, 0o700)
