"""Nanobot as a process, as a user starts it: own folders, own port, nothing from this environment."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import aiohttp

from tests.fakes.telegram import FakeTelegram

ROOT = Path(__file__).parents[2]
OWNER = 42


class Server:
    """`async with Server(folder, {...})`; log, data and projects are below `folder`. kill() is kill -9."""

    def __init__(self, folder: Path, env: Mapping[str, str], *arguments: str) -> None:
        self.folder = folder
        self.project = folder / "home" / "proyectos" / "demo"
        self.port = free_port()
        self.url = f"http://localhost:{self.port}"
        self.log = folder / "server.log"
        self._arguments = arguments
        self._env = {
            "DATA_DIR": str(folder / "data"),
            "WORKSPACE_DIR": str(folder / "home"),
            "PROJECTS_DIRS": str(folder / "home" / "proyectos"),
            "HOST": "127.0.0.1",
            "PORT": str(self.port),
            "ENVIRONMENT": "test",
            **env,
        }
        self._process: asyncio.subprocess.Process | None = None

    @property
    def sessions(self) -> Path:
        return self.folder / "data" / "sessions"

    @property
    def pid(self) -> int:
        assert self._process
        return self._process.pid

    async def __aenter__(self) -> Self:
        self.project.mkdir(parents=True, exist_ok=True)
        kept = {k: v for k, v in os.environ.items() if k in {"PATH", "HOME", "SYSTEMROOT", "TMPDIR", "LANG"}}
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "uvicorn", "app.main:app", "--port", str(self.port), *self._arguments,
                cwd=ROOT, env=kept | self._env, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        await self._ready()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._process and self._process.returncode is None:
            await self.terminate()

    async def terminate(self, patience: float = 25.0) -> float:
        """SIGTERM; returns the seconds until it was gone."""
        assert self._process
        began = asyncio.get_running_loop().time()
        self._process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(patience):
                await self._process.wait()
        except TimeoutError:
            self.kill()
            raise AssertionError(f"still there after {patience} s:\n{self.tail()}") from None
        return asyncio.get_running_loop().time() - began

    def kill(self) -> None:
        os.killpg(self.pid, signal.SIGKILL)

    async def killed(self) -> None:
        assert self._process
        self.kill()
        await self._process.wait()

    async def status(self) -> dict[str, object]:
        async with aiohttp.ClientSession() as http, http.get(f"{self.url}/api/status") as response:
            return await response.json()

    def tail(self) -> str:
        return self.log.read_text("utf-8", "replace")[-3000:]

    async def _ready(self) -> None:
        assert self._process
        for _ in range(400):
            if self._process.returncode is not None:
                break
            try:
                await self.status()
                return
            except (aiohttp.ClientError, OSError):
                await asyncio.sleep(0.05)
        raise AssertionError(f"it does not start:\n{self.tail()}")


def telegram_env(telegram: FakeTelegram) -> dict[str, str]:
    return {
        "TELEGRAM_TOKEN": telegram.token,
        "TELEGRAM_API_BASE_URL": telegram.base_url,
        "TELEGRAM_USER_ID": str(OWNER),
    }


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
