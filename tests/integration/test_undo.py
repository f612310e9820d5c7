"""/deshacer as the user meets it: the button, what is shown, what comes back; over restarts and twice."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from app.core.contracts import LiveEvent
from app.core.events import AssistantLine, CommandLine, dump_line, parse_line
from tests.fakes.brain import ScriptedBrain, calls, text
from tests.fakes.telegram import FakeTelegram
from tests.fakes.telegram_house import FRIEND, OWNER, bot, hurry, people
from tests.fakes.telegram_wire import Json
from tests.support import lines_of, make_settings, running_house, until

SESSION = f"telegram_{OWNER}"
WRECK = calls(("execute_shell", {"command": "rm -rf .git src && echo nuevo > nuevo.txt && chmod 600 guion.sh"}))


@pytest.fixture
async def telegram() -> AsyncGenerator[FakeTelegram]:
    async with people() as fake:
        yield fake


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    hurry(monkeypatch)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "home/proyectos/demo"
    (folder / "src/vacía").mkdir(parents=True)
    (folder / "src/ñandú.py").write_text("uno\n")
    (folder / "guion.sh").write_text("#!/bin/sh\n")
    (folder / "guion.sh").chmod(0o750)
    (folder / "enlace").symlink_to("src/ñandú.py")
    git(folder, "init", "-q", "-b", "main")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "uno")
    return folder


def git(folder: Path, *words: str) -> str:
    person = ["-c", "user.name=a", "-c", "user.email=a@b"]
    done = subprocess.run(["git", *person, *words], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout


def tree(folder: Path) -> dict[str, object]:
    """Everything that undo promises to bring back; git's index is left out, git itself looks through it anew."""
    found: dict[str, object] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            found[name] = os.readlink(path)
        elif name != ".git/index":
            found[name] = (path.stat().st_mode & 0o777, path.read_bytes() if path.is_file() else None)
    return found


def buttons(message: Json) -> dict[str, str]:
    return {b["text"]: b["callback_data"] for row in message["reply_markup"]["inline_keyboard"] for b in row}


async def test_rm_rf_of_everything_comes_back(tmp_path: Path, telegram: FakeTelegram, project: Path) -> None:
    before = tree(project)
    async with bot(tmp_path, telegram, ScriptedBrain(WRECK, text("hecho")), approvals="nunca") as (house, _):
        telegram.user_says(OWNER, "/proyecto demo")
        await telegram.wait_for_message("Proyecto actual")
        telegram.user_says(OWNER, "rómpelo todo")
        answer = await telegram.wait_for_message("hecho")
        assert not (project / ".git").exists() and (project / "nuevo.txt").exists()
        [(label, look)] = buttons(answer).items()
        assert label.startswith("Deshacer (")
        telegram.presses(answer, look)
        review = await telegram.wait_for_message("¿Lo hago?")
        assert "demo/nuevo.txt: nuevo" in review["text"] and "demo/src/ñandú.py: borrado (+0 −1)" in review["text"]
        assert ".git" in review["text"] and set(buttons(review)) == {"Deshacer", "Cancelar"}
        assert not (project / ".git").exists(), "nothing happens before it is confirmed"
        undo = buttons(review)["Deshacer"]
        telegram.presses(review, undo)
        done = await telegram.wait_for_message("Deshecho")
        assert tree(project) == before and git(project, "status", "--short") == ""
        git(project, "fsck")

        telegram.presses(review, undo)
        await telegram.wait_for_message("Eso ya se hizo")
        assert tree(project) == before

        telegram.presses(done, buttons(done)["Rehacer"])
        await telegram.wait_for_message("Rehecho")
        assert (project / "nuevo.txt").exists() and not (project / ".git").exists()
        commands = [c for c in await lines_of(house.store, SESSION) if isinstance(c, CommandLine)]
        assert [c.name for c in commands].count("deshacer") == 4, "each press is a line"


async def test_twice_goes_further_back(tmp_path: Path, telegram: FakeTelegram, project: Path) -> None:
    def write(content: str) -> object:
        return calls(("write_file", {"path": "src/ñandú.py", "content": content}))

    brain = ScriptedBrain(write("dos\n"), text("listo dos"), write("tres\n"), text("listo tres"), text("nada"))  # pyright: ignore[reportArgumentType]
    async with bot(tmp_path, telegram, brain) as (house, _):
        telegram.user_says(OWNER, "/proyecto demo")
        for n, word in enumerate(("dos", "tres", "nada")):
            telegram.user_says(OWNER, word)
            answer = await telegram.wait_for_message(("listo dos", "listo tres", "nada")[n])
        assert "reply_markup" not in answer, "nothing was changed: no button"
        for expected in ("dos\n", "uno\n"):
            telegram.user_says(OWNER, "/deshacer")
            await until(lambda: len([t for t in telegram.texts(OWNER) if "¿Lo hago?" in t]) >= 1)
            telegram.user_says(OWNER, "/deshacer sí")
            await until(lambda: (project / "src/ñandú.py").read_text() == expected)  # noqa: B023
            await house.runner.lanes.idle()
        telegram.user_says(OWNER, "/deshacer")
        await telegram.wait_for_message("No hay nada que deshacer")


