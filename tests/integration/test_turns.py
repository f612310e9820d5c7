"""Lanes, commands, approvals and recovery around the loop: what a person sees of it."""

from __future__ import annotations

import asyncio
import subprocess
import time
from pathlib import Path

import pytest

from app.core.contracts import CallOptions, ModelRequest
from app.core.errors import StorageError, TurnPostponed
from app.core.events import (
    ApprovalAskedLine,
    ApprovalGivenLine,
    AssistantLine,
    CommandLine,
    ReplyLine,
    ToolResultLine,
    ToolStartedLine,
    UserLine,
)
from app.core.messages import Reply, ToolCall
from tests.fakes.brain import ScriptedBrain, calls, text
from tests.fakes.channel import FakeChannel
from tests.support import CHAT, kinds, lines_of, make_settings, running_house, until

SESSION = "telegram_42"
RISKY = ("execute_shell", {"command": "echo hecho >> contador.txt"})


def counter(tmp_path: Path) -> int:
    path = tmp_path / "home" / "proyectos" / "contador.txt"
    return path.read_text().count("hecho") if path.exists() else 0


async def test_messages_of_one_chat_are_answered_in_order_and_chats_side_by_side(tmp_path: Path) -> None:
    gate = asyncio.Event()

    async def slow(request: ModelRequest, call: CallOptions) -> Reply:
        await gate.wait()
        return text("lenta")

    brain = ScriptedBrain(slow, text("rápida"), text("segunda"))
    channel = FakeChannel()
    async with running_house(make_settings(tmp_path), brain, channel) as house:
        await house.inbox.message(SESSION, "uno", "42", reply_to=CHAT)
        await until(lambda: len(brain.requests) == 1)
        await house.inbox.message("telegram_43", "otro", "43", reply_to=CHAT.model_copy(update={"chat_id": 43}))
        [first] = await channel.wait_for(1)
        assert (first.to.chat_id, first.text) == (43, "rápida")
        await house.inbox.message(SESSION, "dos", "42", reply_to=CHAT)
        gate.set()
        await channel.wait_for(3)
        assert [s.text for s in channel.sent] == ["rápida", "lenta", "segunda"]
        assert [m.content.split()[0] for m in brain.requests[2].messages] == ["uno", "lenta", "dos"]


async def test_a_repeated_delivery_is_answered_once(tmp_path: Path) -> None:
    brain, channel = ScriptedBrain(text("una vez")), FakeChannel()
    async with running_house(make_settings(tmp_path), brain, channel) as house:
        for _ in range(3):
            await house.inbox.message(SESSION, "hola", "42", reply_to=CHAT, key="tg:1")
        await channel.wait_for(1)
        await house.runner.lanes.idle()
        await house.delivery.lanes.idle()
    assert len(channel.sent) == 1 and len(brain.requests) == 1


async def test_a_risky_call_waits_for_a_yes_and_runs_once(tmp_path: Path) -> None:
    brain, channel = ScriptedBrain(calls(RISKY), text("hecho")), FakeChannel()
    async with running_house(make_settings(tmp_path), brain, channel) as house:
        await house.inbox.message(SESSION, "hazlo", "42", reply_to=CHAT)
        [question] = await channel.wait_for(1)
        assert "echo hecho >> contador.txt" in question.text and counter(tmp_path) == 0
        yes, no, *_ = question.choices
        assert all(len(c.data.encode()) <= 64 for c in (yes, no))
        _, session_id, asked = yes.data.split("|")
        assert await house.inbox.decision(session_id, int(asked), "allow", "42", "tg:9")
        assert not await house.inbox.decision(session_id, int(asked), "deny", "42", "tg:10"), "the first one wins"
        await channel.wait_for(2)
        assert counter(tmp_path) == 1 and channel.sent[1].text == "hecho"


