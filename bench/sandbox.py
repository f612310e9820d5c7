"""What confinement costs: milliseconds of a command that does nothing, per layer; and finding out which layer holds."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from app.core.contracts import RunLimits
from app.safety.environment import clean_environment
from app.safety.ground import Ground
from app.safety.helper import Helper
from app.safety.linux import LinuxBackend
from app.safety.verdict import Kind, Verdict

_TIMES = 50


async def sandbox(folder: Path) -> list[tuple[str, str]]:
    home, root = folder / "home", folder / "proyectos"
    (home / "tmp").mkdir(parents=True)
    root.mkdir()
    helper = Helper()
    backend = LinuxBackend(Ground(home, clean_environment(home, "UTC", []), [root], [], []), helper)
    began = time.perf_counter()
    verdict = backend.choose("auto")
    rows = [("elegir la capa, con el ayudante frío", f"{(time.perf_counter() - began) * 1000:.0f} ms: {verdict.kind}")]
    layers: Sequence[Kind] = ("none", "landlock", "bubblewrap")
    for kind in layers:
        taken = sorted(_once(backend, Verdict("auto", kind), root) for _ in range(_TIMES))
        rows.append(
            (f"una orden vacía, {kind} (mediana, p90)", f"{median(taken):.1f} ms, {taken[-_TIMES // 10]:.1f} ms")
        )
    helper.close()
    return rows


def _once(backend: LinuxBackend, verdict: Verdict, root: Path) -> float:
    began = time.perf_counter()
    backend.job(verdict, ["true"], root, RunLimits()).execute()
    return (time.perf_counter() - began) * 1000
