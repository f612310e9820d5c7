"""Fifty chats write without a pause while the server is killed, or frozen for a while, at random moments."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import re
import signal
import sys
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.cloud.journal import read_all
from app.core.context import fold
from app.core.events import AssistantLine, Line, UserLine, parse_line
from tests.crash.model import situation
from tests.crash.world import KEYS, MARK
from tests.e2e.server import ROOT, free_port, telegram_env
from tests.fakes.llm import FakeLLM, Step
from tests.fakes.telegram import FakeTelegram, button_of

CHATS = range(1000, 1050)
PATIENCE = 90.0  # seconds for everything to be answered once nobody kills any more
WORDS = ("", "", "cuenta", "largo")
ID = re.compile(r"\bm\d+\b")


class CountingLLM(FakeLLM):
    """Counts with a tool for each message that says `cuenta`, then answers `FIN` and what it answers.

    It answers from what it is shown alone, and every part of an answer names the message, so that no two are alike.
    """

    def _take(self, api: str, model: str) -> Step:
        messages = self.requests.pop().body["messages"]
        asked, _ = situation(messages)
        made = str([message.get("tool_calls") for message in messages])
        for text in asked:
            name = ID.findall(text)[0]
            if "cuenta" in text and f"echo {name} " not in made:
                return {"calls": [{"name": "execute_shell", "arguments": {"command": f"echo {name} >> contador.txt"}}]}
        paragraphs = [f"\n\n{text} {n}: " + "palabra " * 60 for text in asked if "largo" in text for n in range(12)]
        return {"text": f"FIN {' '.join(asked)}{''.join(paragraphs)}"}


_MOST_WAITING = 100  # updates: people do not write to a bot for an hour that never answers


@dataclass
class Report:
    kills: int = 0
    stops: int = 0
    messages: int = 0
    marked: int = 0
    told: int = 0  # set aside or failed, and said so
    problems: list[str] = field(default_factory=list[str])

    def __str__(self) -> str:
        return (
            f"{self.kills} SIGKILL, {self.stops} SIGSTOP, {self.messages} mensajes de {len(CHATS)} chats; "
            f"repetidos con marca: {self.marked}; apartados con aviso: {self.told}; problemas: {len(self.problems)}"
        )


class RandomKills:
    def __init__(self, folder: Path, seed: int) -> None:
        self._folder = folder
        self._chance = random.Random(seed)
        self._port = free_port()
        self._said: dict[int, list[str]] = {chat: [] for chat in CHATS}
        self._looked: dict[int, int] = {}
        self._quiet = False
        self.report = Report()

    async def live(self, kills: int) -> Report:
        (self._folder / "home" / "proyectos").mkdir(parents=True)
        logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)  # callers that die in the middle of an answer
        self._llm = CountingLLM()
        await self._llm.start()
        try:
            async with FakeTelegram() as self._telegram:
                for chat in CHATS:
                    self._telegram.add_chat(chat)
                await self._live(kills)
        finally:
            await self._llm.stop()
        return self.report

    async def _live(self, kills: int) -> None:
        people = [asyncio.create_task(self._talk(chat)) for chat in CHATS]
        presser = asyncio.create_task(self._press())
        process = await self._start()
        try:
            while self.report.kills < kills:
                process = await self._disturb(process)
            self._quiet = True
            await asyncio.gather(*people)
            await self._come_to_rest()
        except TimeoutError:
            self.report.problems.append(f"not everything was answered: {self._busy()} {self._tail()}")
        finally:
            for task in (*people, presser):
                task.cancel()
            with suppress(ProcessLookupError):
                process.terminate()
            await process.wait()
        self._check()

    # ------------------------------------------------------------ death

    async def _disturb(self, process: asyncio.subprocess.Process) -> asyncio.subprocess.Process:
        """One kill, at any moment from the first millisecond on; before some of them it stands still for a while.

        Every other falls on the heels of a request to Telegram, where the narrow gaps are.
        """
        await asyncio.sleep(self._chance.choice([0.3, 2.0, 3.0, 6.0]) * self._chance.random())
        if self._chance.random() < 0.5:
            seen = len(self._telegram.calls)
            with suppress(AssertionError):  # none came
                await self._telegram.wait_until(lambda: len(self._telegram.calls) > seen or None, 3)
        self._check_alive(process)
        if self._chance.random() < 0.3:
            process.send_signal(signal.SIGSTOP)
            self.report.stops += 1
            await asyncio.sleep(self._chance.random() * 1.5)
            process.send_signal(signal.SIGCONT)
            await asyncio.sleep(self._chance.random() * 0.2)
        self._check_alive(process)
        process.kill()
        await process.wait()
        self.report.kills += 1
        return await self._start()

    def _check_alive(self, process: asyncio.subprocess.Process) -> None:
        if process.returncode is not None:
            raise AssertionError(f"it left with {process.returncode}: {self._tail()}")

    async def _start(self) -> asyncio.subprocess.Process:
        env = {
            "DATA_DIR": str(self._folder / "data"), "WORKSPACE_DIR": str(self._folder / "home"),
            "PROJECTS_DIRS": str(self._folder / "home" / "proyectos"), "HOST": "127.0.0.1", "PORT": str(self._port),
            "TELEGRAM_ALLOWED_USERS": ",".join(map(str, CHATS)), "APPROVALS": "nunca", "LOG_LEVEL": "WARNING",
            "GROQ_BASE_URL": self._llm.url, "ANTHROPIC_BASE_URL": self._llm.url, "TOOLS_PER_MINUTE": "100000",
            "MESSAGES_PER_MINUTE": "100000",
        }  # fmt: skip
        kept = {k: v for k, v in os.environ.items() if k in {"PATH", "HOME", "LANG"}}
        with (self._folder / "server.log").open("ab") as log:
            return await asyncio.create_subprocess_exec(
                sys.executable, "-m", "uvicorn", "app.main:app", "--port", str(self._port), "--log-level", "warning",
                cwd=ROOT, env=kept | env | telegram_env(self._telegram) | KEYS, stdout=log, stderr=log,
            )  # fmt: skip

    # ------------------------------------------------------------ people

    async def _talk(self, chat: int) -> None:
        """Mostly waits for the answer before the next message; sometimes does not, or begins a new conversation."""
        chance = random.Random(chat)
        while not self._quiet:
            await asyncio.sleep(chance.random() * 4)
            while len(self._telegram.unconfirmed) > _MOST_WAITING:
                await asyncio.sleep(0.2)
            if chance.random() < 0.1:
                self._telegram.user_says(chat, "/nuevo")
            self.report.messages += 1
            name = f"m{self.report.messages}"
            self._said[chat].append(name)
            self._telegram.user_says(chat, f"{name} {chance.choice(WORDS)}".strip())
            while chance.random() < 0.8 and not self._quiet and not self._is_answered(chat, name):
                await asyncio.sleep(0.2)

    def _is_answered(self, chat: int, name: str) -> bool:
        latest = list(self._telegram.chats[chat].messages.values())[-30:]
        return any(m["from"]["is_bot"] and name in ID.findall(m.get("text", "")) for m in latest)

    async def _press(self) -> None:
        """An uncertain call is never repeated."""
        while True:
            for chat in CHATS:
                messages = self._telegram.chats[chat].messages
                for number in [n for n in messages if n > self._looked.get(chat, 0)]:
                    self._looked[chat] = number
                    if button := button_of(messages[number], "Rechazar"):
                        self._telegram.presses(messages[number], button["callback_data"], chat)
            await asyncio.sleep(0.1)

    async def _come_to_rest(self) -> None:
        async with asyncio.timeout(PATIENCE):
            while self._telegram.unconfirmed or self._busy():
                await asyncio.sleep(0.3)

    # ------------------------------------------------------------ what must be true

    def _check(self) -> None:
        logs = {path.stem: read_all(path) for path in self._logs()}
        problems = self.report.problems
        problems += [f"still open: {name}" for name in self._busy()]
        for path in self._logs():
            problems += _unreadable(path)
        for chat in CHATS:
            self._check_messages(chat, [lines for name, lines in logs.items() if name.split("_")[1] == str(chat)])
            self._check_texts(chat)
        runs = Counter(word for p in (self._folder / "home").rglob("contador.txt") for word in p.read_text().split())
        problems += [f"the tool of {name} ran {count} times" for name, count in runs.items() if count > 1]

    def _check_messages(self, chat: int, logs: list[list[Line]]) -> None:
        """Each is one line, and the answer that covers it arrived, in order."""
        texts = [text.replace(MARK, "").strip() for text in self._telegram.texts(chat)]
        found: Counter[str] = Counter()
        for lines in logs:
            finals = [line for line in lines if isinstance(line, AssistantLine) and line.final]
            places = [_place(line.content, texts) for line in finals if not line.failed]
            if places != sorted(places) or -1 in places:
                self.report.problems.append(f"answers of {chat} came in the order {places}")
            for line in lines:
                if isinstance(line, UserLine):
                    [name] = ID.findall(line.content)
                    found[name] += 1
                    covering = [a for a in finals if a.covers >= line.seq]
                    if not covering:
                        self.report.problems.append(f"{name} of {chat} has no answer")
                    elif covering[0].failed:
                        self.report.told += 1
                        if not any("/reintentar" in text for text in texts):
                            self.report.problems.append(f"{name} of {chat} was set aside and nobody told")
                    elif name not in ID.findall(covering[0].content):
                        self.report.problems.append(f"{name} of {chat} was answered {covering[0].content[:60]!r}")
        if found != Counter(self._said[chat]):
            self.report.problems.append(f"{chat} said {self._said[chat]}, the logs have {found}")

    def _check_texts(self, chat: int) -> None:
        named = [text for text in self._telegram.texts(chat) if ID.search(text) and "reintentar" not in text]
        self.report.marked += sum(MARK in text for text in named)
        plain = Counter(text for text in named if MARK not in text)
        self.report.problems += [f"came {n} times unmarked: {text[:80]!r}" for text, n in plain.items() if n > 1]

    def _logs(self) -> list[Path]:
        return sorted((self._folder / "data" / "sessions").glob("*.jsonl"))

    def _busy(self) -> list[str]:
        return [p.stem for p in self._logs() if fold(p.stem, read_all(p)).is_busy]

    def _tail(self) -> str:
        return (self._folder / "server.log").read_text("utf-8", "replace")[-1500:]


def _place(answer: str, texts: list[str]) -> int:
    """Where its first part came first; -1 when it never did."""
    head = " ".join(answer.split("\n", 1)[0].split())
    return next((n for n, text in enumerate(texts) if " ".join(text.split("\n", 1)[0].split()) == head), -1)


def _unreadable(path: Path) -> list[str]:
    """Lines of a server that died in the middle of a write may be torn; numbers never go back."""
    seqs: list[Any] = []
    for raw in filter(None, path.read_bytes().split(b"\n")):
        with suppress(ValueError):
            seqs.append(parse_line(raw).seq)
    return [] if seqs == sorted(set(seqs)) else [f"numbers of {path.name}: {seqs}"]
