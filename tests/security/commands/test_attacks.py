"""Attack commands on every layer that this machine offers: none has an effect outside; without a guard each has."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from app.core.contracts import RunLimits
from tests.plugins.figures import PREFIX
from tests.security.commands import corpus, runner
from tests.security.commands.arena import arena, base_folder
from tests.security.commands.runner import Layer
from tests.security.commands.sample import share
from tests.security.layers import CELLS, IDS, ROOT, SERVER

Record = Callable[[str, object], None]
pytestmark = [pytest.mark.skipif(not CELLS, reason="Linux has these layers"), pytest.mark.timeout(240)]
ROUNDS = 8


@pytest.fixture(scope="module", params=range(len(CELLS)), ids=IDS)
def cell(request: pytest.FixtureRequest) -> int:
    return request.param


@pytest.fixture(scope="module")
def layer(cell: int) -> Iterator[Layer]:
    with runner.layer(*CELLS[cell]) as made:
        yield made


def test_nothing_gets_through(layer: Layer, cell: int, record_property: Record) -> None:
    cases = share(corpus.ATTACKS, cell)
    trials = runner.try_all(cases, lambda case: runner.attack(layer, case))
    through = [trial for trial in trials if trial.effects]
    record_property(f"{PREFIX}attacks stopped, {IDS[cell]}", (len(trials) - len(through), len(trials)))
    assert not through, "\n".join(map(str, through))


@pytest.mark.parametrize("part", range(6))
def test_without_a_guard_they_succeed(part: int) -> None:
    """The positive control."""
    possible = [case for case in corpus.ATTACKS if case.how != "alone" and (ROOT or case.how not in {"real", "other"})]
    trials = runner.try_all(possible[part::6], lambda case: runner.control(SERVER if ROOT else 0, case))
    weak = [trial for trial in trials if trial.case.effect not in trial.effects]  # type: ignore[union-attr]
    again = runner.try_all([trial.case for trial in weak], lambda case: runner.control(SERVER if ROOT else 0, case))  # type: ignore[arg-type]
    weak = [trial for trial in again if trial.case.effect not in trial.effects]  # type: ignore[union-attr]  a busy machine
    assert not weak, "\n".join(map(str, weak))


def test_the_corpus_is_large_and_told_apart() -> None:
    assert len(corpus.ATTACKS) >= 450
    assert Counter(case.id for case in corpus.ATTACKS).most_common(1)[0][1] == 1
    assert sum(case.how == "alone" for case in corpus.ATTACKS) < 30  # those without a control


def test_what_it_costs(layer: Layer, cell: int, record_property: Record) -> None:
    """Milliseconds that a layer adds to a command."""
    with arena(layer.uid, base_folder()) as place:
        plain = Layer("none", layer.uid, layer.helper)

        def once(where: Layer) -> float:
            began = time.perf_counter()
            assert where.run(place, "true", RunLimits())[0] == 0
            return time.perf_counter() - began

        once(layer)
        once(plain)
        added = sorted(once(layer) - once(plain) for _ in range(ROUNDS))[ROUNDS // 2]
    record_property(f"{PREFIX}added per command, {IDS[cell]} ms", (added * 1000, 1))
    assert added < 1
