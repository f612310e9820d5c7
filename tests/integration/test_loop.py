"""The agent loop on the real log, workspace and sandbox, with a scripted model."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path

import pytest

from app.core.context import AgentContext
from app.core.contracts import CallOptions, ModelRequest
from app.core.errors import AllFailed, BrokenReply, TooLarge, TurnPostponed
from app.core.events import AssistantLine, SummaryLine, ToolResultLine, UsageLine, UserLine
from app.core.loop import AgentLoop
from app.core.messages import Reply, ToolCall
from app.core.tools import execute_shell, git_operation, read_file, write_file
from tests.fakes.brain import ScriptedBrain, calls, text
from tests.support import kinds, lines_of, make_settings, running_house

SESSION = "web_abc"
RISKY = ("execute_shell", {"command": "rm -r ."})


async def ask(tmp_path: Path, brain: ScriptedBrain, words: str = "hola", **values: object) -> tuple[str, list[object]]:
    """(answer, lines): one message through AgentLoop.process_message, as the specification's snippet does."""
    async with running_house(make_settings(tmp_path, **values), brain) as house:
        ctx = await house.store.load_session(SESSION)
        ctx.add_message("user", words)
        answer = await house.loop.process_message(ctx)
        await house.loop.save_session(ctx)
        return answer, list(await lines_of(house.store, SESSION))


def results(lines: list[object]) -> list[ToolResultLine]:
    return [line for line in lines if isinstance(line, ToolResultLine)]


async def test_a_plain_answer_is_in_the_log_before_it_is_returned(tmp_path: Path) -> None:
    answer, lines = await ask(tmp_path, ScriptedBrain(text("¡Hola!")))
    assert answer == "¡Hola!"
    assert [line.type for line in lines] == ["user", "assistant"]  # type: ignore[attr-defined]
    final = lines[-1]
    assert isinstance(final, AssistantLine) and final.final and final.covers == 1 and final.usage.input == 10


async def test_tools_really_look_and_every_step_is_a_line(tmp_path: Path) -> None:
    project = tmp_path / "home" / "proyectos"
    project.mkdir(parents=True)
    (project / "notas.txt").write_text("compra pan\n", "utf-8")
    brain = ScriptedBrain(calls(("read_file", {"path": "notas.txt"}), ("list_dir", {})), text("Pone: compra pan"))
    answer, lines = await ask(tmp_path, brain)
    assert answer == "Pone: compra pan"
    assert sorted(r.content.split()[0] for r in results(lines)) == ["compra", "notas.txt"]
    order = [line.type for line in lines]  # type: ignore[attr-defined]
    assert order[:2] == ["user", "assistant"] and order.count("tool_started") == 2 and order[-1] == "assistant"
    sent = brain.requests[1].messages
    assert [m.role for m in sent] == ["user", "assistant", "tool", "tool"]
    assert [m.tool_call_id for m in sent[2:]] == [c.id for c in sent[1].tool_calls]


async def test_reads_run_side_by_side_and_writes_in_order(tmp_path: Path) -> None:
    brain = ScriptedBrain(
        calls(
            ("write_file", {"path": "a.txt", "content": "1"}),
            ("edit_file", {"path": "a.txt", "old": "1", "new": "2"}),
            ("read_file", {"path": "a.txt"}),
        ),
        text("hecho"),
    )
    _, lines = await ask(tmp_path, brain)
    assert [r.is_error for r in results(lines)] == [False, False, False]
    assert results(lines)[2].content.strip() == "2"


@pytest.mark.parametrize(
    ("call", "hint"),
    [
        (("no_such_tool", {}), "execute_shell"),
        (("read_file", "{not json"), "JSON"),
        (("read_file", {"ruta": "x"}), "path"),
        (("read_file", {"path": "../../secreto"}), ""),
        (("execute_shell", {"command": " "}), "vacía"),
        (("git_operation", {"cmd": "log 'sin cerrar"}), "comillas"),
    ],
)
async def test_a_bad_call_becomes_a_result_the_model_can_act_on(
    tmp_path: Path, call: tuple[str, dict[str, object] | str], hint: str
) -> None:
    answer, lines = await ask(tmp_path, ScriptedBrain(calls(call), text("ya veo")), approvals="nunca")
    [result] = results(lines)
    assert answer == "ya veo" and result.is_error and hint in result.content


