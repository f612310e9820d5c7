"""The watch over what runs later, whatever happens to it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from app.core.contracts import CommandResult
from app.safety import planted
from app.safety.later import Scene
from app.safety.planted import Places, WatchedJob

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="folders are opened by descriptor")


class Planting:
    """A job that leaves an .envrc."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / ".envrc"

    def execute(self) -> CommandResult:
        self._file.write_text("id\n")
        return CommandResult(0, "", 0.0)

    def stop(self) -> None: ...

    def kill(self) -> None: ...


def _breaks(_place: Path, _changed: Scene, _since: int) -> set[str]:
    raise RuntimeError("git's answer made no sense")


def test_a_check_that_breaks_watches_no_longer(tmp_path: Path) -> None:
    """Otherwise what the user writes from then on would be taken for a command's."""
    places = Places([tmp_path], tmp_path)
    with pytest.raises(RuntimeError):
        WatchedJob(Planting(tmp_path), places, _breaks).execute()
    assert planted._watched == {}  # pyright: ignore[reportPrivateUsage]
    (tmp_path / ".envrc").write_text("del usuario\n")
    done = WatchedJob(Planting(tmp_path), places, lambda _, changed, __: set(changed)).execute()
    assert done.output == ""
