"""Puts a project's files back as they were: relative to open folders, never through a link."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from app.safety.git_config import without_programs
from app.safety.later import ASIDE, Scene, State, is_settings, opened
from app.safety.paths import SAFE

_TRIES = 50


@dataclass(frozen=True, slots=True)
class Change:
    """What stood in a project, and what stands there."""

    before: Scene
    now: Scene


class Restorer:
    """`project`: open."""

    def __init__(self, project: int, change: Change) -> None:
        self._project = project
        self._before = change.before
        self._now = change.now

    def put_back(self, names: Sequence[str]) -> tuple[list[str], list[str]]:
        """(undone, failed). `names`: the outermost first."""
        undone: list[str] = []
        failed: list[str] = []
        for name in names:
            try:
                if self._one(name):
                    undone.append(name)
            except OSError:
                failed.append(name)
        return undone, failed

    def _one(self, name: str) -> bool:
        """False: with what is around it, it has been undone already."""
        with self._holder(name) as (folder, last):
            if folder is None:
                return False
            with suppress(FileNotFoundError):
                _put_aside(folder, last)
            if name in self._before:
                self._restore(folder, name, self._before[name])
            elif is_settings(name):
                self._keep_plain_settings(folder, name)
        return True

    @contextmanager
    def _holder(self, name: str) -> Generator[tuple[int | None, str]]:
        """The folder in which it stands, opened one name after another; None where there is none."""
        *steps, last = name.split("/")
        descriptors = [os.dup(self._project)]
        try:
            for step in steps:
                try:
                    descriptors.append(_enter(step, descriptors[-1]))
                except (FileNotFoundError, NotADirectoryError):
                    yield None, last
                    return
            yield descriptors[-1], last
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def _keep_plain_settings(self, folder: int, name: str) -> None:
        """A repository that is new keeps its settings, but for the programs in them."""
        state = self._now[name]
        if state.kind == "file" and state.content:
            _write(folder, _last(name), State("file", state.mode, content=without_programs(state.content)))

    def _restore(self, folder: int, name: str, old: State) -> None:
        last = _last(name)
        if old.kind == "folder":
            self._restore_folder(folder, name, old)
        elif old.kind == "link" and old.content is not None:
            os.symlink(os.fsdecode(old.content), last, dir_fd=folder)
        elif old.kind == "file" and old.content is not None:
            _write(folder, last, old)
        else:
            raise OSError(name)

    def _restore_folder(self, folder: int, name: str, old: State) -> None:
        """The very one, when it has only been renamed beside; else a new one, with what was known of it."""
        if (moved := _find(folder, old)) is not None:
            os.rename(moved, _last(name), src_dir_fd=folder, dst_dir_fd=folder)
            return
        if name == ".git":
            raise OSError("the repository is gone")
        os.mkdir(_last(name), 0o777, dir_fd=folder)
        with opened(_last(name), folder) as inner:
            for below, state in self._before.items():
                if below.rpartition("/")[0] == name:
                    self._restore(inner, below, state)


def _find(folder: int, old: State) -> str | None:
    """By its number, which another may have been given since: what stands in it is looked at again."""
    for other in os.listdir(folder):
        info = os.stat(other, dir_fd=folder, follow_symlinks=False)
        if not other.endswith(ASIDE) and stat.S_ISDIR(info.st_mode) and (info.st_ino, info.st_dev) == old.stamp:
            return other
    return None


def _last(name: str) -> str:
    return name.rpartition("/")[2]


def _enter(name: str, folder: int) -> int:
    return os.open(name, SAFE | getattr(os, "O_DIRECTORY", 0), dir_fd=folder)


def _put_aside(folder: int, name: str) -> None:
    """Beside, under a name that is free. Raises FileNotFoundError when it is gone."""
    for number in range(_TRIES):
        aside = f"{name}{number or ''}{ASIDE}"
        try:
            os.stat(aside, dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            os.rename(name, aside, src_dir_fd=folder, dst_dir_fd=folder)
            return
    raise OSError("no name is free")


def _write(folder: int, name: str, state: State) -> None:
    descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | SAFE, 0o600, dir_fd=folder)
    with os.fdopen(descriptor, "wb") as file:
        file.write(state.content or b"")
        if sys.platform != "win32":
            os.fchmod(file.fileno(), state.mode & 0o777)
