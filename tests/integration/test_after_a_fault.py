"""What the log machine found, each as small as it gets."""

from __future__ import annotations

import asyncio
import errno
import os
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from app.cloud.sessions import SessionManager
from app.core import lanes
from app.core.contracts import Choice, Part
from app.core.errors import StorageError
from app.core.events import ReplyTo, UserLine
from tests.fakes.brain import ScriptedBrain, text
from tests.fakes.channel import FakeChannel
from tests.integration.log_machine import Disk
from tests.support import CHAT, make_settings, running_house

SESSION = "telegram_42"


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Disk:
    disk = Disk((tmp_path / "data").resolve())
    for name in ("write", "fsync", "ftruncate"):
        monkeypatch.setattr(os, name, getattr(disk, name))
    monkeypatch.setattr(lanes, "_RETRY_SECONDS", 0.02)
    return disk


async def test_a_message_that_was_refused_is_taken_when_it_comes_again(tmp_path: Path, disk: Disk) -> None:
    """The folder went read-only in the middle of a write: nothing could be taken back."""
    store = SessionManager(tmp_path / "data")
    await store.append(SESSION, UserLine(content="uno", key="tg:1"))
    disk.code, disk.failing_writes, disk.failing_syncs = errno.EIO, 9, 9
    with pytest.raises(StorageError):
        await store.append(SESSION, UserLine(content="dos", key="tg:2"))
    disk.mend()
    assert len(await store.append(SESSION, UserLine(content="dos", key="tg:2"))) == 1
    await store.close()


async def test_the_first_message_after_a_full_disk_outlives_a_power_cut(tmp_path: Path, disk: Disk) -> None:
    """The refused write left an empty file whose name was never synced."""
    store = SessionManager(tmp_path / "data")
    await store.open()
    disk.failing_writes = 1
    with pytest.raises(StorageError):
        await store.append(SESSION, UserLine(content="uno", key="tg:1"))
    assert len(await store.append(SESSION, UserLine(content="uno", key="tg:1"))) == 1
    await store.close()
    disk.lose_power()
    assert [line.seq for line in await store.read_lines(SESSION)] == [1]
    await store.close()


async def test_an_answer_that_arrived_is_not_sent_again_because_the_disk_is_full(tmp_path: Path, disk: Disk) -> None:
    class ThenFull(FakeChannel):
        async def send(self, to: ReplyTo, part: Part, *, choices: Sequence[Choice] = (), repeat: bool = False) -> int:
            disk.failing_writes = 0 if self.sent else 3
            return await super().send(to, part, choices=choices, repeat=repeat)

    channel = ThenFull()
    async with running_house(make_settings(tmp_path), ScriptedBrain(text("una vez")), channel) as house:
        await house.inbox.message(SESSION, "hola", "42", reply_to=CHAT)
        await channel.wait_for(1)
        await asyncio.sleep(0.5)
        disk.mend()
        await asyncio.sleep(0.5)
    assert [s.text for s in channel.sent] == ["una vez"]


async def test_what_is_open_goes_on_when_the_disk_was_full_at_the_start(tmp_path: Path, disk: Disk) -> None:
    store = SessionManager(tmp_path / "data")
    await store.append(SESSION, UserLine(content="hola", reply_to=CHAT))
    await store.close()
    disk.failing_writes = 1
    channel = FakeChannel()
    async with running_house(make_settings(tmp_path), ScriptedBrain(text("aquí estoy")), channel):
        disk.mend()
        await channel.wait_for(1, timeout=3)


def test_a_program_stopped_in_the_middle_of_a_write_can_go_on_writing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl+C ends asyncio.run() by cancelling every task, also the one that waits for the disk."""
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda descriptor: (time.sleep(0.2), real(descriptor))[1])

    async def stopped() -> None:
        task, store = asyncio.current_task(), SessionManager(tmp_path / "data")
        assert task
        await store.append(SESSION, UserLine(content="cero"))
        asyncio.get_running_loop().call_later(0.1, task.cancel)
        await store.append(SESSION, UserLine(content="uno"))

    async def again() -> None:
        async with asyncio.timeout(3):
            await SessionManager(tmp_path / "data").append(SESSION, UserLine(content="dos"))

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(stopped())
    asyncio.run(again())
