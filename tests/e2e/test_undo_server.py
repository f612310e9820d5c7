"""Undo on the real server: the model removes a whole repository, the process is killed, and it all comes back."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.e2e.server import OWNER, Server, telegram_env
from tests.fakes.llm import FakeLLM
from tests.fakes.telegram import FakeTelegram

pytestmark = pytest.mark.skipif(os.name == "nt", reason="rm -rf")


@pytest.fixture
async def telegram() -> AsyncIterator[FakeTelegram]:
    async with FakeTelegram() as fake:
        fake.add_chat(OWNER)
        yield fake


def tree(folder: Path) -> dict[str, bytes | None]:
    found = folder.rglob("*") if folder.exists() else []
    return {p.relative_to(folder).as_posix(): p.read_bytes() if p.is_file() else None for p in found}


async def test_rm_rf_of_a_repository_and_kill_9_in_the_middle_of_its_undo(
    tmp_path: Path, telegram: FakeTelegram
) -> None:
    project = tmp_path / "home/proyectos/demo"
    project.mkdir(parents=True)
    for n in range(300):
        (project / f"archivo {n}.txt").write_text(f"{n}\n" * 50)
    script = "git init -q && git add . && git -c user.name=a -c user.email=b commit -qm uno"
    subprocess.run(["sh", "-c", script], cwd=project, check=True)
    before = tree(project)
    llm = await FakeLLM().start()
    env = telegram_env(telegram) | {"GROQ_API_KEY": "gsk_e2e_0123456789abcdefghij", "GROQ_BASE_URL": llm.url}
    wreck = {"name": "execute_shell", "arguments": {"command": "rm -rf .git *.txt && ls -A"}}
    llm.say({"calls": [wreck]}, {"text": "Lo he borrado todo."})
    try:
        async with Server(tmp_path, env | {"APPROVALS": "nunca"}) as server:
            telegram.user_says(OWNER, "/proyecto demo")
            await telegram.wait_for_message("Proyecto actual: demo")
            telegram.user_says(OWNER, "bórralo")
            await telegram.wait_for_message("Lo he borrado todo", timeout=20)
            assert tree(project) == {}
            telegram.user_says(OWNER, "/deshacer")
            review = await telegram.wait_for_message("¿Lo hago?", timeout=20)
            [[undo, _]] = review["reply_markup"]["inline_keyboard"]
            telegram.presses(review, undo["callback_data"])
            while not any(project.iterdir()):
                await asyncio.sleep(0.002)
            await server.killed()
        async with Server(tmp_path, env | {"APPROVALS": "nunca"}):
            await telegram.wait_for_message("Deshecho", timeout=20)
            assert tree(project) == before
            told = [t for t in telegram.texts(OWNER) if t.startswith("Deshecho")]
            assert len(told) == 1
    finally:
        await llm.stop()
