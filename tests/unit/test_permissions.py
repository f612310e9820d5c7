"""Permissions for good: on disk before they count, revocable at once, and never more than was said."""

from __future__ import annotations

import asyncio
import json
import stat
import sys
from pathlib import Path

import pytest

from app.cloud.permission_file import PermissionFile
from app.core.errors import StorageError
from app.core.permissions import Kept, Permissions, Rule

ONE, TWO = Rule(key="uno", words="«pytest» en /p"), Rule(key="dos", words="«make» en /p")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "permissions.json"


def opened(path: Path) -> Permissions:
    return Permissions(PermissionFile(path), clock=lambda: 1_700_000_000.0)


async def test_what_is_given_is_there_after_a_restart_once(path: Path) -> None:
    known = opened(path)
    assert not await known.allow(ONE)
    await asyncio.gather(*(known.add(ONE, "42") for _ in range(3)))
    await known.add(TWO, "web")
    again = opened(path)
    assert await again.allow(ONE) and await again.allow(TWO) and not await again.allow(Rule(key="tres", words="x"))
    assert [(p.number, p.words, p.by, p.made) for p in await again.all()] == [
        (1, ONE.words, "42", 1_700_000_000.0), (2, TWO.words, "web", 1_700_000_000.0),
    ]  # fmt: skip
    if sys.platform != "win32":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_a_revoked_one_is_gone_and_its_number_never_comes_back(path: Path) -> None:
    known = opened(path)
    await known.add(ONE, "42")
    await known.add(TWO, "42")
    assert await known.revoke(2) and not await known.allow(TWO) and await known.allow(ONE)
    assert await known.revoke(2), "again: it is gone"
    assert not await known.revoke(3) and not await known.revoke(0) and not await known.revoke(-1)
    again = opened(path)
    assert not await again.allow(TWO)
    await again.add(TWO, "42")
    assert [p.number for p in await again.all()] == [1, 3]


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe", b"[]", b'{"permissions": [{"key": "uno"}]}', b""])
async def test_a_damaged_file_permits_nothing_and_is_kept(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    known = opened(path)
    assert not await known.allow(ONE) and not await known.all()
    assert path.with_name("permissions.json.corrupt").read_bytes() == content
    await known.add(ONE, "42")
    assert json.loads(path.read_bytes())["last"] == 1 and await opened(path).allow(ONE)


async def test_a_file_that_cannot_be_read_permits_nothing(path: Path) -> None:
    path.mkdir()
    known = opened(path)
    assert not await known.allow(ONE)
    with pytest.raises(StorageError):
        await known.add(ONE, "42")
    with pytest.raises(StorageError):
        await known.all()


class FullDisk:
    """Implements PermissionBook; nothing more can be stored."""

    def __init__(self, kept: Kept) -> None:
        self._kept = kept

    async def load(self) -> Kept:
        return self._kept

    async def store(self, kept: Kept) -> None:
        raise StorageError("lleno")


async def test_on_a_full_disk_nothing_is_given_and_what_is_revoked_no_longer_counts(path: Path) -> None:
    real = opened(path)
    await real.add(ONE, "42")
    full = Permissions(FullDisk(await PermissionFile(path).load()))
    with pytest.raises(StorageError):
        await full.add(TWO, "42")
    assert not await full.allow(TWO)
    with pytest.raises(StorageError):
        await full.revoke(1)
    assert not await full.allow(ONE)
