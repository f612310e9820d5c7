"""The server as a process with a webhook: killed between the line and the 200, the next delivery is the same one."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from app.cloud.journal import read_all
from tests.e2e.server import OWNER, ROOT, Server, telegram_env
from tests.fakes.llm import FakeLLM
from tests.fakes.telegram import FakeTelegram

ORIGIN = "https://nanobot.example"
KEY = {"GROQ_API_KEY": "gsk_kill_0123456789abcdefghij"}


@pytest.fixture
async def telegram() -> AsyncIterator[FakeTelegram]:
    async with FakeTelegram() as fake:
        fake.add_chat(OWNER)
        fake.sender.retry_second = 0.02
        yield fake


@pytest.fixture
async def llm() -> AsyncIterator[FakeLLM]:
    llm = await FakeLLM().start()
    yield llm
    await llm.stop()


def users(folder: Path) -> list[str]:
    lines = read_all(folder / "data" / "sessions" / f"telegram_{OWNER}.jsonl")
    return [line.content for line in lines if line.type == "user" and hasattr(line, "content")]  # pyright: ignore


async def run_until_killed(server: Server, env: dict[str, str], at: str) -> None:
    """The same server, under the killer of the crash harness."""
    kept = {k: v for k, v in os.environ.items() if k in {"PATH", "HOME", "LANG"}}
    trace = {"CRASH_TRACE": str(server.folder / "trace"), "CRASH_AT": at}
    with server.log.open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.crash.killer", "app.main:app", "--port", str(server.port), cwd=ROOT,
            env=kept | server._env | env | trace, stdout=log, stderr=log,  # pyright: ignore[reportPrivateUsage]
        )  # fmt: skip
    async with asyncio.timeout(30):
        assert await process.wait() == -signal.SIGKILL, server.tail()


@pytest.mark.skipif(sys.platform != "linux", reason="the killer asks /proc for names")
@pytest.mark.parametrize("moment", ["write:{}:user#1@before", "write:{}:user#1@torn", "sync:{}:user#1@after"])
async def test_a_kill_before_the_200_makes_no_second_message(
    tmp_path: Path, telegram: FakeTelegram, llm: FakeLLM, moment: str
) -> None:
    env = telegram_env(telegram) | KEY | {"GROQ_BASE_URL": llm.url, "PUBLIC_URL": ORIGIN}
    llm.say({"text": "Aquí estoy."}, {"text": "¿Otra vez?"})
    server = Server(tmp_path, env)
    server.project.mkdir(parents=True)
    telegram.lives_at(ORIGIN, f"http://127.0.0.1:{server.port}")
    telegram.webhook = {"url": f"{ORIGIN}/telegram/antes", "secret_token": "x", "max_connections": 1}
    telegram.user_says(OWNER, "hola")
    await run_until_killed(server, env, moment.format(f"telegram_{OWNER}.jsonl"))
    assert telegram.unconfirmed, "the 200 never left"
    async with server:
        await telegram.wait_for_message("Aquí estoy.", timeout=20)
        await telegram.wait_until(lambda: not telegram.unconfirmed or None, timeout=20)
        await asyncio.sleep(0.3)
    assert telegram.texts(OWNER) == ["Aquí estoy."] and users(tmp_path) == ["hola"]
    assert {d.status for d in telegram.sender.deliveries if d.status} <= {200, 303, 503}


async def test_the_real_server_takes_a_webhook_beside_its_gate(
    tmp_path: Path, telegram: FakeTelegram, llm: FakeLLM
) -> None:
    env = telegram_env(telegram) | KEY | {"GROQ_BASE_URL": llm.url, "RENDER_EXTERNAL_URL": ORIGIN}
    env |= {"HOST": "0.0.0.0", "DASHBOARD_PASSWORD": "una contraseña larga", "LOG_LEVEL": "TRACE"}
    llm.say({"text": "Por aquí."}, {"text": "Y ahora por polling."})
    server = Server(tmp_path, env)
    telegram.lives_at(ORIGIN, f"http://127.0.0.1:{server.port}")
    telegram.webhook = {"url": f"{ORIGIN}/telegram/antes", "secret_token": "x", "max_connections": 1}
    async with server, aiohttp.ClientSession() as http:
        await telegram.wait_for_call("setWebhook", lambda call: call.result is True, timeout=30)
        telegram.user_says(OWNER, "hola")
        await telegram.wait_for_message("Por aquí.", timeout=20)
        hook: dict[str, Any] = telegram.webhook
        path = hook["url"].removeprefix(ORIGIN)
        async with http.post(f"{server.url}{path}", data=b"{}", allow_redirects=False) as response:
            assert response.status == 303
        async with http.post(f"{server.url}/api/v1/chat", json={"text": "hola"}) as response:
            assert response.status == 401
    log = server.log.read_text("utf-8")
    assert hook["secret_token"] not in log and path not in log and telegram.token not in log
    telegram.user_says(OWNER, "¿y ahora?")
    async with Server(tmp_path, env | {"TELEGRAM_MODE": "polling"}):
        await telegram.wait_for_message("Y ahora por polling.", timeout=30)
    assert telegram.webhook == {} and not telegram.unconfirmed


async def test_a_webhook_without_an_address_stops_the_start_with_one_line(tmp_path: Path) -> None:
    server = Server(tmp_path, {"TELEGRAM_MODE": "webhook"})
    with pytest.raises(AssertionError, match="does not start"):
        await server.__aenter__()
    [line] = [line for line in server.log.read_text("utf-8").splitlines() if "Configuración" in line]
    assert "PUBLIC_URL" in line and "Traceback" not in server.log.read_text("utf-8")
