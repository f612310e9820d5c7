"""One project: its files on the disk, and its states in a shadow repository. What has not changed is not read again."""

from __future__ import annotations

import hashlib
import io
import json
import os
import secrets
import stat
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from loguru import logger

from app.core import texts_undo as texts
from app.core.errors import CheckpointError
from app.safety.undo.shadow import Importer, RawChange, Shadow
from app.safety.undo.walk import Found, Ground, Masks, Walk

_SMALL = 4_000_000  # bytes that are held in memory
_RACY_NS = 2_000_000_000  # a file that changed this recently may change again with the same times
_LINK, _PLAIN, _PROGRAM = 0o120000, 0o100644, 0o100755


@dataclass(frozen=True, slots=True)
class Meta:
    """What git's trees do not hold: permissions, empty folders, and what a state leaves out."""

    modes: dict[str, int] = field(default_factory=dict[str, int])
    folders: dict[str, int] = field(default_factory=dict[str, int])
    skipped: tuple[str, ...] = ()

    def dump(self) -> bytes:
        data = {"modes": self.modes, "folders": self.folders, "skipped": self.skipped}
        return json.dumps(data, sort_keys=True, separators=(",", ":")).encode()

    @classmethod
    def load(cls, raw: bytes) -> Meta:
        data: dict[str, Any] = json.loads(raw)
        return cls(data["modes"], data["folders"], tuple(data["skipped"]))

    def leaves_out(self, path: str) -> bool:
        return any(path == skipped or path.startswith(f"{skipped}/") for skipped in self.skipped)


# mode, permissions, size, mtime, ctime, inode, sha
Seen = tuple[int, int, int, int, int, int, str]


@dataclass
class _Known:
    """The newest state, as it was read from the disk."""

    commit: str = ""
    tree: str = ""
    meta: bytes = b""
    files: dict[str, Seen] = field(default_factory=dict[str, Seen])


class Project:
    """Thread-safe: one state is taken, or brought back, at a time."""

    def __init__(self, ground: Ground, store: Path, masks: Callable[[], Masks]) -> None:
        self.ground = ground
        self.lock = threading.RLock()
        self.shadow = Shadow(store)
        self._masks = masks
        self._cache = store / "nanobot-seen.json"
        self._known: _Known | None = None

    def take(self, seconds: float) -> str:
        """The commit of the present state, synced. Raises CheckpointError."""
        with self.lock:
            known = self._load()
            importer = Importer(self.shadow)
            try:
                return self._take(known, importer, time.monotonic() + seconds)
            except OSError as error:
                raise CheckpointError(texts.store_broken(str(error))) from error
            finally:
                if importer.abandon():
                    self.shadow.drop_unfinished()

    def differences(self, old: str, new: str) -> list[RawChange]:
        """Without what one of both leaves out."""
        if old == new:
            return []
        metas = (self.meta(old), self.meta(new))
        found = self.shadow.differences(old, new)
        return [change for change in found if not any(meta.leaves_out(change.path) for meta in metas)]

    def meta(self, commit: str) -> Meta:
        return Meta.load(self.shadow.meta(commit))

    def forget_all_but(self, commits: set[str]) -> None:
        with self.lock:
            if not (self.shadow.folder / "HEAD").exists():
                return
            newest = self._load().commit  # perhaps of a point that is being made right now
            self.shadow.keep_only(commits | {newest} if newest else commits)

    def _take(self, known: _Known, importer: Importer, deadline: float) -> str:
        walk = Walk(self.ground, self._masks(), deadline)
        reader = _Reader(known.files, importer)
        for found in walk:
            with suppress(FileNotFoundError):
                reader.look(found)
        gone = [(0, "", path) for path in known.files.keys() - reader.seen.keys()]
        modes = {p: s[1] for p, s in reader.seen.items() if s[0] != _LINK and s[1] != _usual(s[0])}
        meta = Meta(modes, walk.folders, tuple(sorted(walk.skipped))).dump()
        if known.commit and not gone and not reader.changes and meta == known.meta:
            known.files = reader.seen
            return known.commit
        name = f"{time.time_ns():x}-{secrets.token_hex(3)}"
        commit = importer.commit(name, known.tree, [*gone, *reader.changes], meta)
        importer.finish()
        _sync_folders(self.shadow.folder)
        self._known = _Known(commit, self.shadow.tree(commit), meta, reader.seen)
        self._save(self._known)
        return commit

    def _load(self) -> _Known:
        if self._known is None:
            self._known = _Known()
            try:
                data: dict[str, Any] = json.loads(self._cache.read_bytes())
                self.shadow.run("cat-file", "-e", data["commit"])
                files: dict[str, Seen] = {path: tuple(seen) for path, seen in data["files"].items()}
                self._known = _Known(data["commit"], data["tree"], data["meta"].encode(), files)
            except FileNotFoundError:
                pass
            except CheckpointError as error:
                self._set_aside(str(error))
            except (OSError, ValueError, KeyError) as error:
                logger.warning("what is known of {} is read anew: {}", self.ground.top, error)
        return self._known

    def _set_aside(self, reason: str) -> None:
        """A store that git cannot read would let nothing be kept any more; tidying removes it."""
        logger.error("what was kept of {} is broken and is set aside: {}", self.ground.top, reason)
        folder = self.shadow.folder
        with suppress(OSError):
            folder.rename(folder.with_name(f"{folder.name}.broken-{secrets.token_hex(4)}"))

    def _save(self, known: _Known) -> None:
        """Only saves reading: what is lost here is read anew."""
        temporary = self._cache.with_suffix(f".{secrets.token_hex(4)}")
        data = {"commit": known.commit, "tree": known.tree, "meta": known.meta.decode(), "files": known.files}
        with suppress(OSError):
            temporary.write_text(json.dumps(data, separators=(",", ":")))
            temporary.replace(self._cache)
        temporary.unlink(missing_ok=True)


