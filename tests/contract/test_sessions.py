"""SessionManager: durable, shared by several instances, deduplicating, closed to other processes."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

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
