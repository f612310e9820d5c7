"""Lanes: one piece of work at a time for each key, all keys at once."""

from __future__ import annotations

import asyncio
import time

import pytest

from app.core import lanes as lanes_module
from app.core.lanes import Lanes
from tests.support import until


class Work:
    def __init__(self) -> None:
        self.begun: list[str] = []
        self.running: set[str] = set()
        self.most = 0
        self.gates: dict[str, asyncio.Event] = {}
        self.error: Exception | None = None

    async def __call__(self, key: str) -> None:
        assert key not in self.running, "twice at once"
        self.running.add(key)
        self.begun.append(key)
        self.most = max(self.most, len(self.running))
        try:
            if self.error:
                raise self.error
            if gate := self.gates.get(key):
                await gate.wait()
        finally:
            self.running.discard(key)


async def test_keys_run_side_by_side_and_a_key_never_twice_at_once() -> None:
    work = Work()
    work.gates = {"a": asyncio.Event(), "b": asyncio.Event()}
    lanes = Lanes("test", work)
    for key in ("a", "b"):
        lanes.wake(key)
    await until(lambda: work.most == 2)
    for _ in range(3):
        lanes.wake("a")
    for gate in work.gates.values():
        gate.set()
    await lanes.idle()
    assert sorted(work.begun) == ["a", "a", "b"], "wakes during work are one more look"


async def test_work_that_fails_is_tried_again_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes_module, "_RETRY_SECONDS", 0.01)
    work = Work()
    work.error = ValueError("bug")
    lanes = Lanes("test", work)
    lanes.wake("a")
    await until(lambda: len(work.begun) == 2)
    work.error = None
    await until(lambda: len(work.begun) > 2)
    await lanes.idle()


async def test_cancel_ends_the_work_of_one_key() -> None:
    work = Work()
    work.gates = {"a": asyncio.Event(), "b": asyncio.Event()}
    lanes = Lanes("test", work)
    lanes.wake("a")
    lanes.wake("b")
    await until(lambda: work.most == 2)
    assert await lanes.cancel("a") and not await lanes.cancel("a")
    assert work.running == {"b"} and lanes.busy == {"b"}
    await lanes.close(0)
    assert not work.running


async def test_wake_at_waits_and_an_earlier_wake_replaces_it() -> None:
    work = Work()
    lanes = Lanes("test", work)
    lanes.wake_at("a", time.time() + 3600)
    assert not work.begun
    lanes.wake("a")
    await lanes.idle()
    lanes.wake_at("a", time.time() - 1)
    await until(lambda: len(work.begun) == 2)


async def test_after_close_nothing_begins() -> None:
    work = Work()
    lanes = Lanes("test", work)
    lanes.wake_at("a", time.time() + 0.01)
    await lanes.close(0)
    lanes.wake("a")
    lanes.wake_at("a", 0)
    await asyncio.sleep(0.03)
    assert not work.begun
