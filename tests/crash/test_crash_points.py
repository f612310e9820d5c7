"""A bounded sample of `python3 dev.py crash`: one death of every kind."""

from __future__ import annotations

import sys

import pytest

from tests.crash.points import all_deaths, die_at, one_of_each_kind

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the killer asks /proc for names")


@pytest.mark.timeout(300)
async def test_one_death_of_every_kind_loses_and_repeats_nothing() -> None:
    deaths = one_of_each_kind(await all_deaths())
    outcomes = await die_at(deaths)
    problems = [f"{death}: {problem}" for death, outcome in outcomes.items() for problem in outcome.problems]
    assert problems == []
    assert sum(outcome.crashed for outcome in outcomes.values()) > len(deaths) * 0.8