async def test_a_refused_call_does_not_run_and_the_model_hears_so(tmp_path: Path) -> None:
    brain, channel = ScriptedBrain(calls(RISKY), text("de acuerdo")), FakeChannel()
    async with running_house(make_settings(tmp_path), brain, channel) as house:
        await house.inbox.message(SESSION, "hazlo", "42", reply_to=CHAT)
        [question] = await channel.wait_for(1)
        await house.inbox.decision(SESSION, int(question.choices[0].data.split("|")[2]), "deny", "42")
        await channel.wait_for(2)
    assert counter(tmp_path) == 0 and "rechazado" in brain.requests[1].messages[-1].content


async def test_a_new_message_answers_an_open_question(tmp_path: Path) -> None:
    brain, channel = ScriptedBrain(calls(RISKY), text("dejado")), FakeChannel()
    async with running_house(make_settings(tmp_path), brain, channel) as house:
        await house.inbox.message(SESSION, "hazlo", "42", reply_to=CHAT)
        await channel.wait_for(1)
        await house.inbox.message(SESSION, "no, déjalo", "42", reply_to=CHAT)
        await channel.wait_for(2)
        assert channel.sent[1].text == "dejado" and counter(tmp_path) == 0
        last = brain.requests[1].messages
        assert [m.role for m in last[-2:]] == ["tool", "user"] and "otro mensaje" in last[-2].content


async def test_a_question_expires(tmp_path: Path) -> None:
    brain, channel = ScriptedBrain(calls(RISKY), text("nadie contestó")), FakeChannel()
    async with running_house(make_settings(tmp_path, approval_minutes=0.002), brain, channel) as house:
        await house.inbox.message(SESSION, "hazlo", "42", reply_to=CHAT)
        await channel.wait_for(2)
        given = [line for line in await lines_of(house.store, SESSION) if isinstance(line, ApprovalGivenLine)]
    assert [g.decision for g in given] == ["expired"] and counter(tmp_path) == 0


async def test_an_open_question_survives_a_restart(tmp_path: Path) -> None:
    settings, channel = make_settings(tmp_path), FakeChannel()
    async with running_house(settings, ScriptedBrain(calls(RISKY)), channel) as house:
        await house.inbox.message(SESSION, "hazlo", "42", reply_to=CHAT)
        [question] = await channel.wait_for(1)
        await house.delivery.lanes.idle()
    async with running_house(settings, ScriptedBrain(text("hecho")), channel) as house:
        await until(lambda: bool(house.runner.lanes.busy))
        await house.inbox.decision(SESSION, int(question.choices[0].data.split("|")[2]), "allow", "42")
        await channel.wait_for(2)
        assert (await kinds(house.store, SESSION)).count("approval_asked") == 1
    assert counter(tmp_path) == 1 and [s.text for s in channel.sent][1:] == ["hecho"]


async def test_what_a_dead_process_left_open_goes_on(tmp_path: Path) -> None:
    settings, channel = make_settings(tmp_path), FakeChannel()
    async with running_house(settings, ScriptedBrain()) as house:
        await house.store.append(SESSION, UserLine(content="hola", reply_to=CHAT))
        await house.store.append("telegram_7", CommandLine(name="ayuda", reply_to=CHAT))
        answered = AssistantLine(content="sin entregar", covers=1, final=True, reply_to=CHAT)
        await house.store.append("telegram_8", UserLine(content="x", reply_to=CHAT), answered)
        await house.store.append("web_done", UserLine(content="x"), AssistantLine(content="y", covers=1, final=True))
    brain = ScriptedBrain(text("sigo"))
    async with running_house(settings, brain, channel):
        await channel.wait_for(3)
    assert sorted(s.text[:12] for s in channel.sent) == ["Escríbeme en", "sigo", "sin entregar"]
    assert len(brain.requests) == 1 and not any(s.repeat for s in channel.sent)


