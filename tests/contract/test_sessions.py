"""SessionManager: durable, shared by several instances, deduplicating, closed to other processes."""

from __future__ import annotations

import asyncio
import gzip
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from app.cloud.committer import Committer, Job
from app.cloud.journal import Journal
from app.cloud.redo import RedoLog
from app.cloud.sessions import SessionManager
from app.core.contracts import LiveEvent
from app.core.errors import SessionConflict, SessionError, StorageError
from app.core.events import AssistantLine, CommandLine, SummaryLine, UserLine
from tests.support import kinds


async def test_the_snippet_of_the_specification(tmp_path: Path) -> None:
    manager = SessionManager(tmp_path)
    ctx = await manager.load_session("telegram_42")
    ctx.add_message("user", "hola")
    await manager.save_session(ctx)
    await manager.save_session(ctx)
    assert (tmp_path / "sessions" / "telegram_42.jsonl").read_text("utf-8").count("\n") == 1
    again = await SessionManager(tmp_path).load_session("telegram_42")
    assert [m.content for m in again.messages] == ["hola"]
    [info] = await manager.list_sessions()
    assert (info.session_id, info.channel, info.title) == ("telegram_42", "telegram", "hola")


async def test_a_delivery_seen_before_is_left_out_in_every_session_of_the_chat(tmp_path: Path) -> None:
    manager = SessionManager(tmp_path)
    assert len(await manager.append("telegram_42", UserLine(content="a", key="tg:1"))) == 1
    assert await manager.append("telegram_42", UserLine(content="a", key="tg:1")) == []
    assert await manager.append("telegram_42_2", CommandLine(name="para", key="tg:1")) == []
    assert len(await manager.append("telegram_43", UserLine(content="a", key="tg:1"))) == 1
    await manager.close()
    assert await SessionManager(tmp_path).append("telegram_42_2", UserLine(content="a", key="tg:1")) == []


async def test_an_update_id_counts_for_48_hours_only(tmp_path: Path) -> None:
    now = time.time()
    manager = SessionManager(tmp_path, clock=lambda: now)
    await manager.append("telegram_42", UserLine(content="a", key="tg:1"))
    now += 49 * 3600
    assert len(await manager.append("telegram_42", UserLine(content="otro", key="tg:1"))) == 1


async def test_writers_of_one_session_never_share_a_number(tmp_path: Path) -> None:
    one, two = SessionManager(tmp_path), SessionManager(tmp_path)
    await asyncio.gather(*(m.append("web_a", UserLine(content=str(i))) for i in range(50) for m in (one, two)))
    seqs = [line.seq for line in await one.read_lines("web_a")]
    assert seqs == list(range(1, 101))


async def test_a_context_is_brought_up_to_date(tmp_path: Path) -> None:
    manager = SessionManager(tmp_path)
    ctx = await manager.load_session("web_a")
    await manager.append("web_a", UserLine(content="de otro lado"))
    await manager.refresh(ctx)
    assert [m.content for m in ctx.messages] == ["de otro lado"]


async def test_saving_an_answer_to_a_conversation_that_moved_on_is_a_conflict(tmp_path: Path) -> None:
    manager = SessionManager(tmp_path)
    ctx = await manager.load_session("web_a")
    ctx.add_message("assistant", "respuesta")
    await manager.append("web_a", UserLine(content="entretanto"))
    with pytest.raises(SessionConflict):
        await manager.save_session(ctx)
    assert await kinds(manager, "web_a") == ["user"]


async def test_published_only_when_durable(tmp_path: Path) -> None:
    seen: list[tuple[str, int]] = []

    class Sink:
        def publish(self, session_id: str, event: LiveEvent) -> None:
            assert event.line is not None
            assert f'"seq":{event.line.seq},' in (tmp_path / "sessions" / f"{session_id}.jsonl").read_text("utf-8")
            seen.append((session_id, event.line.seq))

    await SessionManager(tmp_path, sink=Sink()).append("web_a", UserLine(content="a"), UserLine(content="b"))
    assert seen == [("web_a", 1), ("web_a", 2)]


async def test_the_transcript_reaches_behind_the_summary(tmp_path: Path) -> None:
    manager = SessionManager(tmp_path)
    await manager.append("web_a", UserLine(content="viejo"), AssistantLine(content="r", covers=1, final=True))
    await manager.append("web_a", SummaryLine(content="resumen", upto=2))
    await manager.append("web_a", UserLine(content="nuevo"))
    assert [line.seq for line in await manager.read_lines("web_a")] == [1, 2, 3, 4]
    assert [line.seq for line in await manager.read_lines("web_a", after=3)] == [4]
    ctx = await manager.load_session("web_a")
    assert [m.content for m in ctx.messages if m.seq] == ["nuevo"]


