"""A session's file survives what disks and crashes do to it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from app.cloud.journal import Journal, read_all, read_window
from app.core.errors import StorageError
from app.core.events import AssistantLine, SummaryLine, UserLine, dump_line, parse_line


def line(seq: int, text: str = "hola ñ 👋") -> UserLine:
    return UserLine(seq=seq, ts=float(seq), content=text)


def write(journal: Journal, *texts: str) -> None:
    journal.load(since=0)
    stamped = journal.stamp([UserLine(content=t) for t in texts], journal.seq, now=100.0)
    journal.write(stamped)
    journal.accept(stamped)


def contents(path: Path) -> list[str]:
    return [entry.content for entry in read_all(path) if isinstance(entry, UserLine)]


def test_a_line_is_one_readable_json_object() -> None:
    raw = dump_line(line(3))
    assert raw == ('{"v":1,"seq":3,"ts":3.0,"turn":0,"type":"user","role":"user","content":"hola ñ 👋"}\n'.encode())
    assert parse_line(raw) == line(3)


def test_a_line_of_a_later_version_is_kept_and_skipped() -> None:
    assert parse_line(b'{"v":7,"seq":4,"type":"dream","x":1}').type == "dream"


@pytest.mark.parametrize("raw", [b"", b"{", b"null", b"[]", b'{"v":1,"seq":2,"type":"user"}', b'{"seq":0,"type":"z"}'])
def test_what_is_no_line_is_an_error(raw: bytes) -> None:
    with pytest.raises(ValueError):
        parse_line(raw)


def test_lines_are_numbered_on_and_private(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    write(Journal(path), "uno", "dos")
    write(Journal(path), "tres")
    assert [entry.seq for entry in read_all(path)] == [1, 2, 3]
    if os.name == "posix":
        assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("cut", range(1, 80, 3))
def test_a_torn_tail_loses_only_itself(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "s.jsonl"
    write(Journal(path), "uno", "dos")
    path.write_bytes(path.read_bytes()[:-cut])
    write(Journal(path), "tres")
    survivors = contents(path)
    assert survivors[0] == "uno" and survivors[-1] == "tres"
    seqs = [entry.seq for entry in read_all(path)]
    assert seqs == sorted(set(seqs))


def test_a_bad_byte_loses_only_its_line_which_is_kept_aside_once(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    write(Journal(path), "uno", "dos", "tres")
    data = path.read_bytes()
    broken = data.replace(b'"dos"', b'"do\xff"')
    path.write_bytes(broken)
    for _ in range(2):
        journal = Journal(path)
        journal.load(since=0)
        assert [entry.seq for entry in journal.lines] == [1, 3]
    assert path.read_bytes() == broken, "the log itself is never rewritten"
    assert path.with_suffix(".corrupt").read_bytes().count(b"\n") == 1


@pytest.mark.parametrize("flipped", ["7", "0", "1", "3"])
def test_a_flipped_number_does_not_hide_the_lines_behind_it(tmp_path: Path, flipped: str) -> None:
    path = tmp_path / "s.jsonl"
    write(Journal(path), "uno", "dos", "tres", "cuatro")
    path.write_bytes(path.read_bytes().replace(b'"seq":2', f'"seq":{flipped}'.encode()))
    assert [c for c in contents(path) if c != "dos"] == ["uno", "tres", "cuatro"]


def test_the_window_reaches_back_to_the_summary_only(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    lines = [line(n, "x" * 1000) for n in range(1, 2001)]
    lines += [SummaryLine(seq=2001, ts=2001.0, content="resumen", upto=1990), line(2002)]
    path.write_bytes(b"".join(map(dump_line, lines)))
    window, bad, torn = read_window(path, since=1e12)
    assert not bad and not torn
    assert window[-1].seq == 2002 and 1980 <= window[0].seq <= 1991
    recent, _, _ = read_window(path, since=1000.0)
    assert recent[0].seq <= 1000, "delivery keys of the last two days are needed too"


def test_accepting_a_summary_frees_what_it_covers(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "s.jsonl")
    write(journal, "uno", "dos")
    stamped = journal.stamp([SummaryLine(content="r", upto=1)], journal.seq, now=1.0)
    journal.accept(stamped)
    assert [entry.seq for entry in journal.lines] == [2, 3]


def test_a_disk_that_refuses_is_a_storage_error_in_spanish(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "missing" / "s.jsonl")
    with pytest.raises(StorageError, match="No puedo guardar"):
        journal.write([line(1)])


def test_a_short_write_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "s.jsonl"
    journal = Journal(path)
    write(journal, "uno")
    before = path.read_bytes()
    real, calls = os.write, 0

    def short(descriptor: int, data: bytes) -> int:
        nonlocal calls
        calls += 1
        if calls == 1:
            return real(descriptor, bytes(data)[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", short)
    with pytest.raises(StorageError):
        journal.write(journal.stamp([UserLine(content="dos")], journal.seq, now=1.0))
    monkeypatch.undo()
    assert path.read_bytes() == before
    write(journal, "tres")
    assert contents(path) == ["uno", "tres"]


def test_a_line_in_the_middle_of_utf8_across_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.cloud.journal._BLOCK", 7)
    path = tmp_path / "s.jsonl"
    write(Journal(path), "ñandú 👋", "b", "c" * 50)
    window, bad, _ = read_window(path, since=0)
    assert [w.content for w in window if isinstance(w, UserLine)] == ["ñandú 👋", "b", "c" * 50] and not bad
    assert AssistantLine(content="x").v == 1