class _Reader:
    """Takes in what is new; `seen` is the whole of the present, `changes` what differs from the known state."""

    def __init__(self, known: dict[str, Seen], importer: Importer) -> None:
        self.seen: dict[str, Seen] = {}
        self.changes: list[tuple[int, str, str]] = []
        self._known = known
        self._stored = {seen[6] for seen in known.values()}
        self._importer = importer
        self._fresh = time.time_ns() - _RACY_NS

    def look(self, found: Found) -> None:
        info, old = found.info, self._known.get(found.path)
        permissions = stat.S_IMODE(info.st_mode) & 0o777
        mode = _LINK if stat.S_ISLNK(info.st_mode) else _PROGRAM if permissions & 0o100 else _PLAIN
        times = (info.st_size, info.st_mtime_ns, info.st_ctime_ns, info.st_ino)
        if old and old[2:6] == times and (old[0], old[1]) == (mode, permissions):
            self.seen[found.path] = old
            return
        sha, data, stable = self._content(found, mode)
        settled = stable and max(times[1], times[2]) < self._fresh
        ctime = times[2] if settled else 0  # 0: to be read again next time
        self.seen[found.path] = (mode, permissions, times[0], times[1], ctime, times[3], sha if stable else "")
        if old is None or not stable or (old[0], old[6]) != (mode, sha):
            self.changes.append((mode, data, found.path))

    def _content(self, found: Found, mode: int) -> tuple[str, str, bool]:
        """(sha, what a tree may name it by, whether it stood still meanwhile)."""
        if mode == _LINK:
            data = found.target()
            return *self._small(data), True
        with found.opened() as file:
            size = os.fstat(file.fileno()).st_size
            if size <= _SMALL:
                return *self._small(file.read(size)), True
            sha = _blob_hash(size)
            while chunk := file.read(1 << 20):
                sha.update(chunk)
            if sha.hexdigest() in self._stored:
                return sha.hexdigest(), sha.hexdigest(), True
            file.seek(0)
            mark = self._importer.blob(file, size)
            after = os.fstat(file.fileno())
            return sha.hexdigest(), mark, (after.st_size, after.st_ctime_ns) == (size, found.info.st_ctime_ns)

    def _small(self, data: bytes) -> tuple[str, str]:
        sha = _blob_hash(len(data), data).hexdigest()
        return (sha, sha) if sha in self._stored else (sha, self._importer.blob(io.BytesIO(data), len(data)))


def _blob_hash(size: int, data: bytes = b"") -> hashlib._Hash:  # pyright: ignore[reportPrivateUsage]
    return hashlib.sha1(b"blob %d\0" % size + data, usedforsecurity=False)


def _usual(mode: int) -> int:
    return 0o755 if mode == _PROGRAM else 0o644


def _sync_folders(shadow: Path) -> None:
    """So that the names are there after a power cut too."""
    if os.name == "posix":
        for folder in (shadow / "objects/pack", shadow / "refs/points", shadow / "refs", shadow):
            with suppress(FileNotFoundError):
                descriptor = os.open(folder, os.O_RDONLY)
                try:
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)
