"""The file tools' hands: windows of lines, exact edits, files that stay as they were written."""

from __future__ import annotations

import asyncio
import os
import stat
import threading
import time
from pathlib import Path

import pytest

from app.core.errors import WorkspaceError
from app.safety import paths, textfile
from app.safety.workspace import Workspace


@pytest.fixture(params=["openat", "realpath"])
def root(tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Both ways of resolving: by descriptors, and the one of systems without openat."""
    if request.param == "realpath":
        monkeypatch.setattr(paths, "BY_DESCRIPTOR", False)
    folder = tmp_path / "proyectos"
    folder.mkdir()
    return folder


@pytest.fixture
def workspace(root: Path) -> Workspace:
    return Workspace([root])


async def test_reads_a_window_of_lines_and_says_how_many_there_are(workspace: Workspace, root: Path) -> None:
    (root / "a.txt").write_text("".join(f"línea {n}\n" for n in range(1, 101)))
    text = await workspace.read("a.txt", root, offset=10, limit=3)
    assert (text.text, text.first, text.total_lines, text.truncated) == (
        "línea 10\nlínea 11\nlínea 12\n", 10, 100, True,
    )  # fmt: skip
    end = await workspace.read("a.txt", root, offset=99)
    assert (end.text, end.truncated) == ("línea 99\nlínea 100\n", False)
    beyond = await workspace.read("a.txt", root, offset=101)
    assert (beyond.text, beyond.total_lines, beyond.truncated) == ("", 100, False)


@pytest.mark.parametrize(
    ("data", "text", "lines"),
    [
        (b"", "", 0),
        (b"\n", "\n", 1),
        (b"uno", "uno", 1),
        (b"uno\n\ntres", "uno\n\ntres", 3),
        (b"uno\r\ndos\r\n", "uno\ndos\n", 2),
        (b"\xef\xbb\xbfcon BOM\n", "con BOM\n", 1),
        ("\ufeffseñal\n€\r\n".encode("utf-16-le"), "señal\n€\n", 2),
        ("\ufeffseñal\n".encode("utf-16-be"), "señal\n", 1),
        (b"ma\xf1ana\n", "ma\ufffdana\n", 1),
        (b"texto\n" * 2_000 + b"con un \0 tarde\n", None, 2_001),
    ],
)
async def test_decodes(workspace: Workspace, root: Path, data: bytes, text: str | None, lines: int) -> None:
    (root / "a.txt").write_bytes(data)
    found = await workspace.read("a.txt", root, limit=3_000)
    assert found.total_lines == lines
    assert "\0" not in found.text
    if text is not None:
        assert found.text == text


async def test_windows_agree_with_splitlines_whatever_the_chunks(
    workspace: Workspace, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = b"a\n\nbb\r\nccc\ndddd\n\n\nlast"
    (root / "a.txt").write_bytes(data)
    lines = data.decode().replace("\r\n", "\n").splitlines(keepends=True)
    for chunk in range(1, len(data) + 1):
        monkeypatch.setattr(textfile, "CHUNK", chunk)
        for offset in range(1, len(lines) + 2):
            for limit in range(1, len(lines) + 1):
                found = await workspace.read("a.txt", root, offset=offset, limit=limit)
                assert found.text == "".join(lines[offset - 1 : offset - 1 + limit])
                assert found.total_lines == len(lines)
                assert found.truncated == (offset - 1 + limit < len(lines))


async def test_a_huge_file_is_read_in_bounded_memory(workspace: Workspace, root: Path) -> None:
    import tracemalloc

    with (root / "big.log").open("wb") as file:
        for _ in range(50):
            file.write((b"x" * 1_023 + b"\n") * 1_024)
        file.write(b"y" * 10_000_000 + b"\nfin\n")
    tracemalloc.start()
    found = await workspace.read("big.log", root, offset=51_200, limit=3)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8_000_000
    first, second, third = found.text.splitlines()
    assert first == "x" * 1_023
    assert second.startswith("yyyy")
    assert "10000000" in second
    assert "shell" in second
    assert len(second) < 5_000
    assert third == "fin"
    assert found.total_lines == 51_202


async def test_a_scan_has_an_end(workspace: Workspace, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(textfile, "CHUNK", 10)
    monkeypatch.setattr(textfile, "MAX_SCAN", 100)
    (root / "a.txt").write_text("uno\n" * 1_000)
    beyond = await workspace.read("a.txt", root, offset=900)
    assert (beyond.text, beyond.truncated) == ("", True)
    assert textfile.MAX_SCAN < 100_000_000


async def test_slow_reads_hold_up_nobody_else(
    workspace: Workspace, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The logs are written in the default executor: reads have threads of their own, and few."""
    running = most = 0
    lock, go = threading.Lock(), threading.Event()

    def slow(*_: object) -> None:
        nonlocal running, most
        with lock:
            running, most = running + 1, max(most, running + 1)
        go.wait(10)
        with lock:
            running -= 1

    monkeypatch.setattr(workspace, "_read", slow)
    reads = [asyncio.create_task(workspace.read("a.txt", root)) for _ in range(40)]
    await asyncio.sleep(0.05)
    async with asyncio.timeout(2):
        await asyncio.to_thread(time.sleep, 0)
    go.set()
    await asyncio.gather(*reads)
    assert most <= 4


async def test_a_cut_line_never_ends_inside_a_character(workspace: Workspace, root: Path) -> None:
    (root / "a.txt").write_text("a" + "ñ" * 10_000)
    assert "\ufffd" not in (await workspace.read("a.txt", root)).text


async def test_a_window_has_a_largest_size(workspace: Workspace, root: Path) -> None:
    (root / "a.txt").write_text(("z" * 3_000 + "\n") * 500)
    found = await workspace.read("a.txt", root, limit=500)
    assert found.truncated
    assert len(found.text) < 210_000
    rest = await workspace.read("a.txt", root, offset=1 + found.text.count("\n"), limit=1)
    assert rest.text == "z" * 3_000 + "\n"


async def test_binary_folder_and_missing_say_what_to_do(workspace: Workspace, root: Path) -> None:
    (root / "foto.png").write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR")
    (root / "src").mkdir()
    (root / "README.md").write_text("hola")
    with pytest.raises(WorkspaceError, match=r"PNG, 16 bytes"):
        await workspace.read("foto.png", root)
    with pytest.raises(WorkspaceError, match="list_dir"):
        await workspace.read("src", root)
    with pytest.raises(WorkspaceError, match=r"No existe .*¿Quizá «README\.md»"):
        await workspace.read("readme.me", root)
    with pytest.raises(WorkspaceError, match="No existe"):
        await workspace.read("nada/nunca.txt", root)
    with pytest.raises(WorkspaceError, match="read_file"):
        await workspace.list_dir("README.md", root)


async def test_writes_create_folders_and_say_what_happened(workspace: Workspace, root: Path) -> None:
    assert await workspace.write("nueva/más/a.txt", root, "uno\n") == "creado"
    assert await workspace.write("nueva/más/a.txt", root, "dos\n") == "reemplazado"
    assert (root / "nueva/más/a.txt").read_text() == "dos\n"
    assert [p.name for p in (root / "nueva/más").iterdir()] == ["a.txt"]


async def test_a_new_file_keeps_the_bytes_it_was_given(workspace: Workspace, root: Path) -> None:
    await workspace.write("a.bat", root, "uno\r\ndos\n")
    assert (root / "a.bat").read_bytes() == b"uno\r\ndos\n"


@pytest.mark.parametrize(
    ("before", "content", "after"),
    [
        (b"a\r\nb\r\n", "c\nd\n", b"c\r\nd\r\n"),
        (b"a\r\nb\r\n", "c\r\nd\n", b"c\r\nd\r\n"),
        (b"a\nb\n", "c\r\nd\r\n", b"c\nd\n"),
        (b"\xef\xbb\xbfa\n", "ñ\n", "\ufeffñ\n".encode()),
        (b"\xef\xbb\xbfa\n", "\ufeffñ\n", "\ufeffñ\n".encode()),
        ("\ufeffa\r\n".encode("utf-16-le"), "ñ\n", "\ufeffñ\r\n".encode("utf-16-le")),
        (b"", "c\r\n", b"c\r\n"),
    ],
)
async def test_a_write_keeps_endings_bom_and_encoding(
    workspace: Workspace, root: Path, before: bytes, content: str, after: bytes
) -> None:
    (root / "a.txt").write_bytes(before)
    await workspace.write("a.txt", root, content)
    assert (root / "a.txt").read_bytes() == after


@pytest.mark.parametrize(
    ("before", "old", "new", "after", "line"),
    [
        (b"a\nb\nc\n", "b", "B", b"a\nB\nc\n", 2),
        (b"a\r\nb\r\nc\r\n", "a\nb", "x\ny\nz", b"x\r\ny\r\nz\r\nc\r\n", 1),
        (b"a\r\nb\r\n", "b", "b\nc", b"a\r\nb\r\nc\r\n", 2),
        (b"lf\ncrlf\r\nlf\nend", "crlf", "CRLF", b"lf\nCRLF\r\nlf\nend", 2),
        (b"lf\ncrlf\r\nlf\nend", "\nlf\nend", "\nfin", b"lf\ncrlf\r\nfin", 2),
        (b"\xef\xbb\xbfuno\n", "uno", "dos", b"\xef\xbb\xbfdos\n", 1),
        (b"ma\xf1ana y hoy\n", "hoy", "ayer", b"ma\xf1ana y ayer\n", 1),
        ("\ufeffuno\r\ndos".encode("utf-16-be"), "dos", "€", "\ufeffuno\r\n€".encode("utf-16-be"), 2),
        (b"borra esto", " esto", "", b"borra", 1),
    ],
)
async def test_an_edit_changes_nothing_else(
    workspace: Workspace, root: Path, before: bytes, old: str, new: str, after: bytes, line: int
) -> None:
    (root / "a.txt").write_bytes(before)
    assert await workspace.edit("a.txt", root, old, new) == line
    assert (root / "a.txt").read_bytes() == after


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("no está", "x", "no está en"),
        ("def  f():\n  return 1", "x", r"salvo por espacios.*línea 1"),
        ("    return 1\n    return 9", "x", r"Empieza igual la línea 2"),
        ("x = 1", "x", r"aparece 2 veces .*líneas 4, 5"),
        ("zz", "y", r"aparece 2 veces .*líneas 6, 6"),
        ("", "x", "vacío"),
        ("x = 1", "x = 1", "iguales"),
        ("def f", "\ud800", "UTF-8"),
    ],
)
async def test_an_edit_that_is_not_certain_is_refused_with_a_hint(
    workspace: Workspace, root: Path, old: str, new: str, said: str
) -> None:
    source = "def f():\n    return 1\n\nx = 1\nx = 1\nzzz\n"
    (root / "a.py").write_text(source)
    with pytest.raises(WorkspaceError, match=said):
        await workspace.edit("a.py", root, old, new)
    assert (root / "a.py").read_text() == source


