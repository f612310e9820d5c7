"""After a confined command: what it has left in the projects to run later, outside, is put aside, and told.

Nothing is destroyed: what is new stays beside, under a name that nothing runs. While commands run side by side in a
project they are measured against what stood there before the first of them.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from loguru import logger

from app.core import texts_sandbox as texts
from app.core.contracts import CommandResult
from app.safety.ground import AnyJob
from app.safety.later import Scene, State, differ, is_settings, leads_to_its_own, look, opened
from app.safety.restoring import Change, Restorer

_MOST_PROJECTS = 300
_MOST_NAMES = 8  # in a report

_KEPT = (".git/hooks", ".git/config")  # taken away they would no longer protect; other files may go
_PASSES = 3  # what stands in a folder is seen once that is back
Brought = Callable[[Path, Scene, int], set[str]]  # project, what has changed, since when (ns) → what git brought there


@dataclass(slots=True)
class _Watched:
    """A project while commands run in it. `scene` None: it was not there."""

    scene: Scene | None
    began: int
    users: int = 0


_watched: dict[Path, _Watched] = {}
_lock = threading.Lock()


@contextmanager
def consented(file: Path, content: bytes, over: bytes | None = None) -> Generator[None]:
    """While a file is written that is not a command's doing: those that run meanwhile leave it.

    `over`: what it is a change of. Where a command has made that up, the change keeps nothing of it.
    """
    with _lock:
        yield
        for place, watched in _watched.items():
            if watched.scene is not None and file.is_relative_to(place):
                name = file.relative_to(place).as_posix()
                old, now = watched.scene.get(name), (_scene(place, watched.scene) or {}).get(name)
                if now and now.content == content and (over is None or (old and old.content == over)):
                    watched.scene = {**watched.scene, name: now}


@dataclass(frozen=True, slots=True)
class Places:
    """Where to look: each root, the folders right below it, and those on the way to `cwd`."""

    roots: Sequence[Path]
    cwd: Path

    def find(self) -> list[Path]:
        found = dict.fromkeys(place for root in self.roots for place in self._in(root))
        return list(found)[:_MOST_PROJECTS]

    def _in(self, root: Path) -> Iterator[Path]:
        if self.cwd.is_relative_to(root):
            yield from (step for step in (self.cwd, *self.cwd.parents) if step.is_relative_to(root))
        yield root
        with suppress(OSError), os.scandir(root) as entries:
            yield from (root / entry.name for entry in entries if entry.is_dir(follow_symlinks=False))


@dataclass(slots=True)
class Report:
    undone: list[str] = field(default_factory=list[str])
    failed: list[str] = field(default_factory=list[str])

    def add(self, place: Path, undone: Sequence[str], failed: Sequence[str]) -> None:
        self.undone += [name for name in (str(place / name) for name in undone) if name not in self.undone]
        self.failed += [name for name in (str(place / name) for name in failed) if name not in self.failed]

    def __str__(self) -> str:
        said = [(texts.put_back, self.undone), (texts.not_put_back, self.failed)]
        return "".join(say(_some(names)) for say, names in said if names)


class WatchedJob:
    """A job, and what it leaves behind. The same shape."""

    def __init__(self, job: AnyJob, places: Places, brought: Brought) -> None:
        self._job = job
        self._places = places
        self._brought = brought

    def execute(self) -> CommandResult:
        before = self._places.find()
        self._begin(before)
        report = Report()
        try:
            done = self._job.execute()
        finally:
            self._end(before, report)
        return replace(done, output=done.output + str(report)) if str(report) else done

    def stop(self) -> None:
        self._job.stop()

    def kill(self) -> None:
        self._job.kill()

    def _begin(self, places: Sequence[Path]) -> None:
        with _lock:
            for place in places:
                if place not in _watched:
                    _watched[place] = _Watched(_scene(place), time.time_ns())
                _watched[place].users += 1

    def _end(self, places: Sequence[Path], report: Report) -> None:
        with _lock:
            try:
                for place in dict.fromkeys([*places, *self._places.find()]):
                    self._check(place, _watched.get(place) or _Watched(None, time.time_ns()), report)
            finally:  # a scene that stayed would be held against everything that is written later
                for place in places:
                    _watched[place].users -= 1
                    if _watched[place].users < 1:
                        del _watched[place]

    def _check(self, place: Path, watched: _Watched, report: Report) -> None:
        for _ in range(_PASSES):
            now = _scene(place, watched.scene)
            wanted = self._wanted(place, watched, now)
            if not wanted or now is None or not self._put_back(place, Change(watched.scene or {}, now), wanted, report):
                return

    def _wanted(self, place: Path, watched: _Watched, now: Scene | None) -> list[str]:
        names = _changed(watched.scene, now)
        if watched.scene is None and now and _leads_elsewhere(place, now.get(".git")):
            names = [".git"]
        states = {name: now[name] for name in names if now and name in now and not name.startswith(".git/")}
        brought = self._brought(place, states, watched.began) if states else set[str]()
        return [name for name in names if name not in brought]

    def _put_back(self, place: Path, change: Change, names: Sequence[str], report: Report) -> bool:
        """Whether anything could be done."""
        undone: list[str] = []
        failed = list(names)
        with suppress(OSError), opened(str(place)) as folder:
            undone, failed = Restorer(folder, change).put_back(names)
        logger.warning("a command left what would run later in {}: {}; not undone: {}", place, undone, failed)
        report.add(place, undone, failed)
        return bool(undone)


def _scene(place: Path, known: Scene | None = None) -> Scene | None:
    with suppress(OSError), opened(str(place)) as folder:
        return look(folder, known)
    return None


def _changed(before: Scene | None, now: Scene | None) -> list[str]:
    """The outermost first. A project that was not there is the command's own, but for its `.git`."""
    if now is None:
        return []
    old = before or {}
    names = [name for name in now if name not in old and _is_new(name, now, own=before is None)]
    names += [name for name, state in old.items() if name in now and differ(state, now[name], name)]
    names += [name for name in old if name not in now and name.startswith(_KEPT) and ".git" in now]
    return sorted(set(names), key=lambda name: (name.count("/"), name))


def _leads_elsewhere(place: Path, git: State | None) -> bool:
    """A new project's `.git` that is no folder: it may only be the working tree of a project that is watched."""
    if git is None or git.kind == "folder":
        return False
    words = (git.content or b"").decode("utf-8", "replace").strip()
    target = os.path.realpath(place / words.removeprefix("gitdir:").strip())
    project, inside, way = target.partition("/.git/")
    known = inside and Path(project) in _watched and way.startswith(("worktrees/", "modules/"))
    return git.kind != "file" or not words.startswith("gitdir:") or not known


def _is_new(name: str, now: Scene, *, own: bool) -> bool:
    state = now[name]
    if state.kind == "folder" or leads_to_its_own(name, state) or (own and not name.startswith(".git/")):
        return False
    return not is_settings(name) or differ(replace(state, stamp=(), content=b""), state, name)


def _some(names: Sequence[str]) -> list[str]:
    return [*names[:_MOST_NAMES], *(["…"] if len(names) > _MOST_NAMES else [])]
