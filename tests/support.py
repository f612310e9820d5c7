"""What many tests build: settings that reach nothing outside, and a whole house on a scripted brain."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from app.assembly import House, build_house
from app.cloud.sessions import SessionManager
from app.config import Settings
from app.core import recovery
from app.core.events import AnyLine, ReplyTo, UnknownLine
from tests.fakes.brain import ScriptedBrain
from tests.fakes.channel import FakeChannel


def make_settings(folder: Path, **values: object) -> Settings:
    """Everything below `folder`; no .env, no environment."""
    defaults: dict[str, object] = {
        "data_dir": folder / "data",
        "workspace_dir": folder / "home",
        "projects_dirs": [folder / "home" / "proyectos"],
        "environment": "test",
        # Here it is the house that is tested: commands are plain, and ask. What confines them has tests of its own.
        "sandbox": "ninguno",
        "allow_unconfined_shell": True,
    }
    return Settings(_env_file=None, **(defaults | values))  # pyright: ignore[reportArgumentType, reportCallIssue]


CHAT = ReplyTo(channel="telegram", chat_id=42, message_id=1)


@asynccontextmanager
async def running_house(
    settings: Settings, brain: ScriptedBrain, channel: FakeChannel | None = None
) -> AsyncGenerator[House]:
    """As the server does it: open, resume what the logs say, work, leave."""
    house = build_house(settings, {"telegram": channel} if channel else {}, brain)
    await house.store.open()
    await recovery.resume(house.store, house.commands, house.runner, house.delivery.lanes.wake)
    try:
        yield house
    finally:
        house.loop.leave()
        await house.runner.lanes.close(2)
        await house.delivery.lanes.close(0.1)
        await house.loop.aclose()
        await house.store.close()


async def lines_of(store: SessionManager, session_id: str) -> list[AnyLine]:
    return [line for line in await store.read_lines(session_id) if not isinstance(line, UnknownLine)]


async def kinds(store: SessionManager, session_id: str) -> list[str]:
    return [line.type for line in await store.read_lines(session_id)]


async def until(condition: Callable[[], bool], timeout: float = 5.0) -> None:
    async with asyncio.timeout(timeout):
        while not condition():
            await asyncio.sleep(0.005)
