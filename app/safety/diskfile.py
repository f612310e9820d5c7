"""Regular files at a Place: opened without ever blocking, replaced in one step."""

from __future__ import annotations

import os
import secrets
import stat
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import BinaryIO

from app.core import texts_safety as texts
from app.core.errors import WorkspaceError
from app.safety.paths import Place, check_new_name, close_names

PERMISSIONS = 0o777  # set-id and sticky bits are never given


def regular(place: Place) -> os.stat_result:
    """What stands there, certain to be a plain file. Raises WorkspaceError."""
    info = place.info
    if info is None:
        raise WorkspaceError(texts.no_such_file(str(place.real), _like(place)))
    if stat.S_ISDIR(info.st_mode):
        raise WorkspaceError(texts.is_a_folder(str(place.real)))
    if not stat.S_ISREG(info.st_mode):
        raise WorkspaceError(texts.not_a_regular_file(str(place.real)))
    return info


@contextmanager
def opened(place: Place) -> Generator[BinaryIO, None, None]:
    """For reading. What was opened must be what was checked: a FIFO or a link put there since is not read."""
    info = regular(place)
    with os.fdopen(place.open(os.O_RDONLY), "rb") as file:
        if not _same(os.fstat(file.fileno()), info):
            raise WorkspaceError(texts.changed_meanwhile(str(place.real)))
        yield file


def check_writable(place: Place) -> None:
    """Raises WorkspaceError for what may not be replaced by a text file."""
    if place.info is None:
        check_new_name(place.real.name)
        return
    info = regular(place)
    if info.st_nlink > 1:
        raise WorkspaceError(texts.several_names(str(place.real)))
    if not info.st_mode & 0o222:
        raise WorkspaceError(texts.read_only_file(str(place.real)))


def replace(place: Place, data: bytes) -> None:
    """A new file beside it, synced, then renamed over it: there is always the old text or the new one."""
    temporary = place.beside(f".{secrets.token_hex(8)}.nanobot")
    descriptor = place.open(
        os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 if place.info else 0o666, name=temporary
    )  # fmt: skip
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            _keep_owner_and_mode(file.fileno(), place.info)
            os.fsync(file.fileno())
        _refuse_if_changed(place)
        os.replace(temporary, place.name, src_dir_fd=place.folder, dst_dir_fd=place.folder)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary, dir_fd=place.folder)
        raise
    _sync_folder(place)


def _keep_owner_and_mode(descriptor: int, old: os.stat_result | None) -> None:
    if old is None or sys.platform == "win32":
        return
    mine = os.fstat(descriptor)
    if (mine.st_uid, mine.st_gid) != (old.st_uid, old.st_gid):
        with suppress(PermissionError):
            os.fchown(descriptor, old.st_uid, old.st_gid)
    os.fchmod(descriptor, stat.S_IMODE(old.st_mode) & PERMISSIONS)


def _refuse_if_changed(place: Place) -> None:
    now, before = place.look(), place.info
    if now is None and before is None:
        return
    if now is None or before is None or not _same(now, before) or now.st_mtime_ns != before.st_mtime_ns:
        raise WorkspaceError(texts.changed_meanwhile(str(place.real)))


def _sync_folder(place: Place) -> None:
    if place.folder is None:
        return
    descriptor = os.open(".", os.O_RDONLY, dir_fd=place.folder)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _same(one: os.stat_result, other: os.stat_result) -> bool:
    return (one.st_dev, one.st_ino, stat.S_IFMT(one.st_mode)) == (
        other.st_dev, other.st_ino, stat.S_IFMT(other.st_mode)
    )  # fmt: skip


def _like(place: Place) -> list[str]:
    parent = place.real.parent
    name = "." if place.folder is not None else str(parent)
    return close_names(Place(place.folder, name, parent, None, place.ids), place.real.name)