async def test_an_empty_reply_is_asked_for_again_once(tmp_path: Path) -> None:
    brain = ScriptedBrain(text(""), text("perdón, hola"))
    answer, lines = await ask(tmp_path, brain)
    assert answer == "perdón, hola" and any(isinstance(line, UsageLine) for line in lines)
    answer, _ = await ask(tmp_path / "2", ScriptedBrain(text(""), text("")))
    assert answer == "(El modelo no ha contestado nada.)"


async def test_a_reply_cut_by_its_length_is_continued_once(tmp_path: Path) -> None:
    brain = ScriptedBrain(text("Primera mitad", stop_reason="length"), text(" y segunda."))
    answer, _ = await ask(tmp_path, brain)
    assert answer == "Primera mitad y segunda."
    assert [m.role for m in brain.requests[1].messages] == ["user", "assistant", "user"]


async def test_tool_calls_of_a_cut_reply_are_never_run(tmp_path: Path) -> None:
    cut = calls(("write_file", {"path": "a", "content": "x"})).model_copy(update={"stop_reason": "length"})
    answer, lines = await ask(tmp_path, ScriptedBrain(cut, text("breve")))
    assert answer == "breve" and not results(lines)
    answer, _ = await ask(tmp_path / "2", ScriptedBrain(cut, cut))
    assert "/reintentar" in answer


async def test_the_same_call_with_the_same_result_is_not_run_a_third_time(tmp_path: Path) -> None:
    again = [calls(("list_dir", {"path": "."})) for _ in range(3)]
    _, lines = await ask(tmp_path, ScriptedBrain(*again, text("me rindo")))
    assert [r.is_error for r in results(lines)] == [False, False, True]
    assert "dos veces" in results(lines)[2].content


async def test_the_step_limit_ends_in_a_summary_without_tools(tmp_path: Path) -> None:
    busy = [calls(("read_file", {"path": f"{n}"})) for n in range(3)]
    brain = ScriptedBrain(*busy, text("Resumen de lo hecho"))
    answer, _ = await ask(tmp_path, brain, turn_max_steps=3)
    assert answer == "Resumen de lo hecho"
    assert [r.tool_choice for r in brain.requests] == ["auto", "auto", "auto", "none"]
    assert "límite" in brain.requests[3].messages[-1].content


async def test_a_model_that_calls_tools_beyond_the_limit_is_not_obeyed(tmp_path: Path) -> None:
    busy = [calls(("read_file", {"path": f"{n}"})) for n in range(9)]
    answer, lines = await ask(tmp_path, ScriptedBrain(*busy), turn_max_steps=2)
    assert "límite" in answer and len(results(lines)) == 2


async def test_a_turn_stops_spending_at_its_budget(tmp_path: Path) -> None:
    dear = calls(("list_dir", {}))
    dear = dear.model_copy(update={"usage": dear.usage.model_copy(update={"usd": 0.6})})
    brain = ScriptedBrain(dear, text("hasta aquí"))
    await ask(tmp_path, brain, turn_budget_usd=0.5)
    assert brain.requests[1].tool_choice == "none"


async def test_when_every_model_fails_the_message_is_kept_and_told(tmp_path: Path) -> None:
    brain = ScriptedBrain(AllFailed("Groq no responde; Claude rechaza la clave"), text("ahora sí"))
    async with running_house(make_settings(tmp_path), brain) as house:
        ctx = await house.store.load_session(SESSION)
        ctx.add_message("user", "hola")
        answer = await house.loop.process_message(ctx)
        assert "Parece que hay un problema" in answer and "/reintentar" in answer
        await house.inbox.command(SESSION, "reintentar", "", "1", reply_to=None)
        await house.runner.lanes.idle()
        ctx = await house.store.load_session(SESSION)
        assert ctx.conversation.last_answer == "ahora sí"
        assert [m.role for m in ctx.messages] == ["user", "assistant"]


