"""The points that can be gone back to: one small file each, on disk before anything is changed."""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from loguru import logger

from app.core.contracts import Point
from app.safety.undo.walk import Ground


@dataclass(frozen=True, slots=True)
class Held:
    """What a point holds of one project, and what it could not: in words."""

    ground: Ground
    commit: str


@dataclass(frozen=True, slots=True)
class Record:
    point: Point
    held: tuple[Held, ...]
    uncovered: tuple[str, ...] = ()


class PointFiles:
    """Used by one thread at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._records: dict[str, Record] | None = None

    def all(self) -> Mapping[str, Record]:
        """The oldest first."""
        if self._records is None:
            self._records = {}
            for file in sorted(self._folder.glob("*.json")) if self._folder.is_dir() else []:
                try:
                    record = _parse(json.loads(file.read_bytes()))
                except (OSError, ValueError, KeyError, TypeError) as error:
                    logger.warning("point {} cannot be read: {}", file.name, error)
                else:
                    self._records[record.point.id] = record
        return self._records

    def save(self, record: Record) -> None:
        """Synced when it returns. Raises OSError."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = self._folder / f"{record.point.id}.json"
        temporary = file.with_suffix(f".{secrets.token_hex(4)}")
        try:
            with temporary.open("wb") as opened:
                opened.write(json.dumps(_plain(record)).encode())
                opened.flush()
                os.fsync(opened.fileno())
            temporary.replace(file)
        finally:
            temporary.unlink(missing_ok=True)
        _sync(self._folder)
        self._known()[record.point.id] = record

    def remove(self, point_id: str) -> None:
        with suppress(FileNotFoundError):
            (self._folder / f"{point_id}.json").unlink()
        self._known().pop(point_id, None)

    def _known(self) -> dict[str, Record]:
        self.all()
        assert self._records is not None
        return self._records


def new_id() -> str:
    """Sorts by time."""
    return f"{time.time_ns() // 1_000_000:012x}-{secrets.token_hex(3)}"


def marked(record: Record, cause: str) -> Record:
    return replace(record, point=replace(record.point, used_by=cause))


def of_session(records: Mapping[str, Record], session_id: str) -> Sequence[Record]:
    return [record for record in records.values() if record.point.session_id == session_id]


def _plain(record: Record) -> dict[str, Any]:
    held = [
        {"top": str(h.ground.top), "flat": h.ground.flat, "names": h.ground.names, "commit": h.commit}
        for h in record.held
    ]
    return {"point": asdict(record.point), "held": held, "uncovered": record.uncovered}


def _parse(data: dict[str, Any]) -> Record:
    held = tuple(Held(Ground(Path(h["top"]), h["flat"], tuple(h["names"])), str(h["commit"])) for h in data["held"])
    return Record(Point(**data["point"]), held, tuple(data["uncovered"]))


def _sync(folder: Path) -> None:
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
