"""Files are replaced in one step: whatever fails, the old one or the new one is there, and nothing else."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import struct
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from app.core.errors import WorkspaceError
from app.safety import diskfile
from app.safety.workspace import Workspace

pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX files")
ROOT = Path(__file__).parents[2]


@pytest.fixture(params=["openat2", "walk"])
def workspace(tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    if request.param == "walk":
        monkeypatch.setattr("app.safety.openat2.works", lambda: False)
    return Workspace([tmp_path])


async def test_two_turns_never_lose_each_others_edits(workspace: Workspace, tmp_path: Path) -> None:
    """Each edit is there or was refused: none is said to be done and then gone."""
    count = 60
    (tmp_path / "a.txt").write_text("".join(f"[{n}]\n" for n in range(count)))

    async def edit(n: int) -> bool:
        with suppress(WorkspaceError):
            await workspace.edit("a.txt", tmp_path, f"[{n}]", f"<{n}>")
            return True
        return False

    done = await asyncio.gather(*map(edit, range(count)))
    text = (tmp_path / "a.txt").read_text()
    assert [f"<{n}>" in text for n in range(count)] == done
    assert any(done)
    assert os.listdir(tmp_path) == ["a.txt"]


async def test_two_turns_that_create_one_file_end_with_one_of_both(workspace: Workspace, tmp_path: Path) -> None:
    texts = [f"{n}" * 10_000 for n in range(8)]
    said = await asyncio.gather(*(workspace.write("a/b/c.txt", tmp_path, t) for t in texts), return_exceptions=True)
    assert all(s in ("creado", "reemplazado") or isinstance(s, WorkspaceError) for s in said), said
    assert (tmp_path / "a/b/c.txt").read_text() in [t for t, s in zip(texts, said, strict=True) if isinstance(s, str)]
    assert os.listdir(tmp_path / "a/b") == ["c.txt"]


_FULL = """
import asyncio, os, subprocess, sys
from pathlib import Path
from app.core.errors import WorkspaceError
from app.safety.workspace import Workspace
disk = Path(sys.argv[1])
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", disk], check=True)
old = "antes\\n" * 100
(disk / "a.txt").write_text(old)
async def main():
    workspace = Workspace([disk])
    for act in (
        workspace.write("a.txt", disk, "x" * 1_000_000),
        workspace.edit("a.txt", disk, old, "y" * 1_000_000),
        workspace.write("b.txt", disk, "x" * 1_000_000),
    ):
        try:
            await act
        except WorkspaceError as error:
            print(error)
        assert os.listdir(disk) == ["a.txt"]
        assert (disk / "a.txt").read_text() == old
    print(await workspace.write("a.txt", disk, "ahora"))
asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="mounts a disk of its own")
def test_a_full_disk_leaves_the_old_file_whole(tmp_path: Path) -> None:
    spaces = ["unshare", "--mount"] + (["--user", "--map-root-user"] if os.geteuid() else [])
    command = [*spaces, sys.executable, "-c", _FULL, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=50)
    *refused, last = done.stdout.splitlines()
    assert (len(refused), last) == (3, "reemplazado")
    assert all("el disco está lleno" in line for line in refused)


_LIMITED = """
import asyncio, resource, sys
from pathlib import Path
from app.core.errors import WorkspaceError
from app.safety.workspace import Workspace
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
root = Path(sys.argv[1])
try:
    asyncio.run(Workspace([root]).write("a.txt", root, "x" * 200_000))
except WorkspaceError as error:
    print(error)
"""


