"""A turn as Telegram sees it: message in, one tool call, answer out. The models answer at once: all of it is ours."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles

from bench.process import cpu_ms, memory_mb
from tests.e2e.server import OWNER, Server, telegram_env
from tests.fakes.llm import FakeLLM
from tests.fakes.telegram import FakeTelegram

KEY = "gsk_bench_0123456789abcdefghij"
LOOK = {"calls": [{"name": "read_file", "arguments": {"path": "nota.txt"}}]}


@dataclass(frozen=True)
class Figures:
    """Seconds to ready; milliseconds a turn (median, 90th percentile) and of CPU; MB at rest, after, at the peak."""

    ready_s: float
    cpu_to_ready_ms: float
    rest_mb: float
    first_ms: float
    turn_ms: float
    turn_p90_ms: float
    turn_cpu_ms: float
    crowd: int
    crowd_per_second: float
    crowd_cpu_ms: float
    after_mb: float
    peak_mb: float


async def measure(folder: Path, turns: int = 60, crowd: int = 50) -> Figures:
    llm = await FakeLLM().start()
    env = {"GROQ_API_KEY": KEY, "GROQ_BASE_URL": llm.url, "LOG_LEVEL": "WARNING", "TOOLS_PER_MINUTE": "100000"}
    chats = range(1000, 1000 + crowd)
    async with FakeTelegram() as telegram:
        env |= telegram_env(telegram) | {"TELEGRAM_ALLOWED_USERS": ",".join(map(str, chats))}
        env["MESSAGES_PER_MINUTE"] = "1000000"  # one user would wait
        for chat in (OWNER, *chats):
            telegram.add_chat(chat)
        began = time.perf_counter()
        async with Server(folder, env) as server:
            ready, used = time.perf_counter() - began, cpu_ms(server.pid)
            (server.project.parent / "nota.txt").write_text("compra pan\n", "utf-8")
            await asyncio.sleep(1)
            rest, _ = memory_mb(server.pid)
            first = await _turn(telegram, llm, OWNER)
            await _turn(telegram, llm, OWNER)
            before = cpu_ms(server.pid)
            times = [await _turn(telegram, llm, OWNER) for _ in range(turns)]
            cpu = (cpu_ms(server.pid) - before) / turns
            crowd_seconds, crowd_cpu = await _crowd(telegram, llm, chats, server.pid)
            after, peak = memory_mb(server.pid)
    await llm.stop()
    return Figures(
        ready, used, rest, first, median(times), quantiles(times, n=10)[-1], cpu,
        crowd, crowd / crowd_seconds, crowd_cpu, after, peak,
    )  # fmt: skip


async def _turn(telegram: FakeTelegram, llm: FakeLLM, chat: int) -> float:
    """Milliseconds from the delivery of the update to the complete arrival of the answer."""
    sent = len(telegram.texts(chat))
    llm.say(LOOK, {"text": "Pone: compra pan."})
    began = time.perf_counter()
    telegram.user_says(chat, "¿qué pone en nota.txt?")
    await telegram.wait_until(lambda: len(telegram.texts(chat)) > sent or None, 30, "the answer")
    return (time.perf_counter() - began) * 1000


async def _crowd(telegram: FakeTelegram, llm: FakeLLM, chats: Iterable[int], pid: int) -> tuple[float, float]:
    """(seconds until every chat has its answer, CPU milliseconds a turn); each turn is one plain model call."""
    chats = list(chats)
    llm.say(*[{"text": "Hola.", "delay": 0.2} for _ in chats])
    before, began = cpu_ms(pid), time.perf_counter()
    for chat in chats:
        telegram.user_says(chat, "hola")
    await telegram.wait_until(lambda: all(telegram.texts(c) for c in chats) or None, 60, "every answer")
    return time.perf_counter() - began, (cpu_ms(pid) - before) / len(chats)
