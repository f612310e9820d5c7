"""A crowd's lines are synced together; what a power cut takes from the sessions' files comes back at start."""

from __future__ import annotations

import asyncio
import errno
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from app.cloud import committer
from app.cloud.journal import read_all
from app.cloud.redo import RedoLog
from app.cloud.sessions import SessionManager
from app.cloud.storage import Storage
from app.core.errors import StorageError
from app.core.events import UserLine, dump_line
from tests.integration.log_machine import Disk

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the disk asks /proc for names")
CROWD = [f"telegram_{chat}" for chat in range(20)]


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Disk:
    disk = Disk((tmp_path / "data").resolve())
    for name in ("write", "fsync", "ftruncate"):
        monkeypatch.setattr(os, name, getattr(disk, name))
    monkeypatch.setattr(committer, "_QUIET", 3600.0)  # the sessions are synced when a test says so
    return disk


@pytest.fixture
async def store(disk: Disk) -> SessionManager:
    store = SessionManager(disk.folder)
    await store.open()
    return store


def redo(disk: Disk) -> Path:
    return disk.folder / "redo.log"


async def together(store: SessionManager, said: str, names: Sequence[str] = CROWD) -> list[object]:
    """All in one batch: the writer waits for the first session's lock until the others have come."""
    journals = [store._storage.journal(name) for name in names]  # pyright: ignore[reportPrivateUsage]
    await asyncio.gather(*(store.append(name) for name in names))
    with journals[0].lock:
        first = asyncio.gather(store.append(names[0], UserLine(content=f"{said} antes")), return_exceptions=True)
        await asyncio.sleep(0.02)
        others = [store.append(name, UserLine(content=said, key=f"{said} {name}")) for name in names]
        rest = asyncio.gather(*others, return_exceptions=True)
        await asyncio.sleep(0.1)
    await first
    return list(await rest)


async def power_fails(store: SessionManager, disk: Disk, *, then: int = 0, spared: bool = False) -> SessionManager:
    """The process with its memory is gone, and of the disk what was not synced (`spared`: only the process).

    `then`: what the disk says first to the next one.
    """
    storage = Storage._shared.pop(disk.folder / "sessions")  # pyright: ignore[reportPrivateUsage]
    storage.committer.drain()
    storage.committer._redo = RedoLog(disk.folder / "of the dead")  # pyright: ignore[reportPrivateUsage]
    os.close(storage._process_lock or -1)  # pyright: ignore[reportPrivateUsage]
    disk.mend()
    if not spared:
        disk.lose_power()
    disk.code, disk.failing_syncs = then, 1 if then else 0
    again = SessionManager(disk.folder)
    await again.open()
    return again


async def settled(store: SessionManager) -> None:
    await asyncio.to_thread(store._storage.committer.settle)  # pyright: ignore[reportPrivateUsage]


async def said(store: SessionManager, name: str) -> list[str]:
    return [line.content for line in await store.read_lines(name) if isinstance(line, UserLine)]


async def test_a_crowd_costs_one_sync_and_outlives_a_power_cut(disk: Disk, store: SessionManager) -> None:
    await together(store, "uno")
    before = len(disk.syncs)
    results = await together(store, "dos")
    assert all(isinstance(result, list) for result in results)
    assert disk.syncs[before:].count("redo.log") <= 2
    assert len(disk.syncs) - before <= 4  # the first one's own file, and the batch
    store = await power_fails(store, disk)
    for name in CROWD[1:]:
        assert await said(store, name) == ["uno", "dos"]
        assert read_all(disk.folder / "sessions" / f"{name}.jsonl")
    assert not redo(disk).read_bytes()
    assert not list((disk.folder / "sessions").glob("*.corrupt"))
    await store.close()


async def test_a_new_session_that_goes_on_alone_keeps_its_first_line(disk: Disk, store: SessionManager) -> None:
    """Its own sync has to cover the file's name too, which the crowd's did not."""
    await together(store, "uno")
    await store.append(CROWD[3], UserLine(content="sola"))
    redo(disk).write_bytes(b"")
    store = await power_fails(store, disk)
    assert await said(store, CROWD[3]) == ["uno", "sola"]
    await store.close()