def test_a_file_larger_than_the_system_allows_leaves_the_old_one(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("antes")
    command = [sys.executable, "-c", _LIMITED, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=30)
    assert "demasiado grande" in done.stdout
    assert os.listdir(tmp_path) == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "antes"


@pytest.mark.parametrize("failing", ["fsync", "replace", "fchmod"])
async def test_a_failing_disk_leaves_the_old_file_and_no_litter(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    (tmp_path / "a.txt").write_text("antes")

    def fail(*_: object, **__: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, failing, fail)
    with pytest.raises(WorkspaceError, match="da errores"):
        await workspace.write("a.txt", tmp_path, "después")
    monkeypatch.undo()
    assert (tmp_path / "a.txt").read_text() == "antes"
    assert os.listdir(tmp_path) == ["a.txt"]


_WRITING = """
import asyncio, sys
from pathlib import Path
from app.safety.workspace import Workspace
root = Path(sys.argv[1])
workspace = Workspace([root])
async def main():
    while True:
        for letter in "ab":
            await workspace.write("f.txt", root, letter * 500_000)
            print(letter, flush=True)
asyncio.run(main())
"""


def test_a_kill_leaves_a_whole_file_and_its_litter_is_swept(tmp_path: Path) -> None:
    whole = {"a" * 500_000, "b" * 500_000}
    for attempt in range(4):
        command = [sys.executable, "-c", _WRITING, str(tmp_path)]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(0.017 * attempt)
            process.send_signal(signal.SIGKILL)
        assert (tmp_path / "f.txt").read_text() in whole
    (tmp_path / f".{'0' * 16}.nanobot").write_text("a kill left this")
    left = [name for name in os.listdir(tmp_path) if name != "f.txt"]
    workspace = Workspace([tmp_path])

    async def look() -> list[str]:
        entries, total = await workspace.list_dir(".", tmp_path)
        assert total == len(entries)
        return [entry.name for entry in entries]

    assert asyncio.run(look()) == ["f.txt"]
    asyncio.run(workspace.write("g.txt", tmp_path, "x"))
    assert set(left) <= set(os.listdir(tmp_path)), "somebody may still be writing them"
    (tmp_path / "mío.nanobot").write_text("x")
    monkey = pytest.MonkeyPatch()
    monkey.setattr(diskfile, "_STALE", -1.0)  # a ctime cannot be set back
    try:
        asyncio.run(workspace.write("g.txt", tmp_path, "y"))
    finally:
        monkey.undo()
    assert sorted(os.listdir(tmp_path)) == ["f.txt", "g.txt", "mío.nanobot"]


async def test_owner_group_and_mode_are_kept(workspace: Workspace, tmp_path: Path) -> None:
    """Root gives files to anybody, others only to a group that they are in."""
    owner, group = (1234, 2345) if os.geteuid() == 0 else (os.geteuid(), max(os.getgroups()))
    file = tmp_path / "a.sh"
    file.write_text("uno")
    os.chown(file, owner, group)
    file.chmod(0o6754)
    await workspace.edit("a.sh", tmp_path, "uno", "dos")
    info = file.stat()
    assert (info.st_uid, info.st_gid, stat.S_IMODE(info.st_mode)) == (owner, group, 0o754)


@pytest.mark.skipif(sys.platform != "linux", reason="access lists of Linux")
async def test_an_access_list_is_kept(workspace: Workspace, tmp_path: Path) -> None:
    """user::rw-, user:1234:r--, group::---, mask::r--, other::---: the mode alone would let the group read."""
    entries = [
        (0x01, 6, 0xFFFFFFFF),
        (0x02, 4, 1234),
        (0x04, 0, 0xFFFFFFFF),
        (0x10, 4, 0xFFFFFFFF),
        (0x20, 0, 0xFFFFFFFF),
    ]
    access = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
    file = tmp_path / "a.txt"
    file.write_text("uno")
    try:
        os.setxattr(file, "system.posix_acl_access", access)
    except OSError:
        pytest.skip("this disk knows no access lists")
    before = stat.S_IMODE(file.stat().st_mode)
    await workspace.edit("a.txt", tmp_path, "uno", "dos")
    assert os.getxattr(file, "system.posix_acl_access") == access
    assert stat.S_IMODE(file.stat().st_mode) == before == 0o640


async def test_a_size_has_a_limit_in_bytes_not_in_letters(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.safety.workspace.MAX_WHOLE", 1_000)
    assert await workspace.write("a.txt", tmp_path, "ñ" * 500) == "creado"
    for act in (
        workspace.write("a.txt", tmp_path, "ñ" * 501),
        workspace.write("b.txt", tmp_path, "ñ" * 501),
        workspace.edit("a.txt", tmp_path, "ñ" * 500, "ñ" * 501),
    ):
        with pytest.raises(WorkspaceError, match="1002 bytes"):
            await act
    assert os.listdir(tmp_path) == ["a.txt"]


async def test_a_folder_is_not_made_a_file_by_its_slash(workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match="carpeta"):
        await workspace.write("nueva/", tmp_path, "x")
    assert os.listdir(tmp_path) == []


async def test_a_folder_with_many_files_is_listed_in_bounded_memory(workspace: Workspace, tmp_path: Path) -> None:
    import tracemalloc

    for n in range(5_000):
        os.close(os.open(tmp_path / f"{n:06}", os.O_CREAT))
    (tmp_path / "zona").mkdir()
    tracemalloc.start()
    entries, total = await workspace.list_dir(".", tmp_path, limit=3)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert ([entry.name for entry in entries], total) == (["zona", "000000", "000001"], 5_001)
    assert peak < 400_000