async def test_a_call_that_died_under_way_is_never_rerun_by_itself(tmp_path: Path) -> None:
    settings, channel = make_settings(tmp_path), FakeChannel()
    shell = ToolCall(id="c1", name="execute_shell", arguments='{"command": "echo hecho >> contador.txt"}')
    look = ToolCall(id="c2", name="list_dir", arguments="{}")
    async with running_house(settings, ScriptedBrain()) as house:
        await house.store.append(
            SESSION,
            UserLine(content="hazlo", reply_to=CHAT),
            AssistantLine(tool_calls=(shell, look), covers=1),
            ToolStartedLine(call_id="c1", name="execute_shell"),
            ToolStartedLine(call_id="c2", name="list_dir"),
        )
    async with running_house(settings, ScriptedBrain(text("listo")), channel) as house:
        [question] = await channel.wait_for(1)
        assert "a medias" in question.text and counter(tmp_path) == 0
        await house.inbox.decision(SESSION, int(question.choices[0].data.split("|")[2]), "deny", "42")
        await channel.wait_for(2)
        results = [line for line in await lines_of(house.store, SESSION) if isinstance(line, ToolResultLine)]
    assert counter(tmp_path) == 0
    assert {r.call_id: r.is_error for r in results} == {"c1": True, "c2": False}, "a mere read runs again"


async def test_stop_ends_the_turn_kills_the_command_and_keeps_the_message(tmp_path: Path) -> None:
    brain, channel = (
        ScriptedBrain(calls(("execute_shell", {"command": "sleep 30; echo hecho >> contador.txt"}))),
        FakeChannel(),
    )
    async with running_house(make_settings(tmp_path, approvals="nunca"), brain, channel) as house:
        await house.inbox.message(SESSION, "espera", "42", reply_to=CHAT)
        async with asyncio.timeout(5):
            while "tool_started" not in await kinds(house.store, SESSION):
                await asyncio.sleep(0.01)
        await house.inbox.command(SESSION, "para", "", "42", reply_to=CHAT)
        await channel.wait_for(2)
        ctx = await house.store.load_session(SESSION)
        assert not ctx.has_work and ctx.conversation.can_retry and not house.runner.lanes.busy
    alive = subprocess.run(["pgrep", "-f", "echo hecho >> contador.txt"], capture_output=True, text=True).stdout
    assert alive == "" and {"De acuerdo, lo detengo."} <= {s.text for s in channel.sent}


async def test_commands_answer_at_once(tmp_path: Path) -> None:
    for name in ("uno", "dos"):
        (tmp_path / "home" / "proyectos" / name / ".git").mkdir(parents=True)
    brain, channel = ScriptedBrain(text("ok")), FakeChannel()
    async with running_house(make_settings(tmp_path), brain, channel) as house:
        for name, argument in [
            ("start", ""), ("ayuda", ""), ("estado", ""), ("proyecto", ""), ("proyecto", "un"), ("proyecto", "zz"),
            ("para", ""), ("reintentar", ""), ("adjunto", ""), ("vuela", ""),
        ]:  # fmt: skip
            await house.inbox.command(SESSION, name, argument, "42", reply_to=CHAT)
        sent = [s.text for s in await channel.wait_for(10)]
        for text_, hint in zip(
            sent,
            [
                "Hola",
                "/nuevo",
                "Modelos",
                "• uno",
                "actual: uno",
                "No encuentro",
                "No estaba",
                "No hay",
                "texto",
                "/vuela",
            ],
            strict=True,
        ):
            assert hint in text_
        await house.inbox.message(SESSION, "hola", "42", reply_to=CHAT)
        await channel.wait_for(11)
        assert str(tmp_path / "home" / "proyectos" / "uno") in brain.requests[0].system