async def test_a_bug_in_a_part_answers_and_does_not_loop(tmp_path: Path) -> None:
    answer, lines = await ask(tmp_path, ScriptedBrain(ZeroDivisionError("bug")))
    assert "dentro de Nanobot" in answer
    assert isinstance(lines[-1], AssistantLine) and lines[-1].failed


async def test_a_postponed_turn_stays_open_and_goes_on_by_itself(tmp_path: Path) -> None:
    import time

    brain = ScriptedBrain(TurnPostponed("Groq en pausa, 1 s", time.time() + 0.05), text("seguimos"))
    async with running_house(make_settings(tmp_path), brain) as house:
        await house.inbox.message(SESSION, "hola", "1")
        async with asyncio.timeout(5):
            while (await house.store.load_session(SESSION)).conversation.last_answer != "seguimos":
                await asyncio.sleep(0.02)
        assert (await kinds(house.store, SESSION)) == ["user", "reply", "assistant"]


async def test_a_full_window_is_summed_up_in_a_block_and_nothing_is_rewritten(tmp_path: Path) -> None:
    brain = ScriptedBrain(*[text(f"respuesta {n} " + "x" * 400) for n in range(40)], window=2_000)
    async with running_house(make_settings(tmp_path), brain) as house:
        for n in range(10):
            ctx = await house.store.load_session(SESSION)
            ctx.add_message("user", f"pregunta {n} " + "y" * 400)
            await house.loop.process_message(ctx)
        lines = await lines_of(house.store, SESSION)
        summaries = [line for line in lines if isinstance(line, SummaryLine)]
        assert summaries and [line.seq for line in lines] == list(range(1, len(lines) + 1))
        asked = [r for r in brain.requests if "Resume la conversación" in r.system]
        assert len(asked) == len(summaries) and all(not r.tools for r in asked)
        ctx = await house.store.load_session(SESSION)
        assert "[Resumen" in ctx.messages[0].content
        assert ctx.messages[1].role == "user"
        assert [m.content for m in ctx.messages if m.role == "user"][-1].startswith("pregunta 9")


async def test_a_failed_summary_leaves_the_old_window(tmp_path: Path) -> None:
    async def no_summary(request: ModelRequest, call: CallOptions) -> Reply:
        if "Resume la conversación" in request.system:
            raise BrokenReply("cortada")
        return text("ok " + "x" * 900)

    brain = ScriptedBrain(*[no_summary] * 20, window=1_000)
    async with running_house(make_settings(tmp_path), brain) as house:
        for n in range(4):
            ctx = await house.store.load_session(SESSION)
            ctx.add_message("user", f"pregunta {n} " + "y" * 900)
            assert (await house.loop.process_message(ctx)).startswith("ok")
        assert "summary" not in await kinds(house.store, SESSION)
        assert len((await house.store.load_session(SESSION)).messages) == 8


async def test_a_request_too_large_is_compacted_and_sent_again(tmp_path: Path) -> None:
    brain = ScriptedBrain(text("uno"), text("dos"), text("tres"), window=100_000)
    async with running_house(make_settings(tmp_path), brain) as house:
        for words in ("a" * 4000, "b" * 4000, "c" * 4000):
            ctx = await house.store.load_session(SESSION)
            ctx.add_message("user", words)
            await house.loop.process_message(ctx)

        async def too_large(request: ModelRequest, call: CallOptions) -> Reply:
            brain.window = 5_000  # what the refusal teaches
            raise TooLarge("no cabe", limit=5_000)

        brain.script = [too_large, text("resumen"), text("cabe")]
        ctx.add_message("user", "d")
        assert await house.loop.process_message(ctx) == "cabe"
        assert "summary" in await kinds(house.store, SESSION)
        assert len(brain.requests[-1].messages) < len(brain.requests[-3].messages)


async def test_each_user_message_carries_its_own_time_and_old_bytes_never_change(tmp_path: Path) -> None:
    brain = ScriptedBrain(text("uno"), text("dos"))
    async with running_house(make_settings(tmp_path, timezone="Europe/Madrid"), brain) as house:
        for words in ("a", "b"):
            ctx = await house.store.load_session(SESSION)
            ctx.add_message("user", words)
            await house.loop.process_message(ctx)
    first, second = (r.messages for r in brain.requests)
    assert second[: len(first)] == first and "Europe/Madrid]" in first[0].content
    assert brain.requests[0].system == brain.requests[1].system


