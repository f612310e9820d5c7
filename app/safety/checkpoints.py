"""Points to go back to: the state of the projects before a turn changes them, outside of the projects."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from loguru import logger

from app.core import texts_undo as texts
from app.core.contracts import Change, Changes, Point, Restored
from app.core.contracts.undo import digest_of
from app.core.errors import CheckpointError
from app.safety.bounds import Bounds
from app.safety.undo.grounds import Grounds
from app.safety.undo.points import Held, PointFiles, Record, marked, new_id, of_session
from app.safety.undo.project import Project
from app.safety.undo.restore import restore
from app.safety.undo.walk import Ground

CERTAIN_SECONDS = 120.0  # the caller waits for less; what is read until then is not read again
OTHERS_SECONDS = 1.5  # for all projects that the call is not about, together
GIVE_UP_SECONDS = 3_600.0  # for which a project that is too large for that is left alone
MOST_POINTS = 200
_KEEPING = "keeping"

T = TypeVar("T")


class ShadowCheckpoints:
    """Implements Checkpoints. `days` 0: off. `most_bytes`: on disk, after which the oldest points go."""

    def __init__(
        self, folder: Path, bounds: Bounds, notes: Sequence[Path], *, days: int = 14, most_bytes: int = 2_000_000_000
    ) -> None:
        self._folder = folder
        self._grounds = Grounds(bounds, notes)
        self._days = days
        self._most_bytes = most_bytes
        self._points = PointFiles(folder / "points")
        self._projects: dict[str, Project] = {}
        self._too_large: dict[str, float] = {}
        self._lock = threading.RLock()  # the points and the list of projects
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="nanobot-undo")

    @property
    def off_because(self) -> str:
        if not self._days:
            return texts.UNDO_OFF
        return "" if shutil.which("git") else texts.NO_GIT

    async def before_turn(self, session_id: str, turn: int, since: float, places: Sequence[Path]) -> Point:
        return await self._in_thread(lambda: self._before_turn(session_id, turn, since, places))

    async def before_undo(self, point: Point, cause: str) -> Point:
        return await self._in_thread(lambda: self._before_undo(point, cause))

    async def points(self, session_id: str) -> Sequence[Point]:
        return await self._in_thread(lambda: [r.point for r in of_session(self._records(), session_id)])

    async def changes(self, point: Point) -> Changes:
        return await self._in_thread(lambda: self._changes(self._record(point)))

    async def mark(self, used: Sequence[Point], cause: str) -> None:
        await self._in_thread(lambda: self._mark(used, cause))

    async def restore(self, point: Point) -> Restored:
        return await self._in_thread(lambda: self._restore(self._record(point)))

    async def forget(self, session_id: str) -> None:
        await self._in_thread(lambda: self._forget_session(session_id))

    async def tidy(self) -> None:
        await self._in_thread(self._tidy)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    # ------------------------------------------------------------ in a thread

    def _before_turn(self, session_id: str, turn: int, since: float, places: Sequence[Path]) -> Point:
        certain = self._grounds.certain(places)
        with self._lock:
            made = [r for r in of_session(self._records(), session_id) if _is_of(r.point, turn, since)]
        old = made[-1] if made else None
        kept = {held.ground.key for held in old.held} if old else set[str]()
        missing = [ground for ground in certain if ground.key not in kept]
        if old and not missing:
            return old.point
        held = [Held(ground, self._project(ground).take(CERTAIN_SECONDS)) for ground in missing]
        if old:
            return self._save(replace(old, held=(*old.held, *held)))
        others, uncovered = self._others(certain)
        point = Point(new_id(), session_id, turn, time.time())
        return self._save(Record(point, (*held, *others), uncovered))

    def _others(self, certain: Sequence[Ground]) -> tuple[list[Held], tuple[str, ...]]:
        held: list[Held] = []
        left_out: list[str] = []
        deadline = time.monotonic() + OTHERS_SECONDS
        for ground in self._grounds.others(certain):
            left = deadline - time.monotonic()
            if left <= 0 or self._too_large.get(ground.key, 0.0) > time.monotonic():
                left_out.append(ground.top.name)
                continue
            try:
                held.append(Held(ground, self._project(ground).take(left)))
            except CheckpointError as error:
                logger.info("no undo of {}: {}", ground.top, error)
                self._too_large[ground.key] = time.monotonic() + GIVE_UP_SECONDS
                left_out.append(ground.top.name)
        return held, tuple(left_out)

    def _before_undo(self, point: Point, cause: str) -> Point:
        with self._lock:
            made = [r.point for r in of_session(self._records(), point.session_id) if r.point.cause == cause]
        if made:
            return made[-1]
        record = self._record(point)
        held = tuple(Held(h.ground, self._project(h.ground).take(CERTAIN_SECONDS)) for h in record.held)
        fresh = Point(new_id(), point.session_id, point.turn, time.time(), "undo", cause)
        return self._save(Record(fresh, held, record.uncovered))

    def _changes(self, record: Record) -> Changes:
        files: list[Change] = []
        git, uncovered = 0, list(record.uncovered)
        for held in record.held:
            project = self._project(held.ground)
            with project.lock:
                now = project.take(CERTAIN_SECONDS)
                uncovered += [self._shown(held.ground, path) for path in project.meta(held.commit).skipped]
                found = list(self._compared(project, held, now))
            files += [change for change in found if not _is_git(change.path)]
            git += sum(_is_git(change.path) for change in found)
        uncovered += self._grounds.made_since([held.ground for held in record.held], record.uncovered)
        return Changes(files, git, uncovered, digest_of(files, git))

    def _compared(self, project: Project, held: Held, now: str) -> Iterator[Change]:
        counts = project.shadow.line_counts(held.commit, now) if held.commit != now else {}
        for change in project.differences(held.commit, now):
            kind = "added" if not change.old else "removed" if not change.new else "changed"
            plus, minus = counts.get(change.path, (None, None))
            yield Change(self._shown(held.ground, change.path), kind, plus, minus)

    def _shown(self, ground: Ground, path: str) -> str:
        return path if ground.flat or ground.names else f"{ground.top.name}/{path}"

    def _restore(self, record: Record) -> Restored:
        done = 0
        failed: list[str] = []
        for held in record.held:
            project = self._project(held.ground)
            with project.lock:
                now = project.take(CERTAIN_SECONDS)
                result = restore(project, held.commit, now, self._grounds.masks(held.ground))
            done += result.files
            failed += [self._shown(held.ground, path) for path in result.failed]
        return Restored(done, tuple(failed))

    def _mark(self, used: Sequence[Point], cause: str) -> None:
        with self._lock:
            for point in used:
                self._save(marked(self._record(point), cause))

    def _forget_session(self, session_id: str) -> None:
        with self._lock:
            for record in of_session(self._records(), session_id):
                self._points.remove(record.point.id)

    def _tidy(self) -> None:
        """Points that are too old, too many or too large go, and then whatever only they needed."""
        with self._lock:
            oldest = time.time() - self._days * 86_400
            records = list(self._records().values())
            gone = [r for n, r in enumerate(reversed(records)) if n >= MOST_POINTS or r.point.made < oldest]
            for record in gone:
                self._points.remove(record.point.id)
        self._collect()
        while (size := _size(self._folder)) > self._most_bytes and self._records():
            with self._lock:
                half = list(self._records())[: max(1, len(self._records()) // 2)]
                logger.info("undo takes {} bytes: {} point(s) are forgotten", size, len(half))
                for point_id in half:
                    self._points.remove(point_id)
            self._collect()

    def _collect(self) -> None:
        with self._lock:
            held = [h for record in self._records().values() for h in record.held]
            needed: dict[str, set[str]] = {}
            for one in held:
                needed.setdefault(_store_name(one.ground), set()).add(one.commit)
            grounds = {_store_name(one.ground): one.ground for one in held}
        for store in [folder for folder in (self._folder / _KEEPING).glob("*") if folder.is_dir()]:
            try:
                if ground := grounds.get(store.name):
                    self._project(ground).forget_all_but(needed[store.name])
                else:
                    self._forget(store)
            except (CheckpointError, OSError) as error:
                logger.warning("undo cannot tidy {}: {}", store.name, error)

    def _forget(self, store: Path) -> None:
        """No point holds it any more. A turn that takes a state right now has made the project known."""
        with self._lock:
            project = next((p for p in self._projects.values() if p.shadow.folder == store), None)
            if project is None:
                shutil.rmtree(store, ignore_errors=True)
                return
        project.forget_all_but(set())

    def _project(self, ground: Ground) -> Project:
        with self._lock:
            if ground.key not in self._projects:
                store = self._folder / _KEEPING / _store_name(ground)
                self._projects[ground.key] = Project(ground, store, lambda: self._grounds.masks(ground))
            return self._projects[ground.key]

    def _records(self) -> dict[str, Record]:
        with self._lock:
            return dict(self._points.all())

    def _record(self, point: Point) -> Record:
        """Raises CheckpointError when it is not kept any more."""
        record = self._records().get(point.id)
        if record is None:
            raise CheckpointError(texts.POINT_GONE)
        return record

    def _save(self, record: Record) -> Point:
        with self._lock:
            try:
                self._points.save(record)
            except OSError as error:
                raise CheckpointError(texts.store_broken(error.strerror or "")) from error
        return record.point


def _is_of(point: Point, turn: int, since: float) -> bool:
    return point.kind == "turn" and point.turn == turn and point.made >= since


def _is_git(path: str) -> bool:
    return ".git" in path.split("/")


def _store_name(ground: Ground) -> str:
    return hashlib.sha256(ground.key.encode("utf-8", "surrogateescape")).hexdigest()[:20]


def _size(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        with suppress(OSError):
            total += path.lstat().st_size
    return total
