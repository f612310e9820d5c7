"""The stages of `dev.py test` and `check`: each a command, timed; a failing one does not stop the others."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tools.environment import ROOT

TESTS_LIMIT = 13 * 60  # seconds; the whole run has to fit into 15 minutes


@dataclass(frozen=True)
class Stage:
    name: str
    command: list[str]


@dataclass(frozen=True)
class Outcome:
    name: str
    passed: bool
    seconds: float

    def __str__(self) -> str:
        return f"{'✓' if self.passed else '✗'} {self.name} {self.seconds:.1f} s"


def static_stages(python: Path) -> list[Stage]:
    run = [str(python), "-m"]
    contracts = "from importlinter.cli import lint_imports_command as lint; lint(['--no-logo'])"
    return [
        Stage("formato", [*run, "ruff", "format", "--check", "."]),
        Stage("estilo", [*run, "ruff", "check", "--output-format", "concise", "."]),
        Stage("tipos", [*run, "basedpyright", "--pythonpath", str(python)]),
        *[
            Stage(f"tipos {name}", [*run, "basedpyright", "--pythonpath", str(python), "--pythonplatform", name, "app"])
            for name in ("Windows", "Darwin")  # what neither has must not be used there
        ],
        Stage("importaciones", [str(python), "-c", contracts]),
        Stage("tamaños", [*run, "tools.sizes"]),
        Stage("dependencias", [*run, "tools.lock"]),
    ]


def test_stage(python: Path, arguments: list[str]) -> Stage:
    # One file stays in one worker: its servers start once. They begin in the order of tests/plugins/long_first.py.
    parallel = ["-n", "auto", "--dist", "loadfile", "--no-loadscope-reorder"]
    return Stage("pruebas", [str(python), "-m", "pytest", *(arguments or parallel)])


def run_all(stages: list[Stage], extra_environment: Mapping[str, str] | None = None, missing: str = "") -> int:
    """Runs every stage and prints a last line with all of them. 0 when all passed, else 1.

    `missing` names the tools without which some tests were skipped.
    """
    environment = {**os.environ, **(extra_environment or {}), "PYTHONUTF8": "1"}
    outcomes: list[Outcome] = []
    for stage in stages:
        print(f"\n── {stage.name} ──", flush=True)
        started = time.monotonic()
        passed = run(stage, environment)
        outcomes.append(Outcome(stage.name, passed, time.monotonic() - started))
        print(outcomes[-1], flush=True)
    total = sum(outcome.seconds for outcome in outcomes)
    failed = [outcome.name for outcome in outcomes if not outcome.passed]
    verdict = f"FALLA: {', '.join(failed)}" if failed else "TODO BIEN"
    verdict += f" (SIN {missing}: pruebas saltadas)" if missing else ""
    print(f"\n{verdict} · {' · '.join(map(str, outcomes))} · total {total:.1f} s", flush=True)
    return 1 if failed else 0


def run(stage: Stage, environment: Mapping[str, str]) -> bool:
    try:
        done = subprocess.run(stage.command, cwd=ROOT, env=dict(environment), timeout=TESTS_LIMIT, check=False)
    except subprocess.TimeoutExpired:
        print(f"{stage.name}: interrumpido a los {TESTS_LIMIT} s", flush=True)
        return False
    return done.returncode == 0