@pytest.mark.skipif(os.name == "nt", reason="POSIX modes")
async def test_the_mode_is_kept_and_set_id_is_not(workspace: Workspace, root: Path) -> None:
    script = root / "a.sh"
    script.write_text("uno")
    script.chmod(0o6750)
    await workspace.edit("a.sh", root, "uno", "dos")
    assert stat.S_IMODE(script.stat().st_mode) == 0o750
    script.chmod(0o440)
    with pytest.raises(WorkspaceError, match="protegido"):
        await workspace.write("a.sh", root, "tres")
    assert script.read_text() == "dos"


async def test_a_failed_write_leaves_the_old_file_and_no_litter(
    workspace: Workspace, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "a.txt").write_text("antes")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(WorkspaceError, match="disco está lleno"):
        await workspace.write("a.txt", root, "después")
    assert (root / "a.txt").read_text() == "antes"
    assert os.listdir(root) == ["a.txt"]


async def test_an_edit_does_not_undo_what_somebody_saved_meanwhile(
    workspace: Workspace, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "a.txt").write_text("uno")
    sync = os.fsync

    def save_elsewhere(descriptor: int) -> None:
        (root / "editor.tmp").write_text("lo mío")
        (root / "editor.tmp").replace(root / "a.txt")
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", save_elsewhere)
    with pytest.raises(WorkspaceError, match="ha cambiado"):
        await workspace.edit("a.txt", root, "uno", "dos")
    assert (root / "a.txt").read_text() == "lo mío"