async def test_the_base_request_stays_under_2000_tokens(tmp_path: Path) -> None:
    from app.core.usage import count_request

    home = tmp_path / "home"
    home.mkdir()
    for name in ("SOUL.md", "USER.md", "AGENTS.md", "MEMORY.md"):
        (home / name).write_text("Recuerda esto: ñandú. " * 2000, "utf-8")
    brain = ScriptedBrain(text("ok"))
    await ask(tmp_path, brain)
    request = brain.requests[0]
    assert "ñandú" in request.system
    assert count_request(ModelRequest(messages=[], system=request.system, tools=request.tools)) < 2_000


async def test_call_llm_and_execute_tools_work_alone(tmp_path: Path) -> None:
    brain = ScriptedBrain(text("suelta"))
    async with running_house(make_settings(tmp_path), brain) as house:
        reply = await house.loop.call_llm([{"role": "user", "content": "hola"}], "m")
        assert reply.text == "suelta" and brain.requests[0].model == "m"
        assert house.loop.format_response(reply) == "suelta"
        [result] = await house.loop.execute_tools([ToolCall(id="1", name="list_dir", arguments="{}")])
        assert not result.is_error
        await house.loop.save_session()


async def test_the_tool_functions_work_alone(tmp_path: Path) -> None:
    from app.assembly import build_machine
    from app.core.machine import use_machine

    use_machine(build_machine(make_settings(tmp_path)))
    project = tmp_path / "home" / "proyectos"
    subprocess.run(["git", "init", "-q", str(project)], check=True)
    assert "creado" in await write_file("a ñ.txt", "hola\n")
    assert (await read_file("a ñ.txt")).startswith("hola")
    assert "hola" in await execute_shell("cat 'a ñ.txt' | tr a-z a-z")
    assert "a ñ.txt" in await git_operation("-c core.quotepath=off status --short")
    assert "a ñ.txt" in await git_operation("git -c core.quotepath=off status --short")


async def test_secrets_are_redacted_once_before_model_and_log(tmp_path: Path) -> None:
    project = tmp_path / "home" / "proyectos"
    project.mkdir(parents=True)
    (project / "notas.txt").write_text("clave gsk_" + "a1B2" * 12, "utf-8")
    brain = ScriptedBrain(calls(("read_file", {"path": "notas.txt"})), text("es gsk_" + "a1B2" * 12))
    answer, lines = await ask(tmp_path, brain)
    assert "gsk_a1" not in answer and "gsk_a1" not in results(lines)[0].content
    assert brain.requests[1].messages[-1].content == results(lines)[0].content


async def test_a_user_message_that_steers_reaches_the_next_model_call(tmp_path: Path) -> None:
    async def meanwhile(request: ModelRequest, call: CallOptions) -> Reply:
        await house.store.append(SESSION, UserLine(content="mejor b.txt"))
        return calls(("list_dir", {}))

    brain = ScriptedBrain(meanwhile, text("vale, b"))
    async with running_house(make_settings(tmp_path), brain) as house:
        ctx: AgentContext = await house.store.load_session(SESSION)
        ctx.add_message("user", "lee a.txt")
        assert await house.loop.process_message(ctx) == "vale, b"
        assert [m.role for m in brain.requests[1].messages] == ["user", "assistant", "tool", "user"]
        assert not (await house.store.load_session(SESSION)).has_work


async def test_bounds_hold_inside_a_step(tmp_path: Path) -> None:
    looks = [("list_dir", {"path": "."})] * 5
    _, lines = await ask(tmp_path, ScriptedBrain(calls(*looks), text("hasta aquí")), turn_max_tool_calls=2)
    results = [line for line in lines if isinstance(line, ToolResultLine)]
    assert sorted(line.is_error for line in results) == [False, False, True, True, True]
    assert sum("2 llamadas" in line.content for line in results) == 3