async def test_a_disk_that_refuses_acknowledges_nothing_and_recovers(tmp_path: Path) -> None:
    manager = SessionManager(tmp_path)
    await manager.append("web_a", UserLine(content="uno"))
    path = tmp_path / "sessions" / "web_a.jsonl"
    path.rename(tmp_path / "aside")
    path.mkdir()
    with pytest.raises(StorageError):
        await manager.append("web_a", UserLine(content="dos", key="k"))
    path.rmdir()
    (tmp_path / "aside").rename(path)
    assert len(await manager.append("web_a", UserLine(content="dos", key="k"))) == 1, "its next delivery is the first"
    assert [line.seq for line in await manager.read_lines("web_a")] == [1, 2]


async def test_a_name_that_leaves_the_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SessionError):
        await SessionManager(tmp_path).load_session("../../etc/passwd")


async def test_another_process_is_waited_for_and_then_refused(tmp_path: Path) -> None:
    manager = SessionManager(tmp_path)
    await manager.open()
    program = (
        "import sys; from pathlib import Path; from app.cloud.storage import Storage; "
        "from app.core.errors import StorageError\n"
        "try: Storage(Path(sys.argv[1]) / 'sessions').open(wait=float(sys.argv[2]))\n"
        "except StorageError as e: print('refused:', e); sys.exit(3)\n"
        "print('mine')"
    )
    root = Path(__file__).parents[2]

    def run(wait: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", program, str(tmp_path), wait]
        environment = os.environ | {"PYTHONPATH": str(root)}
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)

    refused = run("0.3")
    out, _ = await asyncio.to_thread(refused.communicate)
    assert refused.returncode == 3 and "Otra copia de Nanobot" in out
    waiting = run("20")
    await asyncio.sleep(0.3)
    await manager.close()
    out, _ = await asyncio.to_thread(waiting.communicate)
    assert out.strip() == "mine"


async def test_clean_up_removes_only_what_is_old_and_closed(tmp_path: Path) -> None:
    now = time.time()
    manager = SessionManager(tmp_path, clock=lambda: now)
    await manager.append("web_open", UserLine(content="sin responder"))
    await manager.append("web_done", UserLine(content="a"), AssistantLine(content="b", covers=1, final=True))
    await manager.append("web_new", UserLine(content="a"), AssistantLine(content="b", covers=1, final=True))
    for name in ("web_open", "web_done"):
        os.utime(tmp_path / "sessions" / f"{name}.jsonl", (now - 90 * 86_400, now - 90 * 86_400))
    assert await manager.cleanup_old_sessions() == 0, "nothing is removed unless SESSION_RETENTION_DAYS says so"
    assert await manager.cleanup_old_sessions(days=30) == 1
    assert sorted(i.session_id for i in await manager.list_sessions()) == ["web_new", "web_open"]


async def test_a_new_conversation_moves_the_chat_once_per_cause(tmp_path: Path) -> None:
    manager = SessionManager(tmp_path)
    await manager.open()
    assert await manager.chats.session_of("telegram_42") == "telegram_42"
    first = await manager.chats.start_new("telegram_42", "telegram_42:5")
    assert first == await manager.chats.start_new("telegram_42", "telegram_42:5") == "telegram_42_2"
    assert await SessionManager(tmp_path).chats.session_of("telegram_42") == "telegram_42_2"
    assert await manager.chats.start_new("telegram_42", "telegram_42_2:1") == "telegram_42_3"


async def test_question_and_answer_added_by_hand_keep_their_order_and_close(tmp_path: Path) -> None:
    manager = SessionManager(tmp_path)
    ctx = await manager.load_session("telegram_42")
    ctx.add_message("user", "hola")
    ctx.add_message("assistant", "buenas")
    await manager.save_session(ctx)
    assert [m.content for m in ctx.messages] == ["hola", "buenas"]
    assert not (await SessionManager(tmp_path).load_session("telegram_42")).has_work


async def test_what_could_not_be_saved_is_still_there_to_save(tmp_path: Path) -> None:
    manager = SessionManager(tmp_path)
    ctx = await manager.load_session("web_a")
    ctx.add_message("user", "hola")
    path = tmp_path / "sessions" / "web_a.jsonl"
    path.mkdir()
    with pytest.raises(StorageError):
        await manager.save_session(ctx)
    path.rmdir()
    await manager.save_session(ctx)
    assert await kinds(manager, "web_a") == ["user"]


