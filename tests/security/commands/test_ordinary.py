"""A developer's ordinary commands work on every layer, and Nanobot has nothing to say about them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.plugins.figures import PREFIX
from tests.security.commands import corpus, runner
from tests.security.commands.sample import share
from tests.security.layers import CELLS, IDS

Record = Callable[[str, object], None]
pytestmark = [pytest.mark.skipif(not CELLS, reason="Linux has these layers"), pytest.mark.timeout(240)]


@pytest.mark.parametrize("cell", range(len(CELLS)), ids=IDS)
def test_ordinary_work_is_done(cell: int, record_property: Record) -> None:
    with runner.layer(*CELLS[cell]) as layer:
        trials = runner.try_all(share(corpus.WORK, cell), lambda case: runner.work(layer, case))
    failed = [trial for trial in trials if runner.failed(trial)]
    record_property(f"{PREFIX}ordinary commands that work, {IDS[cell]}", (len(trials) - len(failed), len(trials)))
    assert not failed, "\n".join(map(str, failed))


def test_there_is_a_day_of_it() -> None:
    assert len(corpus.WORK) >= 95
