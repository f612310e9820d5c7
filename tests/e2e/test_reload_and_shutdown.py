"""uvicorn --reload while the agent edits Python files; SIGTERM with an open page and a running command."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.e2e.server import Server
from tests.fakes.llm import FakeLLM

KEY = "gsk_e2e_0123456789abcdefghij"


def tool_call(name: str, arguments: Mapping[str, object]) -> dict[str, Any]:
    return {"calls": [{"name": name, "arguments": arguments}]}


async def post(server: Server, http: aiohttp.ClientSession, text: str, session_id: str = "") -> str:
    body = {"text": text} | ({"session_id": session_id} if session_id else {})
    headers = {"Origin": server.url}
    async with http.post(f"{server.url}/api/v1/chat", json=body, headers=headers) as response:
        assert response.status == 202, await response.text()
        return (await response.json())["session_id"]


async def answer(server: Server, http: aiohttp.ClientSession, session_id: str, timeout: float = 20) -> str:
    """The first final answer on the event stream."""
    url = f"{server.url}/api/v1/events?session_id={session_id}"
    async with asyncio.timeout(timeout), http.get(url, headers={"Origin": server.url}) as stream:
        async for raw in stream.content:
            if raw.startswith(b"data: "):
                data = json.loads(raw[6:])
                if isinstance(data, dict) and data.get("type") == "assistant" and data.get("final"):
                    return data["content"]
    raise AssertionError("the stream ended without an answer")


async def test_editing_python_files_restarts_nothing(tmp_path: Path) -> None:
    llm = await FakeLLM().start()
    env = {"GROQ_API_KEY": KEY, "GROQ_BASE_URL": llm.url, "APPROVALS": "nunca"}
    write = {"path": "demo/main.py", "content": "print('hola')\n"}
    run = {"command": "python3 demo/main.py"}
    llm.say(tool_call("write_file", write), tool_call("execute_shell", run), {"text": "Listo."})
    try:
        async with Server(tmp_path, env, "--reload") as server, aiohttp.ClientSession() as http:
            session_id = await post(server, http, "crea main.py y ejecútalo")
            assert await answer(server, http, session_id) == "Listo."
            await asyncio.sleep(1.0)  # the reloader looks several times a second
            assert "reloading" not in server.log.read_text("utf-8").lower().replace("auto-reloading", "")
            results = [
                json.loads(line)["content"]
                for line in (server.sessions / f"{session_id}.jsonl").read_text("utf-8").splitlines()
                if '"tool_result"' in line
            ]
            assert results[1].startswith("hola")
    finally:
        await llm.stop()


@pytest.mark.parametrize("arguments", [(), ("--reload",)])
async def test_sigterm_with_an_open_page_and_a_running_command(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    llm = await FakeLLM().start()
    env = {"GROQ_API_KEY": KEY, "GROQ_BASE_URL": llm.url, "APPROVALS": "nunca"}
    llm.say(tool_call("execute_shell", {"command": "sleep 1.5; echo hecho >> contador.txt"}), {"text": "Listo."})
    try:
        async with Server(tmp_path, env, *arguments) as server, aiohttp.ClientSession() as http:
            session_id = await post(server, http, "espera un poco")
            reading = asyncio.create_task(answer(server, http, session_id))
            log = server.sessions / f"{session_id}.jsonl"
            async with asyncio.timeout(10):
                while "tool_started" not in log.read_text("utf-8"):
                    await asyncio.sleep(0.02)
            seconds = await server.terminate()
            assert seconds < 10
            with pytest.raises((AssertionError, aiohttp.ClientError)):
                await reading
        kinds = [json.loads(line)["type"] for line in log.read_text("utf-8").splitlines()]
        assert kinds == ["user", "assistant", "tool_started", "tool_result"], "the step was saved"
        async with Server(tmp_path, env) as server, aiohttp.ClientSession() as http:
            assert await answer(server, http, session_id) == "Listo."
        assert (tmp_path / "home" / "proyectos" / "contador.txt").read_text().count("hecho") == 1
    finally:
        await llm.stop()


async def test_a_malformed_setting_stops_the_start_with_one_line(tmp_path: Path) -> None:
    env = {k: v for k, v in os.environ.items() if k in {"PATH", "HOME"}} | {"PORT": "ocho", "DATA_DIR": str(tmp_path)}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "uvicorn", "app.main:app",
        cwd=Path(__file__).parents[2], env=env, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    out, _ = await process.communicate()
    assert process.returncode == 2
    assert out.decode() == "Configuración: PORT debe ser un número entero.\n"


async def test_a_folder_that_cannot_be_made_stops_the_start_with_one_line(tmp_path: Path) -> None:
    (tmp_path / "archivo").write_text("")
    env = {k: v for k, v in os.environ.items() if k in {"PATH", "HOME"}} | {
        "DATA_DIR": str(tmp_path / "data"), "WORKSPACE_DIR": str(tmp_path / "archivo" / "x"),
        "PROJECTS_DIRS": str(tmp_path / "p"), "PORT": "0",
    }  # fmt: skip
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "uvicorn", "app.main:app", "--port", "0",
        cwd=Path(__file__).parents[2], env=env, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    out, _ = await process.communicate()
    assert process.returncode == 2 and "no puedo crear la carpeta" in out.decode() and "Traceback" not in out.decode()


async def start(tmp_path: Path, **values: str) -> asyncio.subprocess.Process:
    home = {
        "DATA_DIR": str(tmp_path / "data"),
        "WORKSPACE_DIR": str(tmp_path / "w"),
        "PROJECTS_DIRS": str(tmp_path / "p"),
    }
    env = {k: v for k, v in os.environ.items() if k in {"PATH", "HOME"}} | home | values
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "uvicorn", "app.main:app", "--port", "0",
        cwd=Path(__file__).parents[2], env=env, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip


async def test_a_malformed_password_stops_the_start_with_one_line(tmp_path: Path) -> None:
    process = await start(tmp_path, DASHBOARD_PASSWORD="$argon2id$roto")
    out, _ = await process.communicate()
    assert process.returncode == 2
    [line] = [line for line in out.decode().splitlines() if "DASHBOARD_PASSWORD" in line]
    assert line.startswith("Configuración:") and "Traceback" not in out.decode() and "roto" not in out.decode()


async def test_a_signal_ends_the_wait_for_a_folder_in_use(tmp_path: Path) -> None:
    async with Server(tmp_path, {}):
        process = await start(tmp_path)
        assert process.stdout
        async with asyncio.timeout(20):
            while b"waiting for another process" not in await process.stdout.readline():
                pass
            process.terminate()
            await process.wait()
        assert process.returncode == 2