async def test_a_failed_sync_is_taken_back_and_its_repeat_is_one_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager = SessionManager(tmp_path)
    await manager.append("web_a", UserLine(content="antes", key="k1"))
    real = os.fsync

    def refuse(descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(StorageError):
        await asyncio.gather(
            manager.append("web_a", UserLine(content="borra X", key="k2")),
            manager.append("web_a", UserLine(content="antes", key="k1")),
        )
    monkeypatch.setattr(os, "fsync", real)
    await manager.append("web_a", UserLine(content="borra X", key="k2"))
    assert await manager.append("web_a", UserLine(content="antes", key="k1")) == []
    text = (tmp_path / "sessions" / "web_a.jsonl").read_text("utf-8")
    assert text.count("borra X") == 1 and text.count("antes") == 1


async def test_a_failed_sync_that_cannot_be_taken_back_is_written_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager = SessionManager(tmp_path)
    path = tmp_path / "sessions" / "web_a.jsonl"
    await manager.append("web_a", UserLine(content="antes"))
    inode, real = path.stat().st_ino, (os.fsync, os.ftruncate)

    def refuse(*_: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", refuse)
    monkeypatch.setattr(os, "ftruncate", refuse)
    with pytest.raises(StorageError):
        await manager.append("web_a", UserLine(content="dos", key="k"))
    monkeypatch.setattr(os, "fsync", real[0])
    monkeypatch.setattr(os, "ftruncate", real[1])
    assert await manager.append("web_a", UserLine(content="dos", key="k")) == [], "it is in the file"
    assert path.stat().st_ino != inode, "in bytes that were surely synced"
    assert [line.seq for line in await manager.read_lines("web_a")] == [1, 2]


async def test_closing_writes_what_waits(tmp_path: Path) -> None:
    manager = SessionManager(tmp_path)
    await manager.open()
    writes = [asyncio.create_task(manager.append(f"web_{n}", UserLine(content="x", key=str(n)))) for n in range(20)]
    await asyncio.sleep(0)
    async with asyncio.timeout(10):
        await manager.close()
        await asyncio.gather(*writes)
        await manager.close()
    again = SessionManager(tmp_path)
    assert len(await again.list_sessions()) == 20
    assert await again.append("web_3", UserLine(content="x", key="3")) == []


async def test_a_cancelled_append_is_published_when_it_lands(tmp_path: Path) -> None:
    seen: list[str] = []

    class Sink:
        def publish(self, session_id: str, event: LiveEvent) -> None:
            seen.append(session_id)

    manager = SessionManager(tmp_path, sink=Sink())
    append = asyncio.create_task(manager.append("web_a", UserLine(content="a")))
    await asyncio.sleep(0)
    append.cancel()
    await manager.append("web_a")
    assert await kinds(manager, "web_a") == ["user"] and seen == ["web_a"]


async def test_one_folder_written_in_two_ways_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    await SessionManager(tmp_path / "data").append("web_a", UserLine(content="a"))
    async with asyncio.timeout(5):
        assert await kinds(SessionManager(Path("data")), "web_a") == ["user"]


async def test_files_of_other_names_are_no_sessions(tmp_path: Path) -> None:
    manager = SessionManager(tmp_path)
    await manager.append("web_a", UserLine(content="a"))
    for name in ("telegram_42 copia.jsonl", "Ñ.jsonl"):
        (tmp_path / "sessions" / name).write_text("{}\n")
    assert [info.session_id for info in await manager.list_sessions()] == ["web_a"]


async def test_a_context_held_across_a_compaction_misses_nothing(tmp_path: Path) -> None:
    manager = SessionManager(tmp_path)
    await manager.append("web_a", UserLine(content="uno"))
    held = await manager.load_session("web_a")
    await manager.append("web_a", AssistantLine(content="r", covers=1, final=True), UserLine(content="dos"))
    await manager.append("web_a", AssistantLine(content="r2", covers=3, final=True), SummaryLine(content="s", upto=4))
    await manager.refresh(held)
    assert not held.conversation.open and held.seq == 5


async def test_a_cleaned_session_can_be_used_again_by_who_still_holds_it(tmp_path: Path) -> None:
    now = time.time()
    manager = SessionManager(tmp_path, clock=lambda: now)
    await manager.append("web_a", UserLine(content="a"), AssistantLine(content="b", covers=1, final=True))
    held = await manager.load_session("web_a")
    os.utime(tmp_path / "sessions" / "web_a.jsonl", (now - 90 * 86_400, now - 90 * 86_400))
    assert await manager.cleanup_old_sessions(days=30) == 1
    await manager.append("web_a", UserLine(content="otra vez"))
    await manager.refresh(held)
    assert [line.content for line in held.conversation.open.values()] == ["otra vez"]


async def test_open_work_is_found_without_reading_what_has_not_changed(tmp_path: Path) -> None:
    manager = SessionManager(tmp_path)
    for n in range(5):
        await manager.append(f"web_{n}", UserLine(content="a"), AssistantLine(content="b", covers=1, final=True))
    await manager.append("web_open", UserLine(content="¿?"))
    assert await manager.busy_sessions() == ["web_open"]
    await manager.close()
    for n in range(5):  # the same size and time, but unreadable: it is not looked at
        path = tmp_path / "sessions" / f"web_{n}.jsonl"
        stat = path.stat()
        path.write_bytes(b"x" * stat.st_size)
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert await manager.busy_sessions() == ["web_open"]
    assert not list((tmp_path / "sessions").glob("*.corrupt"))
    await manager.append("web_7", UserLine(content="nueva"))
    (tmp_path / "idle.json").write_text("{roto")
    assert set(await manager.busy_sessions()) == {"web_open", "web_7"}


async def test_old_sessions_are_archived_and_old_archives_removed(tmp_path: Path) -> None:
    now = time.time()
    manager = SessionManager(tmp_path, clock=lambda: now)
    await manager.append("web_a", UserLine(content="a"), AssistantLine(content="b", covers=1, final=True))
    raw = (tmp_path / "sessions" / "web_a.jsonl").read_bytes()
    os.utime(tmp_path / "sessions" / "web_a.jsonl", (now - 40 * 86_400, now - 40 * 86_400))
    assert await manager.cleanup_old_sessions(days=30) == 1
    [archived] = (tmp_path / "archive").glob("*.gz")
    assert gzip.decompress(archived.read_bytes()) == raw
    os.utime(archived, (now - 40 * 86_400, now - 40 * 86_400))
    await manager.cleanup_old_sessions(days=30)
    assert not archived.exists()


async def test_what_cannot_be_archived_is_not_removed(tmp_path: Path) -> None:
    now = time.time()
    manager = SessionManager(tmp_path, clock=lambda: now)
    await manager.append("web_a", UserLine(content="a"), AssistantLine(content="b", covers=1, final=True))
    os.utime(tmp_path / "sessions" / "web_a.jsonl", (now - 40 * 86_400, now - 40 * 86_400))
    (tmp_path / "archive").write_text("a file where the folder should be")
    with pytest.raises(StorageError):
        await manager.cleanup_old_sessions(days=30)
    assert await kinds(manager, "web_a") == ["user", "assistant"]


async def test_who_had_the_folder_before_left_by_itself_or_died(tmp_path: Path) -> None:
    manager = SessionManager(tmp_path)
    await manager.append("web_a", UserLine(content="a"))
    await manager.close()
    await manager.open()
    assert manager.left_cleanly
    await manager.close()
    (tmp_path / ".left").unlink()
    await manager.open()
    assert not manager.left_cleanly


async def test_a_writer_outlives_whoever_waits_for_it(tmp_path: Path) -> None:
    """The end of an event loop cancels every task, those that write too."""
    manager = SessionManager(tmp_path)
    await manager.open()
    before = asyncio.all_tasks()
    append = asyncio.create_task(manager.append("web_a", UserLine(content="a")))
    while not [task for task in asyncio.all_tasks() - before if task.get_name() == "web_a"]:
        await asyncio.sleep(0)
    for task in asyncio.all_tasks() - before:
        await asyncio.sleep(0)
        task.cancel()
    await asyncio.gather(append, return_exceptions=True)
    async with asyncio.timeout(5):
        await manager.append("web_a", UserLine(content="b"))
    assert (await kinds(manager, "web_a"))[-1] == "user"


def test_a_waiter_that_gives_up_does_not_end_the_committer(tmp_path: Path) -> None:
    committer, journal = Committer(RedoLog(tmp_path / "redo.log")), Journal(tmp_path / "s.jsonl")
    with journal.lock:
        waiting = committer.submit(Job(journal, [UserLine(content="a")], keep=lambda _: True))
        assert not waiting.cancel()
    written = committer.submit(Job(journal, [UserLine(content="b")], keep=lambda _: True)).result(timeout=5)
    assert [line.seq for line in written] == [2]


@pytest.mark.parametrize("turns", [0, 1, 5, 20])
async def test_a_second_delivery_is_no_repeat_of_one_that_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, turns: int
) -> None:
    """It waits in the queue while the first one fails: it must not be taken for done."""
    manager = SessionManager(tmp_path)
    await manager.append("web_a", UserLine(content="antes"))
    real, faults = os.fsync, [OSError(5, "Input/output error")]

    def fails_once(descriptor: int) -> None:
        time.sleep(0.002)
        if faults:
            raise faults.pop()
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fails_once)
    first = asyncio.create_task(manager.append("web_a", UserLine(content="dos", key="k")))
    for _ in range(turns):
        await asyncio.sleep(0)
    second = asyncio.create_task(manager.append("web_a", UserLine(content="dos", key="k")))
    outcomes = await asyncio.gather(first, second, return_exceptions=True)
    written = [lines for lines in outcomes if not isinstance(lines, BaseException)]
    assert isinstance(outcomes[0], StorageError) and all(written), "nobody hears 'seen before' of what is not there"
    assert (await kinds(manager, "web_a")).count("user") == 1 + len(written)
