"""Whatever a disk, a power cut or an editor does to a session's file: it loads, and only the damaged lines are gone."""

from __future__ import annotations

import errno
import os
import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from app.cloud.journal import Journal, read_all, read_window
from app.cloud.sessions import SessionManager
from app.core.context import fold
from app.core.errors import StorageError
from app.core.events import (
    KNOWN_TYPES,
    AnyLine,
    ApprovalAskedLine,
    ApprovalGivenLine,
    AssistantLine,
    CommandLine,
    DeliveredLine,
    Line,
    ProjectLine,
    ReplyLine,
    ReplyTo,
    ResumedLine,
    RetryLine,
    SendFailedLine,
    SendStartedLine,
    SummaryLine,
    ToolResultLine,
    ToolStartedLine,
    UsageLine,
    UserLine,
    dump_line,
    parse_line,
)
from app.core.messages import ToolCall, Usage
from app.core.prompt import dress

SESSION = "telegram_42"
CHAT = ReplyTo(channel="telegram", chat_id=42, message_id=7)
NOW = 1_795_000_000.25
FLIPS = int(os.environ.get("CORRUPTION_FLIPS", "1500"))
CALL = ToolCall(id="call_1", name="execute_shell", arguments='{"command": "echo \\"ñ\\" >> a.txt"}')


def realistic() -> list[bytes]:
    """One of every type, as a conversation has them; the last message is open."""
    used = Usage(input=900, output=35, usd=0.00125)
    lines: list[AnyLine] = [
        UserLine(content="hola, ¿qué hay en a.txt? 👋\nsegunda línea", user_id="42", reply_to=CHAT, key="tg:900001"),
        AssistantLine(turn=1, tool_calls=(CALL,), covers=1, provider="groq", model="gpt", usage=used),
        ApprovalAskedLine(turn=1, call_id="call_1", question="¿Lo permito?", digest="d" * 32, expires=NOW + 600),
        ApprovalGivenLine(turn=1, asked=3, call_id="call_1", decision="allow", by="42", key="tg:900002"),
        ToolStartedLine(turn=1, call_id="call_1", name="execute_shell"),
        ResumedLine(turn=1),
        ToolResultLine(turn=1, call_id="call_1", name="execute_shell", content="a\tb \\ \x1b[0m ñ", ms=12),
        UsageLine(turn=1, usage=used, provider="groq", model="gpt"),
        AssistantLine(turn=1, content="Pone: «ñ» " * 9, covers=1, final=True, reply_to=CHAT, usage=used),
        SendStartedLine(of=9, part=0),
        SendFailedLine(of=9, part=0),
        SendStartedLine(of=9, part=0),
        DeliveredLine(of=9, part=0, parts=1, message_id=31),
        CommandLine(name="proyecto", argument="demo", user_id="42", reply_to=CHAT, key="tg:900003"),
        ProjectLine(path="/home/p/demo"),
        ReplyLine(content="Trabajo en demo.", to=14, reply_to=CHAT),
        SendStartedLine(of=16, part=0),
        DeliveredLine(of=16, part=0, parts=1, message_id=32),
        SummaryLine(content="Se saludaron.", upto=9, project="/home/p/demo", usage=used),
        CommandLine(name="reintentar", user_id="42", key="tg:900004"),
        RetryLine(to=20),
        ReplyLine(content="Nada que reintentar.", to=20),
        UserLine(content="¿y ahora?", user_id="42", reply_to=CHAT, key="tg:900005"),
    ]
    assert {line.type for line in lines} == KNOWN_TYPES
    stamped = Journal.stamp(lines, 0, NOW)
    later = b'{"v":7,"seq":24,"ts":1795000001.0,"turn":23,"type":"dream","x":[1]}\n'
    return [*map(dump_line, stamped), later]


def loaded(path: Path) -> Journal:
    journal = Journal(path)
    journal.load(since=0)
    return journal


