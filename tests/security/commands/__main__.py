"""`python -m tests.security.commands [layer|control …]`: the whole corpus, and what got through."""

from __future__ import annotations

import sys
import time

from tests.security import layers
from tests.security.commands import corpus, runner


def main(words: list[str]) -> None:
    asked = set(words)
    only = next((word[1:] for word in words if word.startswith("=")), "")
    show = "show" in asked
    cases = [case for case in corpus.ATTACKS if only in case.id]
    tasks = [case for case in corpus.WORK if only in case.name or "work" in asked]
    uid = layers.SERVER if layers.ROOT else 0
    if "control" in asked:
        began = time.monotonic()
        checked = [case for case in cases if case.how not in ({"alone"} if layers.ROOT else {"alone", "real", "other"})]
        trials = runner.try_all(checked, lambda case: runner.control(uid, case))
        weak = [trial for trial in trials if getattr(trial.case, "effect", "") not in trial.effects]
        print(f"control: {len(trials) - len(weak)}/{len(trials)} {time.monotonic() - began:.1f} s")
        for trial in weak:
            print("   ", trial)
    for cell, name in zip(layers.CELLS, layers.IDS, strict=True):
        if name not in asked and "all" not in asked:
            continue
        with runner.layer(*cell) as where:
            began = time.monotonic()
            trials = runner.try_all(cases, lambda case: runner.attack(where, case))
            done = runner.try_all(tasks, lambda case: runner.work(where, case))
            bad = [trial for trial in done if runner.failed(trial)]
            print(f"{name}: ordinary {len(done) - len(bad)}/{len(done)}")
            for trial in bad:
                print("   ", trial)
            through = [trial for trial in trials if show or trial.effects]
            print(f"{name}: {len(trials) - len(through)}/{len(trials)} {time.monotonic() - began:.1f} s")
            for trial in through:
                print("   ", trial)


main(sys.argv[1:])
