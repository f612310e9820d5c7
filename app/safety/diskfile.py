"""Regular files at a Place: opened without ever blocking, replaced in one step."""

from __future__ import annotations

import os
import stat
import sys
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO

from app.core import texts_safety as texts
from app.core.errors import WorkspaceError
from app.safety import names
from app.safety.paths import FOLDER, Place, close_names, sync_folder

PERMISSIONS = 0o777  # set-id and sticky bits are never given
_ACCESS_LIST = "system.posix_acl_access"
_STALE = 600.0  # seconds after which nobody still writes a temporary file
_MAX_SWEPT = 2_000  # entries looked at
_committing = threading.Lock()  # two turns that change one file: the second finds it changed


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
        if not same(os.fstat(file.fileno()), info):
            raise WorkspaceError(texts.changed_meanwhile(str(place.real)))
        yield file


@contextmanager
def listed(place: Place) -> Generator[Iterator[os.DirEntry[str]], None, None]:
    """What the folder holds; the very folder that was checked."""
    if place.folder is None:
        with os.scandir(place.name) as entries:
            yield entries
        return
    descriptor = place.open_folder()
    try:
        if place.info is None or not same(os.fstat(descriptor), place.info):
            raise WorkspaceError(texts.changed_meanwhile(str(place.real)))
        with os.scandir(descriptor) as entries:
            yield entries
    finally:
        os.close(descriptor)


def check_writable(place: Place) -> None:
    """Raises WorkspaceError for what may not be replaced by a text file."""
    if place.info is None:
        names.check_new(place.real.name)
        return
    info = regular(place)
    if not info.st_mode & 0o222:
        raise WorkspaceError(texts.read_only_file(str(place.real)))


def replace(place: Place, data: bytes) -> None:
    """A new file beside it, synced, then renamed over it: there is always the old text or the new one."""
    temporary = place.beside(names.temporary())
    descriptor = place.open(
        os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 if place.info else 0o666, name=temporary
    )  # fmt: skip
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            _keep_access_list(file.fileno(), place)
            _keep_owner_and_mode(file.fileno(), place.info)
            os.fsync(file.fileno())
        with _committing:
            _refuse_if_changed(place)
            os.replace(temporary, place.name, src_dir_fd=place.folder, dst_dir_fd=place.folder)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary, dir_fd=place.folder)
        raise
    sync_folder(place.folder)
    _sweep(place)


def _keep_owner_and_mode(descriptor: int, old: os.stat_result | None) -> None:
    if old is None or sys.platform == "win32":
        return
    mine = os.fstat(descriptor)
    if mine.st_gid != old.st_gid:
        with suppress(PermissionError):
            os.fchown(descriptor, -1, old.st_gid)
    if mine.st_uid != old.st_uid:
        with suppress(PermissionError):
            os.fchown(descriptor, old.st_uid, -1)
    os.fchmod(descriptor, stat.S_IMODE(old.st_mode) & PERMISSIONS)


def _keep_access_list(descriptor: int, place: Place) -> None:
    """Without it the mode alone would say more than it did: with a list, the group's bits are those of its mask."""
    if sys.platform != "linux" or place.info is None:
        return
    with suppress(OSError):  # none, as nearly always
        old = place.open(os.O_RDONLY)
        try:
            os.setxattr(descriptor, _ACCESS_LIST, os.getxattr(old, _ACCESS_LIST))
        finally:
            os.close(old)


def _refuse_if_changed(place: Place) -> None:
    now, before = place.look(), place.info
    if now is None and before is None:
        return
    if now is None or before is None or not same(now, before) or _version(now) != _version(before):
        raise WorkspaceError(texts.changed_meanwhile(str(place.real)))


def _version(info: os.stat_result) -> tuple[int, ...]:
    return (info.st_size, info.st_mtime_ns, info.st_ctime_ns)


def _sweep(place: Place) -> None:
    """What was left by a process that was killed while it wrote."""
    if place.folder is None:
        return
    with suppress(OSError):
        descriptor = os.open(".", FOLDER, dir_fd=place.folder)
        try:
            with os.scandir(descriptor) as entries:
                for entry, _ in zip(entries, range(_MAX_SWEPT), strict=False):
                    if names.is_temporary(entry.name) and _is_stale(entry.stat(follow_symlinks=False)):
                        os.unlink(entry.name, dir_fd=descriptor)
        finally:
            os.close(descriptor)


def _is_stale(info: os.stat_result) -> bool:
    return stat.S_ISREG(info.st_mode) and time.time() - max(info.st_mtime, info.st_ctime) > _STALE


def same(one: os.stat_result, other: os.stat_result) -> bool:
    return (one.st_dev, one.st_ino, stat.S_IFMT(one.st_mode)) == (
        other.st_dev, other.st_ino, stat.S_IFMT(other.st_mode)
    )  # fmt: skip


def _like(place: Place) -> list[str]:
    parent = place.real.parent
    name = "." if place.folder is not None else str(parent)
    return close_names(Place(place.folder, name, parent, None, place.ids), place.real.name)
