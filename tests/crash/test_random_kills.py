"""A bounded sample of `python3 dev.py crash random 1000`."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.crash.random_kills import RandomKills

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")


@pytest.mark.timeout(180)
async def test_random_kills_under_load_lose_and_repeat_nothing(tmp_path: Path) -> None:
    report = await RandomKills(tmp_path, seed=1).live(kills=8)
    assert report.problems == []
    assert report.messages > 50
