"""Which points there are, a sample of them, and dying at each."""

from __future__ import annotations

import asyncio
import os
import re
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.crash.scenarios import SCENARIOS, Scenario
from tests.crash.world import Outcome, World

MOMENTS = {
    "write": ("before", "torn", "after"),
    "sync": ("after",),
    "file": ("before", "after"),
    "http": ("before", "after"),
    "run": ("before", "after"),
}


@dataclass(frozen=True)
class Death:
    scenario: Scenario
    at: str

    def __str__(self) -> str:
        return f"{self.scenario.name}: {self.at}"

    @property
    def kind(self) -> str:
        """What it has in common with others: no numbers, no session names."""
        return re.sub(r"#\d+|\b(telegram|web)_\w+\.jsonl:", "", self.at)


async def lived(scenario: Scenario, at: str = "") -> Outcome:
    with tempfile.TemporaryDirectory(prefix="crash-") as folder:
        return await World(scenario, Path(folder), at).live()


async def all_deaths(scenarios: Iterable[Scenario] = SCENARIOS) -> list[Death]:
    """From one undisturbed life of each scenario, which must itself be without problems."""
    deaths: list[Death] = []
    for scenario in scenarios:
        outcome = await lived(scenario)
        if outcome.problems or outcome.marked:
            raise AssertionError(f"{scenario.name}, undisturbed: {outcome.problems}")
        deaths += [Death(scenario, f"{p}@{m}") for p in outcome.points for m in MOMENTS[p.partition(":")[0]]]
    return deaths


def one_of_each_kind(deaths: Sequence[Death]) -> list[Death]:
    """The last of each kind: the most has happened before it."""
    return list({death.kind: death for death in deaths}.values())


async def die_at(deaths: Sequence[Death], report: bool = False) -> dict[Death, Outcome]:
    """As many at the same time as there are processors."""
    outcomes: dict[Death, Outcome] = {}
    slots = asyncio.Semaphore(os.cpu_count() or 2)

    async def die(death: Death) -> None:
        async with slots:
            outcomes[death] = await lived(death.scenario, death.at)
        if report and outcomes[death].problems:
            print(f"✗ {death}\n  " + "\n  ".join(outcomes[death].problems), flush=True)
        if report and len(outcomes) % 50 == 0:
            print(f"… {len(outcomes)} de {len(deaths)}", flush=True)

    await asyncio.gather(*map(die, deaths))
    return outcomes