async def test_a_new_conversation_starts_in_its_own_file_and_keeps_the_project(tmp_path: Path) -> None:
    (tmp_path / "home" / "proyectos" / "uno" / ".git").mkdir(parents=True)
    brain, channel = ScriptedBrain(text("primera"), text("segunda")), FakeChannel()
    async with running_house(make_settings(tmp_path), brain, channel) as house:
        await house.inbox.command(SESSION, "proyecto", "uno", "42", reply_to=CHAT)
        await house.inbox.message(SESSION, "hola", "42", reply_to=CHAT)
        await channel.wait_for(2)
        await house.inbox.command(SESSION, "nuevo", "", "42", reply_to=CHAT, key="tg:5")
        await house.inbox.command(SESSION, "nuevo", "", "42", reply_to=CHAT, key="tg:5")
        await house.inbox.message(SESSION, "otra cosa", "42", reply_to=CHAT)
        await channel.wait_for(4)
        assert [m.role for m in brain.requests[1].messages] == ["user"]
        fresh = await house.store.load_session("telegram_42_2")
        assert fresh.project.endswith("uno") and fresh.conversation.last_answer == "segunda"
        assert not (tmp_path / "data" / "sessions" / "telegram_42_3.jsonl").exists()


async def test_leaving_lets_the_running_step_end_and_the_next_start_goes_on(tmp_path: Path) -> None:
    settings, channel = make_settings(tmp_path, approvals="nunca"), FakeChannel()
    slow = calls(("execute_shell", {"command": "sleep 0.3; echo hecho >> contador.txt"}))
    async with running_house(settings, ScriptedBrain(slow, text("no llega")), channel) as house:
        await house.inbox.message(SESSION, "hazlo", "42", reply_to=CHAT)
        async with asyncio.timeout(5):
            while "tool_started" not in await kinds(house.store, SESSION):
                await asyncio.sleep(0.01)
    assert counter(tmp_path) == 1 and not channel.sent
    async with running_house(settings, ScriptedBrain(text("terminado")), channel) as house:
        await channel.wait_for(1)
        assert [line.type for line in await lines_of(house.store, SESSION)].count("tool_started") == 1
    assert counter(tmp_path) == 1 and [s.text for s in channel.sent] == ["terminado"]


async def test_asking_before_paying(tmp_path: Path) -> None:
    async def dear(request: ModelRequest, call: CallOptions) -> Reply:
        return text("pagado" if await call.may_pay("anthropic") else "sin pagar")

    channel = FakeChannel()
    async with running_house(make_settings(tmp_path), ScriptedBrain(dear), channel) as house:
        await house.inbox.message(SESSION, "hola", "42", reply_to=CHAT)
        [question] = await channel.wait_for(1)
        assert "Claude" in question.text
        await house.inbox.decision(SESSION, int(question.choices[0].data.split("|")[2]), "allow", "42")
        await channel.wait_for(2)
        asked = [line for line in await lines_of(house.store, SESSION) if isinstance(line, ApprovalAskedLine)]
    assert channel.sent[1].text == "pagado" and asked[0].kind == "pay"


async def test_stop_spares_what_came_after_it(tmp_path: Path) -> None:
    """A /para whose process died before it was carried out: the message behind it is answered."""
    brain = ScriptedBrain(text("respondida"))
    settings = make_settings(tmp_path)
    async with running_house(settings, ScriptedBrain()) as house:
        await house.store.append(SESSION, CommandLine(name="para", reply_to=CHAT))
        await house.store.append(SESSION, UserLine(content="nuevo", reply_to=CHAT))
    channel = FakeChannel()
    async with running_house(settings, brain, channel):
        await channel.wait_for(2)
    assert [s.text for s in channel.sent][-1] == "respondida"


async def test_two_risky_calls_do_not_hold_a_new_message_twice(tmp_path: Path) -> None:
    brain, channel = ScriptedBrain(calls(RISKY, RISKY), text("te atiendo")), FakeChannel()
    async with running_house(make_settings(tmp_path), brain, channel) as house:
        await house.inbox.message(SESSION, "hazlo", "42", reply_to=CHAT)
        await channel.wait_for(1)
        await house.inbox.message(SESSION, "déjalo", "42", reply_to=CHAT)
        await channel.wait_for(2)
        asked = [line for line in await lines_of(house.store, SESSION) if isinstance(line, ApprovalAskedLine)]
    assert len(asked) == 1 and channel.sent[-1].text == "te atiendo" and counter(tmp_path) == 0