async def test_what_changed_since_it_was_shown_is_shown_again(
    tmp_path: Path, telegram: FakeTelegram, project: Path
) -> None:
    change = calls(("write_file", {"path": "a.txt", "content": "del modelo"}))
    async with bot(tmp_path, telegram, ScriptedBrain(change, text("hecho"))) as (house, _):
        telegram.user_says(OWNER, "/proyecto demo")
        telegram.user_says(OWNER, "escribe")
        await telegram.wait_for_message("hecho")
        telegram.user_says(OWNER, "/deshacer")
        review = await telegram.wait_for_message("¿Lo hago?")
        (project / "mío.txt").write_text("del usuario")
        telegram.presses(review, buttons(review)["Deshacer"])
        again = await telegram.wait_for_message("Ha cambiado algo")
        assert "mío.txt" in again["text"] and (project / "a.txt").exists() and (project / "mío.txt").exists()
        telegram.presses(again, buttons(again)["Cancelar"])
        await telegram.wait_for_message("lo dejo como está")
        await house.runner.lanes.idle()
        assert (project / "a.txt").exists()


async def test_only_where_it_was_offered(tmp_path: Path, telegram: FakeTelegram, project: Path) -> None:
    change = calls(("write_file", {"path": "a.txt", "content": "del modelo"}))
    async with bot(tmp_path, telegram, ScriptedBrain(change, text("hecho"))):
        telegram.user_says(OWNER, "escribe")
        answer = await telegram.wait_for_message("hecho")
        [look] = buttons(answer).values()
        elsewhere = answer | {"chat": telegram.chats[FRIEND].as_json(), "message_id": 900}
        telegram.presses(elsewhere, look, user_id=FRIEND)
        await telegram.wait_until(lambda: telegram.calls_of("answerCallbackQuery") or None)
        assert telegram.calls_of("answerCallbackQuery")[0].params["text"] == "Esta pregunta ya no está abierta."
        assert not [t for t in telegram.texts(FRIEND) if "¿Lo hago?" in t]


async def test_an_undo_that_died_halfway_is_carried_out_at_the_next_start(tmp_path: Path, project: Path) -> None:
    settings = make_settings(tmp_path, approvals="nunca")
    before = tree(project)
    async with running_house(settings, ScriptedBrain(WRECK, text("hecho"))) as house:
        await house.inbox.session_command("web_1", "proyecto", "demo", "web")
        await house.inbox.session_message("web_1", "rómpelo", "web")
        await house.runner.lanes.idle()
        await house.inbox.session_command("web_1", "deshacer", "", "web")
        await house.runner.lanes.idle()
        command = CommandLine(name="deshacer", argument="sí", user_id="web")
        [written] = await house.store.append("web_1", command)  # accepted, and then the process dies…
        checkpoints = house.parts.undo.checkpoints("web_1")
        [point] = await checkpoints.points("web_1")
        await checkpoints.before_undo(point, f"web_1:{written.seq}")
        await checkpoints.mark([point], f"web_1:{written.seq}")
        (project / "src").mkdir()  # …with a part of it done
    async with running_house(settings, ScriptedBrain()) as house:
        await house.runner.lanes.idle()
        assert tree(project) == before
        kinds = [p.kind for p in await house.parts.undo.checkpoints("web_1").points("web_1")]
        assert kinds == ["turn", "undo"], "the state before it is kept once"


async def test_not_in_the_middle_of_a_turn(tmp_path: Path, project: Path) -> None:
    risky = calls(("git_operation", {"cmd": "reset --hard"}))
    async with running_house(make_settings(tmp_path), ScriptedBrain(risky)) as house:
        await house.inbox.session_message("web_1", "hazlo", "web")
        while not (await house.parts.contexts.get("web_1")).questions:
            await asyncio.sleep(0.01)
        await house.inbox.session_command("web_1", "deshacer", "", "web")
        replies = [x.content for x in await lines_of(house.store, "web_1") if x.type == "reply"]
        assert replies[-1].startswith("Estoy en medio de algo")


