"""Brings files back: by open folders, through no link, each file in one step. Only what differs is touched."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import stat
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from app.core.contracts import Restored
from app.safety.paths import BY_DESCRIPTOR, SAFE
from app.safety.undo.project import Meta, Project
from app.safety.undo.shadow import RawChange
from app.safety.undo.walk import Masks

_LINK = 0o120000
_OBJECTS = re.compile(r"(?:.*/)?\.git/objects(?=/)")
_FOLDER = SAFE | os.O_RDONLY | getattr(os, "O_DIRECTORY", 0)


def restore(project: Project, target: str, now: str, masks: Masks) -> Restored:
    """From state `now`, which is how the disk looks, to state `target`. Raises CheckpointError."""
    then = project.meta(target)
    changes = [c for c in project.differences(target, now) if not _stays(c, then)]
    work = _Work(project, masks, then, project.meta(now))
    if "" in then.folders:
        work.make_top()
    for change in changes:
        if not change.old:
            work.remove(change.path)
    work.remove_folders()
    work.make_folders()
    wanted = [change for change in changes if change.old]
    for change, (_, content, _) in zip(wanted, project.shadow.blobs(c.old for c in wanted), strict=True):
        work.write(change, content)
    work.set_permissions({change.path for change in changes})
    if os.name == "posix":
        os.sync()
    return Restored(len(changes) - len(work.failed), tuple(work.failed))


def _stays(change: RawChange, then: Meta) -> bool:
    """A repository's objects stay: nothing refers to them, and somebody's later commit may be among them."""
    objects = _OBJECTS.match(change.path)
    return not change.old and objects is not None and objects[0] in then.folders


class _Work:
    def __init__(self, project: Project, masks: Masks, target: Meta, now: Meta) -> None:
        self._top = project.ground.top
        self._masks = masks
        self._target = target
        self._now = now
        self.failed: list[str] = []

    def make_top(self) -> None:
        """A link or a file in its place goes: the state of the folder above holds it."""
        with suppress(OSError):
            info = os.lstat(self._top)
            if not stat.S_ISDIR(info.st_mode):
                self._top.unlink()
        with suppress(OSError):
            self._top.mkdir(self._target.folders.get("", 0o755), exist_ok=True)

    def remove(self, path: str) -> None:
        with self._noted(path), suppress(FileNotFoundError), self._parent(path) as (folder, name):
            os.unlink(name, dir_fd=folder)

    def remove_folders(self) -> None:
        """Those that were made since and are empty now, the deepest first; the whole project last."""
        made = set(self._now.folders) - set(self._target.folders)
        for path in sorted(made - {""}, key=lambda p: p.count("/"), reverse=True):
            with suppress(OSError), self._parent(path) as (folder, name):
                os.rmdir(name, dir_fd=folder)
        if "" in made:
            with suppress(OSError):
                self._top.rmdir()

    def make_folders(self) -> None:
        for path in sorted(self._target.folders.keys() - {""}):
            with self._noted(path), self._parent(path) as (folder, name), suppress(FileExistsError):
                os.mkdir(name, 0o700, dir_fd=folder)

    def write(self, change: RawChange, content: BinaryIO) -> None:
        with self._noted(change.path), self._parent(change.path) as (folder, name):
            temporary = f".{secrets.token_hex(8)}.nanobot"
            temporary = temporary if folder is not None else str(Path(name).with_name(temporary))
            try:
                if change.old_mode == _LINK:
                    os.symlink(os.fsdecode(content.read()), temporary, dir_fd=folder)
                else:
                    self._fill(temporary, folder, change, content)
                os.replace(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
            except BaseException:
                with suppress(OSError):
                    os.unlink(temporary, dir_fd=folder)
                raise

    def set_permissions(self, written: set[str]) -> None:
        """Of folders, and of files whose content did not change."""
        if sys.platform == "win32":
            return
        files = {p for p in self._target.modes.keys() | self._now.modes.keys() if p not in written}
        wanted = {p: self._target.modes.get(p) for p in files if self._target.modes.get(p) != self._now.modes.get(p)}
        wanted |= dict(sorted(self._target.folders.items(), reverse=True))
        for path, mode in wanted.items():
            with suppress(OSError), self._parent(path) as (folder, name):
                descriptor = os.open(name, SAFE | os.O_RDONLY, dir_fd=folder)
                try:
                    info = os.fstat(descriptor)
                    usual = 0o755 if info.st_mode & 0o100 else 0o644
                    if stat.S_IMODE(info.st_mode) & 0o777 != (usual if mode is None else mode):
                        os.fchmod(descriptor, usual if mode is None else mode)
                finally:
                    os.close(descriptor)

    def _fill(self, temporary: str, folder: int | None, change: RawChange, content: BinaryIO) -> None:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | SAFE, 0o600, dir_fd=folder)
        with os.fdopen(descriptor, "wb") as file:
            shutil.copyfileobj(content, file, 1 << 20)
            usual = 0o755 if change.old_mode & 0o100 else 0o644
            if sys.platform != "win32":
                os.fchmod(file.fileno(), self._target.modes.get(change.path, usual))

    @contextmanager
    def _noted(self, path: str) -> Generator[None]:
        """What cannot be done for one path is told, and the others go on."""
        try:
            yield
        except OSError:
            if path not in self.failed:
                self.failed.append(path)

    @contextmanager
    def _parent(self, path: str) -> Generator[tuple[int | None, str]]:
        """The open folder that holds `path`, and its name there. Raises OSError for a link on the way."""
        if self._masks.hides(self._top / path):
            raise PermissionError(path)
        *above, name = path.split("/") if path else ["."]
        if not BY_DESCRIPTOR:
            if any((self._top / "/".join(above[: n + 1])).is_symlink() for n in range(len(above))):
                raise OSError(path)
            yield None, str(self._top / path)
            return
        folder = os.open(self._top, _FOLDER)
        try:
            for part in above:
                below = os.open(part, _FOLDER, dir_fd=folder)
                os.close(folder)
                folder = below
            info = os.fstat(folder)
            if (info.st_dev, info.st_ino) in self._masks.ids:
                raise PermissionError(path)
            yield folder, name
        finally:
            os.close(folder)