async def test_a_question_about_another_folder_is_asked_anew_once(tmp_path: Path) -> None:
    """The project changed while a question was open, and the process died: the old yes is worth nothing.

    The project is made after the turn has looked for projects: /proyecto finds it all the same.
    """
    settings = make_settings(tmp_path)
    projects = tmp_path / "home" / "proyectos"
    before, after = FakeChannel(), FakeChannel()
    async with running_house(settings, ScriptedBrain(calls(RISKY)), before) as house:
        await house.inbox.message(SESSION, "hazlo", "42", reply_to=CHAT)
        await before.wait_for(1)
        (projects / "dos" / ".git").mkdir(parents=True)
        await house.inbox.command(SESSION, "proyecto", "dos", "42", reply_to=CHAT)
        assert "Proyecto actual: dos" in (await before.wait_for(2))[1].text
    async with running_house(settings, ScriptedBrain(text("hecho")), after) as house:
        await after.wait_for(1)
        lines = await lines_of(house.store, SESSION)
        questions = [line for line in lines if isinstance(line, ApprovalAskedLine)]
        assert len(questions) == 2 and questions[0].digest != questions[1].digest
        assert not await house.inbox.decision(SESSION, questions[0].seq, "allow", "42")
        assert await house.inbox.decision(SESSION, questions[1].seq, "allow", "42")
        await after.wait_for(2)
    assert (projects / "dos" / "contador.txt").exists() and counter(tmp_path) == 0


async def test_commands_at_the_same_time_are_answered_once_each(tmp_path: Path) -> None:
    async with running_house(make_settings(tmp_path), ScriptedBrain()) as house:
        await asyncio.gather(*(house.inbox.session_command(SESSION, "estado", "", "42") for _ in range(4)))
        assert sorted(await kinds(house.store, SESSION)) == ["command"] * 4 + ["reply"] * 4


async def test_a_command_that_breaks_does_not_stand_before_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = make_settings(tmp_path)
    async with running_house(settings, ScriptedBrain()) as house:

        async def broken() -> list[object]:
            raise PermissionError(13, "pgdata")

        monkeypatch.setattr(house.parts.surroundings, "projects", broken)
        await house.inbox.command(SESSION, "proyecto", "", "42", reply_to=None)
        await house.inbox.command(SESSION, "ayuda", "", "42", reply_to=None)
        replies = [line for line in await lines_of(house.store, SESSION) if isinstance(line, ReplyLine)]
    assert "dentro de Nanobot" in replies[0].content and "/nuevo" in replies[1].content


async def test_a_command_whose_effect_the_disk_refused_is_carried_out_with_its_next_delivery(tmp_path: Path) -> None:
    async with running_house(make_settings(tmp_path), ScriptedBrain()) as house:
        await house.inbox.command(SESSION, "ayuda", "", "42", reply_to=None, key="tg:1")
        blocked = tmp_path / "data" / "chats.json"
        blocked.mkdir()
        with pytest.raises(StorageError):
            await house.inbox.command(SESSION, "nuevo", "", "42", reply_to=None, key="tg:2")
        blocked.rmdir()
        await house.inbox.command(SESSION, "nuevo", "", "42", reply_to=None, key="tg:2")
        assert (await kinds(house.store, SESSION)).count("reply") == 2
        assert await house.store.chats.session_of(SESSION) == f"{SESSION}_2"


async def test_a_new_message_instead_of_an_answer_about_money_is_not_lost(tmp_path: Path) -> None:
    async def paid(request: ModelRequest, call: CallOptions) -> Reply:
        return text("pagada" if await call.may_pay("anthropic") else "gratis")

    brain, channel = ScriptedBrain(paid, paid), FakeChannel()
    async with running_house(make_settings(tmp_path), brain, channel) as house:
        await house.inbox.message(SESSION, "uno", "42", reply_to=CHAT)
        await channel.wait_for(1)
        await house.inbox.message(SESSION, "dos", "42", reply_to=CHAT)
        [_, question] = await channel.wait_for(2)
        await house.inbox.decision(SESSION, int(question.choices[0].data.split("|")[2]), "allow", "42")
        await channel.wait_for(3)
    assert channel.sent[-1].text == "pagada"
    assert [m.content.split()[0] for m in brain.requests[-1].messages] == ["uno", "dos"]