async def test_in_the_quiet_the_sessions_have_all(
    disk: Disk, store: SessionManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(committer, "_QUIET", 0.01)
    await together(store, "uno")
    async with asyncio.timeout(10):
        while redo(disk).stat().st_size:
            await asyncio.sleep(0.01)
    redo(disk).unlink()
    store = await power_fails(store, disk)
    assert [await said(store, name) for name in CROWD[1:]] == [["uno"]] * (len(CROWD) - 1)
    await store.close()


async def test_a_clean_end_leaves_the_redo_log_empty(disk: Disk, store: SessionManager) -> None:
    await together(store, "uno")
    assert redo(disk).stat().st_size
    await store.close()
    assert not redo(disk).stat().st_size


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
@pytest.mark.parametrize("fault", ["failing_writes", "failing_syncs"])
async def test_without_the_redo_log_each_session_is_synced(
    disk: Disk, store: SessionManager, code: int, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await together(store, "uno")
    disk.code, disk.only = code, "redo.log"
    setattr(disk, fault, 1)
    assert all(isinstance(result, list) for result in await together(store, "dos"))
    disk.only = ""
    assert all(isinstance(result, list) for result in await together(store, "tres"))
    store = await power_fails(store, disk)
    assert [await said(store, name) for name in CROWD[1:]] == [["uno", "dos", "tres"]] * (len(CROWD) - 1)
    await store.close()


async def test_what_neither_takes_is_refused_and_taken_when_it_comes_again(disk: Disk, store: SessionManager) -> None:
    await together(store, "uno")
    disk.code, disk.failing_syncs = errno.EIO, 10**6
    assert all(isinstance(result, StorageError) for result in await together(store, "dos"))
    disk.mend()
    assert all(isinstance(result, list) for result in await together(store, "dos"))
    store = await power_fails(store, disk)
    assert [await said(store, name) for name in CROWD[1:]] == [["uno", "dos"]] * (len(CROWD) - 1)
    await store.close()


async def test_a_session_whose_own_sync_fails_is_not_called_clean(disk: Disk, store: SessionManager) -> None:
    """A second fsync says yes to bytes that the first one lost: the file is written anew before the redo log goes."""
    await together(store, "uno")
    disk.code, disk.failing_syncs = errno.EIO, 1
    with pytest.raises(StorageError):
        await settled(store)
    assert redo(disk).stat().st_size
    disk.mend()
    inodes = {path.stat().st_ino for path in (disk.folder / "sessions").glob("*.jsonl")}
    await settled(store)
    assert len({path.stat().st_ino for path in (disk.folder / "sessions").glob("*.jsonl")} - inodes) == 1
    assert not redo(disk).stat().st_size
    store = await power_fails(store, disk)
    assert [await said(store, name) for name in CROWD[1:]] == [["uno"]] * (len(CROWD) - 1)
    await store.close()


async def test_what_was_forgotten_does_not_come_back(disk: Disk, store: SessionManager) -> None:
    await together(store, "uno")
    await store.forget_session(CROWD[5])
    store = await power_fails(store, disk)
    assert CROWD[5] not in {info.session_id for info in await store.list_sessions()}
    assert await said(store, CROWD[6]) == ["uno"]
    await store.close()


@pytest.mark.parametrize("words", ["de una copia", "de una copia " * 30])
async def test_what_somebody_put_in_its_place_is_left_alone(disk: Disk, store: SessionManager, words: str) -> None:
    await together(store, "uno")
    file = disk.folder / "sessions" / f"{CROWD[4]}.jsonl"
    mine = dump_line(UserLine(content=words, seq=1))
    file.write_bytes(mine)
    disk.named.add(str(file))
    disk.synced[file.stat().st_ino] = len(mine)
    store = await power_fails(store, disk)
    assert file.read_bytes() == mine
    assert b'"uno"' in file.with_suffix(".corrupt").read_bytes()
    await store.close()


@pytest.mark.parametrize("cut", [1, 40, 400])
async def test_a_torn_redo_log_gives_what_it_has(disk: Disk, store: SessionManager, cut: int) -> None:
    await together(store, "uno")
    data = redo(disk).read_bytes()
    redo(disk).write_bytes(data[:-cut])
    store = await power_fails(store, disk)
    back = [name for name in CROWD[1:] if await said(store, name) == ["uno"]]
    lost = data[-cut:].count(b'{"redo"') + (0 if data[-cut:].startswith(b'{"redo"') else 1)
    assert len(back) == len(CROWD) - 1 - lost
    await store.close()


@pytest.mark.parametrize("offset", [3, 30, 90, 200])
async def test_a_flipped_byte_costs_one_record(disk: Disk, store: SessionManager, offset: int) -> None:
    await together(store, "uno")
    data = bytearray(redo(disk).read_bytes())
    data[offset] ^= 0x41
    redo(disk).write_bytes(data)
    store = await power_fails(store, disk)
    back = [name for name in CROWD if "uno" in await said(store, name)]
    assert len(back) >= len(CROWD) - 1
    await store.close()


async def test_a_full_disk_at_start_is_told_and_nothing_is_lost(disk: Disk, store: SessionManager) -> None:
    await together(store, "uno")
    with pytest.raises(StorageError):
        await power_fails(store, disk, then=errno.EIO)
    disk.mend()
    again = SessionManager(disk.folder)
    await again.open()
    assert await said(again, CROWD[2]) == ["uno"]
    await again.close()


@pytest.mark.parametrize("torn", [True, False])
async def test_nothing_is_built_on_what_a_dead_process_left_unsynced(
    disk: Disk, store: SessionManager, torn: bool
) -> None:
    """Killed between its write and its sync; the next process goes on with a crowd, and then the power fails."""
    await together(store, "uno")
    await settled(store)
    left = dump_line(UserLine(content="a medias", seq=len(await store.read_lines(CROWD[7])) + 1, key="tg:1"))
    with (disk.folder / "sessions" / f"{CROWD[7]}.jsonl").open("ab") as log:
        log.write(left[:-9] if torn else left)
    store = await power_fails(store, disk, spared=True)
    await together(store, "dos")
    store = await power_fails(store, disk)
    assert await said(store, CROWD[7]) == (["uno", "dos"] if torn else ["uno", "a medias", "dos"])
    await store.close()


async def test_a_redo_log_without_a_name_is_named_before_it_counts(disk: Disk, store: SessionManager) -> None:
    disk.code, disk.only, disk.failing_syncs = errno.EIO, "data", 1
    assert all(isinstance(result, list) for result in await together(store, "uno"))
    disk.mend()
    disk.only = ""
    assert all(isinstance(result, list) for result in await together(store, "dos"))
    store = await power_fails(store, disk)
    assert await said(store, CROWD[2]) == ["uno", "dos"]
    await store.close()