async def test_a_step_that_runs_out_of_time_begins_no_further_call(tmp_path: Path) -> None:
    naps = [("execute_shell", {"command": "sleep 0.4"})] * 3
    _, lines = await ask(tmp_path, ScriptedBrain(calls(*naps), text("hasta aquí")), turn_seconds=0.3, approvals="nunca")
    assert [line.is_error for line in lines if isinstance(line, ToolResultLine)] == [False, True, True]


async def test_a_look_after_a_change_is_not_a_repeat(tmp_path: Path) -> None:
    look = ("list_dir", {"path": "."})
    write = ("write_file", {"path": "a.txt", "content": "a"})
    script = [calls(look), calls(look), calls(write), calls(look), text("fin")]
    _, lines = await ask(tmp_path, ScriptedBrain(*script))
    assert not any(line.is_error for line in lines if isinstance(line, ToolResultLine))


async def test_the_same_command_again_and_again_is_noticed_however_long_it_takes(tmp_path: Path) -> None:
    script = [calls(("execute_shell", {"command": f"sleep 0.{n}; echo hola"})) for n in (1,)]
    same = calls(("execute_shell", {"command": "sleep 0.$((RANDOM % 3)); echo hola"}))
    brain = ScriptedBrain(*script, *[same] * 3, text("fin"))
    _, lines = await ask(tmp_path, brain, approvals="nunca")
    assert [line.is_error for line in lines if isinstance(line, ToolResultLine)] == [False, False, False, True]


async def test_a_turn_that_reads_more_than_the_window_goes_on_and_so_does_the_chat(tmp_path: Path) -> None:
    """Groq's free tier: 8,000 tokens. Six files in one go must end neither the turn nor the conversation."""

    async def strict(request: ModelRequest, call: CallOptions) -> Reply:
        from app.core.usage import count_request

        if count_request(request) + 256 > brain.window:
            raise TooLarge("no cabe", limit=brain.window)
        if "Resume la conversación" in request.system:
            return text("resumen")
        return script.pop(0)

    script = [calls(*[("read_file", {"path": f"{n}.txt"}) for n in range(6)]), text("leídos"), text("hola a ti")]
    brain = ScriptedBrain(*[strict] * 9, window=8_000)
    projects = tmp_path / "home" / "proyectos"
    projects.mkdir(parents=True)
    for n in range(6):
        (projects / f"{n}.txt").write_text("\n".join(f"línea {i} del archivo {n}" for i in range(390)))
    async with running_house(make_settings(tmp_path), brain) as house:
        for words, expected in (("lee los seis", "leídos"), ("hola", "hola a ti")):
            ctx = await house.store.load_session(SESSION)
            ctx.add_message("user", words)
            assert await house.loop.process_message(ctx) == expected
        last = brain.requests[-1].messages
        assert not any("línea 200 del archivo 0" in m.content for m in last), "the old files are summed up"


@pytest.mark.parametrize("bad", [text(""), text("a medias", stop_reason="length"), text("<think>mmm</think>")])
async def test_an_empty_or_cut_summary_erases_nothing(tmp_path: Path, bad: Reply) -> None:
    async def answer(request: ModelRequest, call: CallOptions) -> Reply:
        return bad if "Resume la conversación" in request.system else text("ok " + "x" * 900)

    brain = ScriptedBrain(*[answer] * 20, window=2_000)
    async with running_house(make_settings(tmp_path), brain) as house:
        for n in range(4):
            ctx = await house.store.load_session(SESSION)
            ctx.add_message("user", f"pregunta {n} " + "y" * 900)
            assert (await house.loop.process_message(ctx)).startswith("ok")
        assert "summary" not in await kinds(house.store, SESSION)


async def test_a_message_that_comes_while_summing_up_is_answered_once(tmp_path: Path) -> None:
    brain = ScriptedBrain(text("uno"), text("dos"), window=100_000)
    async with running_house(make_settings(tmp_path), brain) as house:
        for words in ("a" * 4000, "b" * 4000):
            await house.inbox.session_message(SESSION, words, "1")
            await house.runner.lanes.idle()

        async def too_large(request: ModelRequest, call: CallOptions) -> Reply:
            brain.window = 5_000
            raise TooLarge("no cabe", limit=5_000)

        async def summed_up(request: ModelRequest, call: CallOptions) -> Reply:
            await house.store.append(SESSION, UserLine(content="entretanto"))
            return text("resumen")

        brain.script = [too_large, summed_up, text("las dos"), text("otra vez")]
        await house.inbox.session_message(SESSION, "c", "1")
        await house.runner.lanes.idle()
        assert (await house.store.load_session(SESSION)).conversation.last_answer == "las dos"
        assert "entretanto" in brain.requests[-1].messages[-1].content and len(brain.script) == 1


