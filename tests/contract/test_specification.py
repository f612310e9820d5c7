"""The user's specification (fase 2), called as its snippets call it, with the real SDKs against our fake."""

from __future__ import annotations

import inspect
import json
import subprocess
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from telegram import Bot, Chat, Message, Update, User

from app.assembly import build_house
from app.cloud.providers import AnthropicProvider, GroqProvider, ProviderManager
from app.cloud.sessions import SessionManager
from app.cloud.telegram_bot import BotContext, handle_message
from app.config import Settings, load_settings
from app.core.context import AgentContext
from app.core.loop import AgentLoop
from app.core.machine import _machine, folder  # pyright: ignore[reportPrivateUsage]
from app.core.messages import ToolCall
from app.core.tools import execute_shell, git_operation, read_file, write_file
from app.main import lifespan
from tests.fakes.llm import FakeLLM


@pytest.fixture
async def llm() -> AsyncGenerator[FakeLLM]:
    fake = await FakeLLM().start()
    yield fake
    await fake.stop()


@pytest.fixture
def settings(llm: FakeLLM, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """From the environment, as a user sets it."""
    monkeypatch.chdir(tmp_path)
    for name, value in {
        "DATA_DIR": "data", "WORKSPACE_DIR": "casa", "PROJECTS_DIRS": "casa/proyectos",
        "GROQ_API_KEY": "gsk_spec_0123456789abcdef", "GROQ_BASE_URL": llm.url,
        "ANTHROPIC_API_KEY": "sk-ant-spec-0123456789", "ANTHROPIC_BASE_URL": llm.url,
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    return load_settings()


async def test_agent_loop_alone(settings: Settings, llm: FakeLLM) -> None:
    llm.say({"text": "Hola, soy Nanobot."}, {"text": "Otra."})
    _session_manager = SessionManager()
    _agent_loop = AgentLoop(settings)
    ctx = AgentContext(session_id="telegram_42", user_id=42, channel="telegram")
    ctx = await _session_manager.load_session(ctx.session_id)
    ctx.add_message("user", "hola")
    response = await _agent_loop.process_message(ctx)
    await _session_manager.save_session(ctx)
    assert response == "Hola, soy Nanobot."
    lines = [json.loads(x) for x in Path("data/sessions/telegram_42.jsonl").read_text("utf-8").splitlines()]
    assert [(x["role"], x["content"]) for x in lines] == [("user", "hola"), ("assistant", "Hola, soy Nanobot.")]
    assert [s.session_id for s in await _session_manager.list_sessions()] == ["telegram_42"]
    assert await _session_manager.cleanup_old_sessions() == 0
    await _agent_loop.aclose()


async def test_the_five_methods(settings: Settings, llm: FakeLLM) -> None:
    loop = AgentLoop(settings)
    llm.say({"text": "Bien."})
    output = await loop.call_llm([{"role": "user", "content": "¿qué tal?"}], "openai/gpt-oss-20b")
    assert loop.format_response(output) == "Bien." and llm.calls("groq")[0]["model"] == "openai/gpt-oss-20b"
    results = await loop.execute_tools([ToolCall(id="1", name="list_dir", arguments="{}")])
    assert [r.is_error for r in results] == [False]
    await loop.save_session()
    await loop.aclose()
    assert list(inspect.signature(loop.call_llm).parameters) == ["messages", "model"]


async def test_providers(settings: Settings, llm: FakeLLM) -> None:
    messages = [{"role": "user", "content": "hola"}]
    for provider in (GroqProvider(settings), AnthropicProvider(settings)):
        llm.say({"text": f"desde {provider.name}"})
        reply = await provider.call(messages, provider.models[0], 500)
        assert reply.text == f"desde {provider.name}" and reply.usage.input > 0
        await provider.aclose()
    manager = ProviderManager(settings)
    assert manager.get_provider().name == manager.get_provider("primary").name == "groq"
    assert manager.get_provider("fallback").name == "anthropic"
    llm.say({"text": "a la segunda"})
    tries = 0

    async def operation() -> str:
        nonlocal tries
        tries += 1
        return (await manager.get_provider().call(messages, "openai/gpt-oss-120b", 100)).text

    assert await manager.retry_logic(operation) == "a la segunda" and tries == 1
    await manager.aclose()


async def test_tools_as_functions(settings: Settings) -> None:
    _machine.set(None)
    root = settings.projects_dirs[0]
    assert "hola" in await execute_shell("echo hola")
    assert folder() == root
    await write_file("notas.txt", "uno\ndos\n")
    assert "dos" in await read_file("notas.txt")
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    assert "notas.txt" in await git_operation("status --short")


async def test_handle_message_appends_durably_and_returns(settings: Settings, llm: FakeLLM) -> None:
    llm.say({"text": "sí"})
    house = build_house(settings, {})
    user = User(id=42, first_name="Ana", is_bot=False)
    chat = Chat(id=42, type="private")
    message = Message(message_id=7, date=datetime.now(UTC), chat=chat, from_user=user, text="¿estás?")
    context = BotContext(Bot("1:a"), house.inbox, frozenset({42}))
    await handle_message(Update(update_id=1, message=message), context)
    first = json.loads(Path("data/sessions/telegram_42.jsonl").read_text("utf-8").splitlines()[0])
    assert (first["type"], first["content"], first["key"]) == ("user", "¿estás?", "tg:1")
    assert first["reply_to"] == {"channel": "telegram", "chat_id": 42, "message_id": 7}
    await house.runner.lanes.idle()
    assert (await house.store.load_session("telegram_42")).conversation.last_answer == "sí"
    await house.loop.aclose()
    await house.store.close()


def test_the_names_of_the_specification() -> None:
    for method in ("process_message", "call_llm", "execute_tools", "save_session"):
        assert inspect.iscoroutinefunction(getattr(AgentLoop, method))
    for method in ("load_session", "save_session", "list_sessions", "cleanup_old_sessions"):
        assert inspect.iscoroutinefunction(getattr(SessionManager, method))
    assert callable(lifespan) and inspect.iscoroutinefunction(handle_message)
