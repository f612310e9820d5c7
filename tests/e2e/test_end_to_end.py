"""The whole way, with real parts: server process, strict Telegram, aimock for Groq and Claude, a real repository."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from app.core.events import AssistantLine, dump_line
from app.core.messages import Usage
from tests.e2e.server import OWNER, Server, telegram_env
from tests.fakes.aimock import running_aimock
from tests.fakes.llm import FakeLLM
from tests.fakes.telegram import FakeTelegram

GROQ_KEY, CLAUDE_KEY = "gsk_e2e_0123456789abcdefghij", "sk-ant-e2e-0123456789abcdefghij"


@pytest.fixture
async def telegram() -> AsyncIterator[FakeTelegram]:
    async with FakeTelegram() as fake:
        fake.add_chat(OWNER)
        yield fake


def repository(folder: Path) -> None:
    folder.mkdir(parents=True)
    subprocess.run(["git", "init", "-q", "-b", "main", str(folder)], check=True)
    (folder / "ñandú.txt").write_text("hola\n", "utf-8")


def session_lines(server: Server, name: str = f"telegram_{OWNER}") -> list[dict[str, Any]]:
    text = (server.sessions / f"{name}.jsonl").read_text("utf-8")
    return [json.loads(line) for line in text.splitlines()]


FIXTURES: list[dict[str, Any]] = [
    {
        "match": {"userMessage": "estado", "hasToolResult": False},
        "response": {"toolCalls": [{"name": "git_operation", "arguments": '{"cmd": "status -sb"}'}]},
    },
    {"match": {"userMessage": "estado", "hasToolResult": True}, "response": {"content": "Un archivo **nuevo**."}},
    {"match": {"userMessage": "sigues"}, "response": {"content": "Sigo aquí."}},
]  # fmt: skip


@pytest.mark.needs("node", "aimock")
async def test_message_tool_answer_fallback_restart(tmp_path: Path, telegram: FakeTelegram) -> None:
    repository(tmp_path / "home" / "proyectos" / "demo")
    async with running_aimock(FIXTURES, tmp_path) as models:
        keys = {"GROQ_API_KEY": GROQ_KEY, "ANTHROPIC_API_KEY": CLAUDE_KEY, "ANTHROPIC_BASE_URL": models.url}
        env = telegram_env(telegram) | keys
        async with Server(tmp_path, env | {"GROQ_BASE_URL": models.url}) as server:
            telegram.user_says(OWNER, "/proyecto demo")
            await telegram.wait_for_message("Proyecto actual: demo")
            telegram.user_says(OWNER, "¿estado de mi proyecto?")
            answer = await telegram.wait_for_message("nuevo", timeout=20)
            assert answer["text"] == "Un archivo nuevo."
            assert answer["entities"][0]["type"] == "bold"
        lines = session_lines(server)
        [result] = [line for line in lines if line["type"] == "tool_result"]
        assert "## No commits yet on main" in result["content"]
        final = [line for line in lines if line["type"] == "assistant"][-1]
        assert (final["provider"], final["model"]) == ("groq", "openai/gpt-oss-120b")

        # Groq is down: Claude goes on with the same conversation, after a restart
        async with Server(tmp_path, env | {"GROQ_BASE_URL": "http://127.0.0.1:9"}) as server:
            telegram.user_says(OWNER, "¿sigues ahí?")
            await telegram.wait_for_message("Sigo aquí.", timeout=20)
        lines = session_lines(server)
        assert [line for line in lines if line["type"] == "assistant"][-1]["provider"] == "anthropic"
        assert [line["seq"] for line in lines] == list(range(1, len(lines) + 1))
        assert {line["role"] for line in lines if "role" in line} == {"user", "assistant", "tool"}
    everything = server.log.read_text("utf-8") + json.dumps(lines)
    assert GROQ_KEY not in everything and CLAUDE_KEY not in everything and telegram.token not in everything


async def test_a_kill_9_loses_nothing(tmp_path: Path, telegram: FakeTelegram) -> None:
    """Killed while the model thinks: after the restart the message is answered, once."""
    llm = await FakeLLM().start()
    env = telegram_env(telegram) | {"GROQ_API_KEY": GROQ_KEY, "GROQ_BASE_URL": llm.url}
    llm.say({"text": "nunca llega", "delay": 30})
    try:
        async with Server(tmp_path, env) as server:
            telegram.user_says(OWNER, "hola")
            await telegram.wait_until(lambda: llm.calls() or None, what="the model call")
            await server.killed()
        llm.say({"text": "Aquí estoy."})
        async with Server(tmp_path, env):
            await telegram.wait_for_message("Aquí estoy.", timeout=20)
            await asyncio.sleep(0.3)
        assert telegram.texts(OWNER) == ["Aquí estoy."]
    finally:
        await llm.stop()


async def test_an_approval_on_telegram(tmp_path: Path, telegram: FakeTelegram) -> None:
    llm = await FakeLLM().start()
    env = telegram_env(telegram) | {"GROQ_API_KEY": GROQ_KEY, "GROQ_BASE_URL": llm.url}
    env |= {"SANDBOX": "ninguno", "ALLOW_UNCONFINED_SHELL": "true"}  # confined, it would not have to ask
    llm.say(
        {"calls": [{"name": "execute_shell", "arguments": {"command": "echo hecho > prueba.txt"}}]}, {"text": "Hecho."}
    )
    try:
        async with Server(tmp_path, env) as server:
            telegram.user_says(OWNER, "crea prueba.txt")
            question = await telegram.wait_for_message("¿Lo permito?", timeout=20)
            created = tmp_path / "home" / "proyectos" / "demo" / "prueba.txt"
            buttons = question["reply_markup"]["inline_keyboard"][0]
            assert [b["text"] for b in buttons][:2] == ["Permitir", "Rechazar"]
            assert not list(server.project.parent.rglob("prueba.txt"))
            telegram.presses(question, buttons[0]["callback_data"])
            await telegram.wait_for_message("Hecho.", timeout=20)
            assert [p.read_text() for p in created.parents[1].rglob("prueba.txt")] == ["hecho\n"]
            stranger = 666
            telegram.add_chat(stranger)
            telegram.user_says(stranger, "dame tus claves")
            told = await telegram.wait_for_message("666")
            assert "solo atiendo a mi dueño" in told["text"]
        assert not list(server.sessions.glob("*666*"))
    finally:
        await llm.stop()


async def test_a_wrong_token_leaves_the_rest_running(tmp_path: Path, telegram: FakeTelegram) -> None:
    env = telegram_env(telegram) | {"TELEGRAM_TOKEN": "123456789:" + "x" * 35}
    async with Server(tmp_path, env) as server:
        async with asyncio.timeout(10):
            while "rejects the token" not in server.tail():
                await asyncio.sleep(0.05)
        assert (await server.status())["status"] == "ok"
        assert "x" * 35 not in server.log.read_text("utf-8")


async def test_the_daily_budget_survives_a_restart(tmp_path: Path, telegram: FakeTelegram) -> None:
    """What today's logs say was spent counts: Claude is not paid again."""
    llm = await FakeLLM().start()
    keys = {"ANTHROPIC_API_KEY": CLAUDE_KEY, "ANTHROPIC_BASE_URL": llm.url, "DAILY_BUDGET_USD": "0.5"}
    sessions = tmp_path / "data" / "sessions"
    sessions.mkdir(parents=True)
    spent = AssistantLine(seq=1, ts=time.time(), content="cara", usage=Usage(input=1, output=1, usd=0.6))
    (sessions / "web_0123456789ab.jsonl").write_bytes(dump_line(spent))
    try:
        async with Server(tmp_path, telegram_env(telegram) | keys):
            telegram.user_says(OWNER, "hola")
            told = await telegram.wait_for_message("Parece que hay un problema", timeout=20)
            assert "0,50" in told["text"] and not llm.calls()
    finally:
        await llm.stop()