async def test_a_file_too_large_to_edit_is_left_alone(workspace: Workspace, root: Path) -> None:
    with (root / "big.txt").open("wb") as file:
        file.truncate(30_000_000)
    with pytest.raises(WorkspaceError, match="30000000"):
        await workspace.edit("big.txt", root, "a", "b")


async def test_lists_folders_first_and_counts_all(workspace: Workspace, root: Path) -> None:
    for name in ("b.txt", "a.txt", ".oculto"):
        (root / name).write_text("hola")
    (root / "z").mkdir()
    entries, total = await workspace.list_dir(".", root, limit=3)
    assert [(e.name, e.is_dir, e.size) for e in entries] == [
        ("z", True, 0), (".oculto", False, 4), ("a.txt", False, 4),
    ]  # fmt: skip
    assert total == 4


async def test_memory_files_are_reached_one_by_one(root: Path, tmp_path: Path) -> None:
    memory = tmp_path / "nanobot" / "MEMORY.md"
    memory.parent.mkdir()
    (memory.parent / "private.txt").write_text("no")
    workspace = Workspace([root], files=[memory])
    assert await workspace.write(str(memory), root, "recuerda\n") == "creado"
    assert (await workspace.read("../nanobot/MEMORY.md", root)).text == "recuerda\n"
    for path in (memory.parent / "private.txt", memory.parent, memory / "x"):
        with pytest.raises(WorkspaceError, match="fuera"):
            await workspace.read(str(path), root)
    assert workspace.roots == (root,)


def test_resolve_gives_a_folder_to_work_in(workspace: Workspace, root: Path) -> None:
    (root / "app").mkdir()
    (root / "enlace").symlink_to("app")
    assert workspace.resolve("enlace", root) == root / "app"
    assert workspace.resolve("", root) == root
    assert workspace.resolve("app/../app/.", root) == root / "app"
    with pytest.raises(WorkspaceError):
        workspace.resolve("..", root)