def survives(path: Path, data: bytes, intact: list[bytes]) -> None:
    """Loading, reading, folding and appending to a file with these bytes; the intact lines are all there."""
    path.with_suffix(".corrupt").unlink(missing_ok=True)
    path.write_bytes(data)
    journal = loaded(path)
    before = list(journal.lines)
    lost = [raw for raw in map(parse_line, intact) if raw not in before]
    assert not lost, f"lost: {lost}"
    fold(SESSION, before)
    fresh = journal.stamp([UserLine(content="después")], journal.seq, now=NOW)
    journal.write(fresh)
    journal.accept(fresh)
    assert path.read_bytes().startswith(data), "the log itself is never rewritten"
    again: list[Line] = loaded(path).lines
    assert again == [*before, *fresh] == read_all(path)
    seqs = [line.seq for line in again]
    assert seqs == sorted(set(seqs))
    _bad_lines_are_aside_once(path, data, before)


def _bad_lines_are_aside_once(path: Path, data: bytes, readable: list[Line]) -> None:
    corrupt = path.with_suffix(".corrupt")
    aside = corrupt.read_bytes() if corrupt.exists() else b""
    loaded(path)
    assert (corrupt.read_bytes() if corrupt.exists() else b"") == aside, "once, however often it is read"
    for raw in filter(bytes.strip, data.split(b"\n")):
        try:
            known = parse_line(raw) in readable
        except ValueError:
            assert aside.split(b"\n").count(raw) == 1, f"not kept: {raw[:80]!r}"
        else:
            assert known or aside, f"neither read nor kept: {raw[:80]!r}"


def untouched(lines: list[bytes], first: int, last: int) -> list[bytes]:
    """The lines of which no byte lies in first..last (newlines belong to the line they end)."""
    kept: list[bytes] = []
    start = 0
    for line in lines:
        if start + len(line) <= first or start > last:
            kept.append(line)
        start += len(line)
    return kept


@pytest.fixture
def no_sync(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: None)


@pytest.mark.usefixtures("no_sync")
def test_every_truncation_loses_the_cut_line_alone(tmp_path: Path) -> None:
    lines, data = realistic(), b"".join(realistic())
    for size in range(len(data)):
        survives(tmp_path / "s.jsonl", data[:size], untouched(lines, size, len(data)))


@pytest.mark.usefixtures("no_sync")
def test_a_line_that_lacks_only_its_newline_is_whole(tmp_path: Path) -> None:
    lines = realistic()
    for count in range(1, len(lines)):
        survives(tmp_path / "s.jsonl", b"".join(lines[:count])[:-1], lines[:count])


