"""The corpus of paths and the races for them, judged by effect: see paths/trial.py.

Each way of resolving, for root and for another user: whoever runs this, and as root one more.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.safety import openat2
from tests.plugins.figures import WHOLE, Record

ROOT = Path(__file__).parents[2]
pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="namespaces, renameat2 and /proc are Linux's"),
    pytest.mark.timeout(160),  # about 15 s where the machine does nothing else
]

USERS = [0, 64001] if sys.platform == "linux" and os.geteuid() == 0 else [os.geteuid() if os.name == "posix" else 0]
# The races take their full time for the first user: another one changes nothing about them.
CELLS = [(way, uid, 1.0 if uid == USERS[0] else 0.2) for uid in USERS for way in ("openat2", "walk")]
IDS = [f"{way}-{'root' if uid == 0 else 'user'}" for way, uid, _ in CELLS]
NEEDS_ROOT = 8  # cases: mounts

Outcome = dict[str, Any]


@pytest.fixture(scope="module", params=CELLS, ids=IDS)
def outcome(request: pytest.FixtureRequest) -> Iterator[Outcome]:
    way, uid, scale = request.param
    if way == "openat2" and not openat2.works():
        pytest.skip("this kernel has no openat2")
    memory = Path("/dev/shm")
    folder = tempfile.mkdtemp(prefix="nanobot-rutas-", dir=memory if os.access(memory, os.W_OK) else None)
    try:
        command = [sys.executable, "-m", "tests.security.paths.trial", way, str(uid), str(scale), folder]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=150, check=False)
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        assert found["uid"] == uid
        yield found
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def test_nothing_outside_is_read_listed_or_changed(outcome: Outcome, record_property: Record) -> None:
    trials = [trial for trial in outcome["attacks"] if "op" in trial]
    assert len(outcome["attacks"]) - len(trials) <= (NEEDS_ROOT if outcome["uid"] else 0)
    assert [trial for trial in trials if trial["harm"]] == []
    real = [trial for trial in trials if trial["control"]]
    assert [trial for trial in real if trial["said"] == "done"] == [], "what would do harm is refused in words"
    assert {trial["name"] for trial in trials} == {trial["name"] for trial in real}, (
        "the control: each one is an attack"
    )
    assert len(real) > 2_000
    assert {trial["op"] for trial in real} == {"read", "write", "edit", "create", "create a folder", "list"}
    names = len({trial["name"] for trial in real})
    text = f"{names} attacks, {len(real)} with their operation, all stopped"
    record_property(WHOLE, f"paths, uid {outcome['uid']}: {text}")


def test_what_only_looks_like_an_attack_leads_nowhere(outcome: Outcome) -> None:
    assert len(outcome["strange"]) > 400
    assert [trial for trial in outcome["strange"] if trial["harm"]] == []


def test_nothing_but_files_is_opened_and_nothing_blocks(outcome: Outcome) -> None:
    assert len(outcome["blocking"]) >= 24
    assert [trial for trial in outcome["blocking"] if trial["said"] == "done" or trial["seconds"] > 10] == []


def test_ordinary_work_goes_on(outcome: Outcome, record_property: Record) -> None:
    trials = outcome["ordinary"] + outcome["names"]
    done = [trial for trial in trials if "impossible" not in trial]
    assert [trial for trial in done if trial["problem"]] == []
    assert len(trials) - len(done) <= (1 if outcome["uid"] else 0)
    assert len(done) >= 140
    record_property(WHOLE, f"paths, uid {outcome['uid']}: {len(done)}/{len(done)} ordinary ones work")


def test_no_race_is_won(outcome: Outcome, record_property: Record) -> None:
    assert len(outcome["races"]) == 9
    for race in outcome["races"]:
        assert race["escapes"] == [], race
        assert race["harm"] == [], race
        assert race["control"], f"the control: checking first loses the race ({race['name']})"
        assert race["slowest"] < 20, race
    done = {name: sum(race["done"][name] for race in outcome["races"]) for name in ("read", "write", "edit", "list")}
    assert all(done.values()), "ordinary work goes on between two exchanges"
    record_property(WHOLE, f"paths, uid {outcome['uid']}: 0 races won, {sum(done.values())} operations meanwhile")