async def die(tmp_path: Path) -> None:
    """What a killed process leaves: no mark that it went by itself."""
    (tmp_path / "data" / ".left").unlink()


async def test_a_turn_in_which_process_after_process_dies_is_set_aside(tmp_path: Path) -> None:
    settings = make_settings(tmp_path)

    async def deadly(request: ModelRequest, call: CallOptions) -> Reply:
        await asyncio.Event().wait()
        return text("nunca")

    async with running_house(settings, ScriptedBrain()) as house:
        await house.store.append(SESSION, UserLine(content="mortal", reply_to=CHAT))
    for _ in range(2):
        await die(tmp_path)
        async with running_house(settings, ScriptedBrain(deadly)):
            await asyncio.sleep(0.05)
    await die(tmp_path)
    channel = FakeChannel()
    async with running_house(settings, ScriptedBrain(text("por fin")), channel) as house:
        [told] = await channel.wait_for(1)
        assert "tres veces seguidas" in told.text
        await house.inbox.command(SESSION, "reintentar", "", "42", reply_to=CHAT)
        await channel.wait_for(3)
    assert "por fin" in [s.text for s in channel.sent]


async def test_clean_restarts_and_progress_are_no_deaths(tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    async with running_house(settings, ScriptedBrain()) as house:
        await house.store.append(SESSION, UserLine(content="hola", reply_to=CHAT))
    for unclean in (True, True, False, True, True):
        if unclean:
            await die(tmp_path)
        async with running_house(settings, ScriptedBrain(TurnPostponed("pausa", time.time() + 60))):
            await asyncio.sleep(0.05)
    channel = FakeChannel()
    async with running_house(settings, ScriptedBrain(text("aquí")), channel):
        await until(lambda: any(s.text == "aquí" for s in channel.sent))


async def test_forgetting_takes_two_words_and_leaves_nothing(tmp_path: Path) -> None:
    channel = FakeChannel()
    async with running_house(make_settings(tmp_path), ScriptedBrain(text("ya"), text("sin memoria")), channel) as house:
        await house.inbox.message(SESSION, "un secreto", "42", reply_to=CHAT)
        await channel.wait_for(1)
        await house.inbox.command(SESSION, "olvidar", "", "42", reply_to=CHAT)
        await house.inbox.command(SESSION, "olvidar", "sí", "42", reply_to=CHAT)
        await channel.wait_for(3)
        await house.inbox.message(SESSION, "¿qué te dije?", "42", reply_to=CHAT)
        await channel.wait_for(4)
        assert not any("secreto" in p.read_text() for p in (tmp_path / "data").rglob("*") if p.is_file())
        assert len(house.parts.brain.requests[-1].messages) == 1  # pyright: ignore[reportAttributeAccessIssue, reportUnknownArgumentType, reportUnknownMemberType]
    assert "no se puede deshacer" in channel.sent[1].text and "borrado" in channel.sent[2].text


async def test_a_session_whose_disk_refuses_keeps_no_other_from_its_commands(tmp_path: Path) -> None:
    async with running_house(make_settings(tmp_path), ScriptedBrain()) as house:
        blocked = tmp_path / "data" / "sessions" / "telegram_41.jsonl"
        blocked.mkdir()
        with pytest.raises(StorageError):
            await house.inbox.command("telegram_41", "ayuda", "", "41", reply_to=None, key="tg:1")
        await house.inbox.command(SESSION, "ayuda", "", "42", reply_to=None, key="tg:2")
        assert await kinds(house.store, SESSION) == ["command", "reply"]