async def test_a_project_chosen_in_mid_turn_counts_from_the_next(tmp_path: Path) -> None:
    for name in ("uno", "dos"):
        (tmp_path / "home" / "proyectos" / name / ".git").mkdir(parents=True)

    async def switch(request: ModelRequest, call: CallOptions) -> Reply:
        await house.inbox.command(SESSION, "proyecto", "dos", "1", reply_to=None)
        return calls(("write_file", {"path": "a.txt", "content": "a"}))

    brain = ScriptedBrain(switch, text("hecho"))
    async with running_house(make_settings(tmp_path), brain) as house:
        await house.inbox.command(SESSION, "proyecto", "uno", "1", reply_to=None)
        await house.inbox.session_message(SESSION, "crea a.txt", "1")
        await house.runner.lanes.idle()
    assert (tmp_path / "home" / "proyectos" / "uno" / "a.txt").exists()
    assert all("Carpeta actual: " + str(tmp_path / "home" / "proyectos" / "uno") in r.system for r in brain.requests)


async def test_two_turns_of_one_session_are_one_after_the_other(tmp_path: Path) -> None:
    brain = ScriptedBrain(text("una"), text("otra"))
    async with running_house(make_settings(tmp_path), brain) as house:
        await house.store.append(SESSION, UserLine(content="hola"))
        contexts = [await house.store.load_session(SESSION) for _ in range(2)]
        await asyncio.gather(*map(house.loop.process_message, contexts))
        assert (await kinds(house.store, SESSION)).count("assistant") == 1


async def test_a_loop_used_alone_does_not_wait_for_nobody(tmp_path: Path) -> None:
    from app.assembly import build_parts

    settings = make_settings(tmp_path)
    loop = AgentLoop(settings, build_parts(settings, brain=ScriptedBrain(calls(RISKY), text("no puedo"))))
    ctx = AgentContext(SESSION)
    ctx.add_message("user", "borra")
    async with asyncio.timeout(5):
        assert await loop.process_message(ctx) == "no puedo"
    assert any("no hay a quién preguntar" in m.content for m in ctx.messages)


async def test_execute_tools_takes_plain_dictionaries(tmp_path: Path) -> None:
    async with running_house(make_settings(tmp_path), ScriptedBrain()) as house:
        call = {"id": "1", "type": "function", "function": {"name": "list_dir", "arguments": {"path": "."}}}
        [result] = await house.loop.execute_tools([call])
        assert not result.is_error and result.call_id == "1"


async def test_leaving_begins_no_further_call_of_the_step(tmp_path: Path) -> None:
    writes = [("execute_shell", {"command": f"sleep 0.3; echo hecho > {n}.txt"}) for n in range(2)]
    brain = ScriptedBrain(calls(*writes), text("fin"))
    async with running_house(make_settings(tmp_path, approvals="nunca"), brain) as house:
        await house.inbox.session_message(SESSION, "dos órdenes", "1")
        await asyncio.sleep(0.15)
        house.loop.leave()
        await house.runner.lanes.idle()
        found = await kinds(house.store, SESSION)
    assert found.count("tool_started") == 1 and found.count("tool_result") == 1


async def test_a_first_message_beyond_a_limit_just_learned_is_sent_shorter(tmp_path: Path) -> None:
    async def too_large(request: ModelRequest, call: CallOptions) -> Reply:
        brain.window = 8_000
        raise TooLarge("no cabe", limit=8_000)

    brain = ScriptedBrain(too_large, text("cabe"), window=131_072)
    answer, _ = await ask(tmp_path, brain, "palabra " * 8_000)
    assert answer == "cabe" and len(brain.requests[-1].messages[0].content) < len(brain.requests[0].messages[0].content)
