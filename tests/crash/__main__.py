"""What comes of a server that dies. Linux.

python3 dev.py crash [scenario…]        at every point of every scenario
python3 dev.py crash random [n] [seed]  n times at random moments, while fifty chats write
python3 dev.py crash outage [seconds]   the network to Telegram goes for so long (an hour)
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from pathlib import Path

from tests.crash import outage
from tests.crash.points import all_deaths, die_at
from tests.crash.random_kills import RandomKills
from tests.crash.scenarios import SCENARIOS


async def main(names: list[str]) -> int:
    scenarios = [s for s in SCENARIOS if not names or s.name in names]
    began = time.monotonic()
    deaths = await all_deaths(scenarios)
    print(f"{len(scenarios)} escenarios, {len(deaths)} muertes", flush=True)
    outcomes = await die_at(deaths, report=True)
    problems = [p for outcome in outcomes.values() for p in outcome.problems]
    died = sum(outcome.crashed for outcome in outcomes.values())
    count = {
        "mensajes perdidos": sum("answered" in p or "still open" in p or "has 0 answers" in p for p in problems),
        "herramientas repetidas": sum("the tool ran" in p for p in problems),
        "respuestas repetidas sin marca": sum("unmarked" in p for p in problems),
        "marcadas fuera de su sitio": sum("marked as possible" in p for p in problems),
        "otros problemas": 0,
    }
    count["otros problemas"] = len(problems) - sum(count.values())
    marked = sum(outcome.marked > 0 for outcome in outcomes.values())
    print(f"murió en {died} de {len(deaths)} (por los demás no pasó esa vez); con repetición marcada: {marked}")
    print(" · ".join(f"{name}: {n}" for name, n in count.items()), f"· {time.monotonic() - began:.0f} s")
    return 1 if problems else 0


async def at_random(kills: int = 1000, seed: int = 0) -> int:
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="crash-") as folder:
        report = await RandomKills(Path(folder), seed).live(kills)
    print(f"{report} · {time.monotonic() - began:.0f} s", *report.problems, sep="\n")
    return 1 if report.problems else 0


async def without_network(seconds: int = 3600) -> int:
    with tempfile.TemporaryDirectory(prefix="crash-") as folder:
        report = await outage.live(Path(folder), seconds)
    print(report, *report.problems, sep="\n")
    return 1 if report.problems else 0


if __name__ == "__main__":
    kind, *rest = sys.argv[1:] or [""]
    special = {"random": at_random, "outage": without_network}.get(kind)
    sys.exit(asyncio.run(special(*map(int, rest)) if special else main(sys.argv[1:])))
