"""A bounded sample of `python3 dev.py crash outage`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.crash import outage


@pytest.mark.timeout(120)
async def test_what_was_written_without_network_is_delivered_in_order_when_it_returns(tmp_path: Path) -> None:
    report = await outage.live(tmp_path, seconds=3)
    assert report.problems == []