@pytest.mark.usefixtures("no_sync")
@pytest.mark.parametrize("seed", [1, 2])
def test_a_changed_byte_loses_its_own_line_at_most(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    lines, data = realistic(), b"".join(realistic())
    for _ in range(FLIPS):
        at = chance.randrange(len(data))
        byte = chance.choice([data[at] ^ 1 << chance.randrange(8), chance.randrange(256), *b'\n\0"e9'])
        damaged = data[:at] + bytes([byte]) + data[at + 1 :]
        last = at + 1 if data[at : at + 1] == b"\n" and byte != 10 else at  # without its end it takes the next along
        intact = untouched(lines, at, last) if byte != data[at] else lines
        try:
            survives(tmp_path / "s.jsonl", damaged, intact)
        except Exception as error:
            error.add_note(f"byte {at} of {data[max(0, at - 40) : at + 40]!r} made {byte} (seed {seed})")
            raise


@pytest.mark.usefixtures("no_sync")
@pytest.mark.parametrize("size", [1, 17, 512, 4096])
def test_a_hole_of_zeros_loses_what_lay_in_it(tmp_path: Path, size: int) -> None:
    lines = realistic() if size < 4096 else [*realistic(), *_many(200, first=25)]
    data = b"".join(lines)
    for at in range(0, len(data), 97 if size < 4096 else 2048):
        end = min(at + size, len(data)) - 1
        holed = data[:at] + bytes(end + 1 - at) + data[end + 1 :]
        swallowed_end = end + 1 if b"\n" in data[at : end + 1] else end  # the rest of a line without its beginning
        survives(tmp_path / "s.jsonl", holed, untouched(lines, at, swallowed_end))


def _many(count: int, first: int) -> list[bytes]:
    return [dump_line(UserLine(seq=n, ts=NOW, content=f"mensaje {n}")) for n in range(first, first + count)]


BLOCK = b"\0" * 4096
LATIN = "ñ".encode("latin-1")
STRANGE: dict[str, Callable[[list[bytes]], tuple[bytes, list[bytes]]]] = {
    "zeros behind the end": lambda lines: (b"".join(lines) + BLOCK, lines),
    "zeros behind a torn end": lambda lines: (b"".join(lines)[:-9] + BLOCK, lines[:-1]),
    "nothing but zeros": lambda lines: (BLOCK, []),
    "not UTF-8": lambda lines: (
        b"".join(lines).replace("ñ".encode(), LATIN),
        [x for x in lines if "ñ".encode() not in x],
    ),
    "an enormous line": lambda lines: (lines[0] + b"x" * 30_000_000 + b"\n" + b"".join(lines[1:]), lines),
    "an enormous torn line": lambda lines: (b"".join(lines) + b'{"v":1,' * 4_000_000, lines),
    "CRLF": lambda lines: (b"".join(lines).replace(b"\n", b"\r\n"), lines),
    "CR, as of old": lambda lines: (b"".join(lines).replace(b"\n", b"\r"), []),
    "a byte order mark": lambda lines: (b"\xef\xbb\xbf" + b"".join(lines), lines[1:]),
    "blank lines": lambda lines: (b"\n \n\t\r\n".join(lines), lines),
    "every line twice": lambda lines: (b"".join(line * 2 for line in lines), lines),
    "the whole file twice": lambda lines: (b"".join(lines * 2), lines),
    "nested without end": lambda lines: (b"".join(lines) + b"[" * 200_000, lines),
    "other JSON": lambda lines: (b"".join(lines) + b'null\n[]\n"seq"\n{}\n{"seq":"x"}\n{"seq":1e400}\n', lines),
    "an endless number": lambda lines: (b"".join(lines) + b'{"v":1,"seq":' + b"9" * 5_000 + b',"type":"x"}\n', lines),
}


@pytest.mark.usefixtures("no_sync")
@pytest.mark.parametrize("name", STRANGE)
def test_strange_files_are_read_as_far_as_they_can_be(tmp_path: Path, name: str) -> None:
    began = time.monotonic()
    survives(tmp_path / "s.jsonl", *STRANGE[name](realistic()))
    assert time.monotonic() - began < 20, "a bad line may not cost the square of its length"


@pytest.mark.parametrize("ts", ["1795000000e12", "179500000000.25", "-1795000000.25", "1e308", "-1e308", "NaN"])
def test_a_damaged_time_does_not_end_the_conversation(ts: str) -> None:
    raw = realistic()[0].replace(b"1795000000.25", ts.encode())
    ctx = fold(SESSION, [parse_line(raw)])
    assert "hola" in dress(ctx.messages, "Europe/Madrid")[-1].content


def test_a_damaged_summary_does_not_hide_what_is_open(tmp_path: Path) -> None:
    """Its `upto` may not reach beyond itself, nor over a message that nobody has answered."""
    path = tmp_path / "s.jsonl"
    path.write_bytes(b"".join(realistic()).replace(b'"upto":9,', b'"upto":99,'))
    window, _, _ = read_window(path, since=NOW + 1)
    assert 23 in fold(SESSION, window).conversation.open


async def test_an_answer_can_be_saved_in_a_session_with_a_bad_line(tmp_path: Path) -> None:
    lines = realistic()
    (tmp_path / "sessions").mkdir()
    (tmp_path / "sessions" / f"{SESSION}.jsonl").write_bytes(b"".join([*lines[:-3], b"\xff{\n", *lines[-3:]]))
    manager = SessionManager(tmp_path)
    ctx = await manager.load_session(SESSION)
    ctx.add_message("assistant", "guardada")
    await manager.save_session(ctx)
    assert ctx.conversation.last_answer == "guardada"
    await manager.close()


def test_a_full_disk_is_a_storage_error_also_when_there_is_a_bad_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Anything else would make the poller set the message aside as one that it cannot read."""
    path = tmp_path / "s.jsonl"
    path.write_bytes(b"\xff\n" + b"".join(realistic()))
    real = os.open

    def full(name: str | Path, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_CREAT:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(name, flags, mode)

    monkeypatch.setattr(os, "open", full)
    journal = Journal(path)
    try:
        journal.load(since=0)
    except StorageError:
        return
    assert journal.lines