def break_the_store(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir(exist_ok=True)
    (tmp_path / "data/undo").write_text("no es una carpeta")


async def test_without_a_point_the_user_decides(tmp_path: Path, telegram: FakeTelegram, project: Path) -> None:
    change = calls(("write_file", {"path": "a.txt", "content": "x"}))
    again = calls(("write_file", {"path": "b.txt", "content": "x"}))
    brain = ScriptedBrain(change, text("rechazado"), change, again, text("hecho"))
    break_the_store(tmp_path)
    file = tmp_path / "home/proyectos/a.txt"
    async with bot(tmp_path, telegram, brain):
        telegram.user_says(OWNER, "uno")
        question = await telegram.wait_for_message("Sin punto de deshacer")
        telegram.presses(question, buttons(question)["Rechazar"])
        await telegram.wait_for_message("rechazado")
        assert not file.exists()
        telegram.user_says(OWNER, "dos")
        await telegram.wait_until(lambda: len([t for t in telegram.texts(OWNER) if "¿Sigo?" in t]) == 2 or None)
        [question] = [m for m in telegram.chats[OWNER].messages.values() if "reply_markup" in m]
        telegram.presses(question, buttons(question)["Permitir"])
        await telegram.wait_for_message("hecho")
        assert file.exists() and file.with_name("b.txt").exists(), "asked once in a turn"


async def test_who_never_wants_to_be_asked_is_told(tmp_path: Path, telegram: FakeTelegram, project: Path) -> None:
    change = calls(("write_file", {"path": "a.txt", "content": "x"}))
    break_the_store(tmp_path)
    async with bot(tmp_path, telegram, ScriptedBrain(change, text("hecho")), approvals="nunca"):
        telegram.user_says(OWNER, "uno")
        await telegram.wait_for_message("hecho")
        await telegram.wait_for_message("no se podrá deshacer")


async def test_reading_makes_no_point(tmp_path: Path, project: Path) -> None:
    looks = calls(("list_dir", {}), ("git_operation", {"cmd": "status"}), ("execute_shell", {"command": "ls"}))
    async with running_house(make_settings(tmp_path), ScriptedBrain(looks, text("visto"))) as house:
        await house.inbox.session_command("web_1", "proyecto", "demo", "web")
        await house.inbox.session_message("web_1", "mira", "web")
        await house.runner.lanes.idle()
        assert await house.parts.undo.checkpoints("web_1").points("web_1") == []
        final = (await lines_of(house.store, "web_1"))[-1]
        assert final.type == "assistant" and final.undo is None


async def test_the_point_is_on_disk_before_the_tool_is_announced(tmp_path: Path, project: Path) -> None:
    change = calls(("write_file", {"path": "a.txt", "content": "x"}))
    seen: list[int] = []
    async with running_house(make_settings(tmp_path), ScriptedBrain(change, text("hecho"))) as house:

        def look(_: str, event: LiveEvent) -> None:
            if event.line is not None and event.line.type == "tool_started":
                seen.append(len(list((tmp_path / "data/undo/points").glob("*.json"))))

        house.hub.listen(look)
        await house.inbox.session_message("web_1", "escribe", "web")
        await house.runner.lanes.idle()
    assert seen == [1]


async def test_turned_off_it_says_so(tmp_path: Path, project: Path) -> None:
    change = calls(("write_file", {"path": "a.txt", "content": "x"}))
    async with running_house(make_settings(tmp_path, undo_days=0), ScriptedBrain(change, text("hecho"))) as house:
        await house.inbox.session_message("web_1", "escribe", "web")
        await house.runner.lanes.idle()
        await house.inbox.session_command("web_1", "deshacer", "", "web")
        await house.runner.lanes.idle()
        last = (await lines_of(house.store, "web_1"))[-1]
        assert last.type == "reply" and "UNDO_DAYS=0" in last.content
    assert not (tmp_path / "data/undo").exists()


async def test_a_forgotten_conversation_keeps_no_points(tmp_path: Path, project: Path) -> None:
    change = calls(("write_file", {"path": "a.txt", "content": "x"}))
    async with running_house(make_settings(tmp_path), ScriptedBrain(change, text("hecho"))) as house:
        await house.inbox.session_message("web_1", "escribe", "web")
        await house.runner.lanes.idle()
        assert await house.parts.undo.checkpoints("web_1").points("web_1")
        await house.inbox.session_command("web_1", "olvidar", "sí", "web")
        assert await house.parts.undo.checkpoints("web_1").points("web_1") == []


async def test_an_old_log_without_offers_is_read_as_before(tmp_path: Path) -> None:
    old = (
        '{"v":1,"seq":1,"ts":1.0,"turn":1,"type":"assistant","role":"assistant","content":"x","covers":1,"final":true}'
    )
    line = parse_line(old)
    assert isinstance(line, AssistantLine) and line.undo is None and b"undo" not in dump_line(line)
