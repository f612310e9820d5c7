"""When the SDKs are loaded, and on what they speak."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.cloud.providers import ProviderManager
from tests.contract.conftest import Turn
from tests.contract.test_failure_table import ASK, DOWN, NO_CLAUDE
from tests.contract.test_providers import HOLA
from tests.fakes.llm import FakeLLM

MakeManager = Callable[..., ProviderManager]
ROOT = Path(__file__).resolve().parents[2]
HEAVY = ["groq", "anthropic", "httpx2", "genai_prices", "trafilatura"]


@pytest.mark.parametrize(
    ("code", "heavy"),
    [("import app.main", HEAVY), ("from app.cloud.providers import ProviderManager", [*HEAVY, "httpx"])],
)
def test_starting_imports_no_sdk(code: str, heavy: list[str], tmp_path: Path) -> None:
    """Each costs a third of a second to more than one, and up to 40 MB, before the first message.

    (python-telegram-bot imports httpx by itself.)
    """
    script = f"import sys, json; {code}; print(json.dumps([m for m in {heavy!r} if m in sys.modules]))"
    environment = {"PYTHONPATH": str(ROOT), "DATA_DIR": str(tmp_path), "PATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=environment, capture_output=True, check=True, timeout=50
    )
    assert json.loads(done.stdout.splitlines()[-1]) == []


@pytest.mark.parametrize("name", ["groq", "anthropic"])
async def test_the_sdks_speak_over_aiohttp(name: str, llm: FakeLLM, make_provider: Callable[..., Any]) -> None:
    """Their own pool collapses at 200 chats (24 turns a second instead of 264)."""
    provider = make_provider(name)
    await provider.call(HOLA)
    sdk: Any = provider._client
    assert "Aiohttp" in type(sdk._client._transport).__name__ and sdk.max_retries == 0
    assert sum(request.api == name for request in llm.requests) == 1


async def test_many_first_calls_build_one_client(llm: FakeLLM, make_provider: Callable[..., Any]) -> None:
    provider = make_provider("groq")
    built: list[object] = []
    build = provider._build
    provider._build = lambda: built.append(1) or build()
    await asyncio.gather(*(provider.call(HOLA) for _ in range(20)))
    assert len(built) == 1


class Loaded:
    """Which providers were warmed up, in order, and where."""

    def __init__(self, manager: ProviderManager) -> None:
        self.names: list[str] = []
        for provider in manager.providers:
            provider.warm_up = lambda name=provider.name: self._note(name)  # pyright: ignore[reportAttributeAccessIssue]

    async def _note(self, name: str) -> None:
        self.names.append(name)


async def test_the_first_provider_is_loaded_soon_and_the_others_when_nobody_waits(
    llm: FakeLLM, make_manager: MakeManager
) -> None:
    manager = make_manager()
    loaded = Loaded(manager)
    llm.say({"delay": 0.3})
    warming = asyncio.create_task(manager.warm_up_when_idle(soon=0.05, idle=0.15))
    await asyncio.sleep(0.02)
    assert loaded.names == []
    call = asyncio.create_task(manager.complete(ASK, Turn().options))
    await call
    assert loaded.names == ["groq"]  # a call was running all the time
    await warming
    assert loaded.names == ["groq", "anthropic"]


async def test_the_next_provider_is_loaded_when_the_first_one_fails(llm: FakeLLM, make_manager: MakeManager) -> None:
    manager = make_manager()
    loaded = Loaded(manager)
    warming = asyncio.create_task(manager.warm_up_when_idle(soon=0, idle=60))
    llm.say(*[DOWN | {"api": "groq"}] * 3)
    await manager.complete(ASK, Turn().options)
    await asyncio.wait_for(warming, 1)
    assert loaded.names == ["groq", "anthropic"]


async def test_only_what_is_configured_is_loaded_and_in_a_thread(make_manager: MakeManager) -> None:
    manager = make_manager(**NO_CLAUDE)
    threads: list[threading.Thread] = []
    provider: Any = manager.providers[0]
    build = provider._build
    provider._build = lambda: threads.append(threading.current_thread()) or build()
    await manager.warm_up_when_idle(soon=0, idle=0)
    assert [p.name for p in manager.providers] == ["groq"]
    assert threads and threads[0] is not threading.main_thread()
    await make_manager(groq_api_key=None, anthropic_api_key=None).warm_up_when_idle(soon=0, idle=0)


async def test_what_cannot_be_loaded_does_not_stop_the_rest(make_manager: MakeManager) -> None:
    manager = make_manager()
    loaded = Loaded(manager)

    async def missing() -> None:
        raise ImportError("no module named groq")

    manager.providers[0].warm_up = missing
    await manager.warm_up_when_idle(soon=0, idle=0)
    assert loaded.names == ["anthropic"]
