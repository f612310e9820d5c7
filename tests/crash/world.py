"""One scenario lived through once: fakes, server process, a user; and what must be true of it in the end."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from app.cloud.journal import read_all
from app.core.context import fold
from app.core.events import parse_line
from tests.crash.model import ScriptedLLM
from tests.crash.scenarios import CROWD, Scenario
from tests.e2e.server import ROOT, free_port, telegram_env
from tests.fakes.telegram import FakeTelegram, button_of

ORIGIN = "https://nanobot.example"
MARK = "(puede que ya te haya llegado)"
PATIENCE = 40.0  # seconds for everything to be answered
KEYS = {"GROQ_API_KEY": "gsk_crash_0123456789abcdefghij", "ANTHROPIC_API_KEY": "sk-ant-crash-0123456789abcdefghij"}


@dataclass
class Outcome:
    """`points`: those that were passed. `problems`: what must not be."""

    crashed: bool
    points: list[str]
    problems: list[str] = field(default_factory=list[str])
    marked: int = 0


class World:
    def __init__(self, scenario: Scenario, folder: Path, at: str) -> None:
        self._scenario = scenario
        self._folder = folder
        self._at = at
        self._port = free_port()
        self._pressed: set[int] = set()
        self._posted: dict[str, str] = {}  # text → session
        self.crashed = False

    async def live(self) -> Outcome:
        (self._folder / "home" / "proyectos").mkdir(parents=True)
        self._llm = ScriptedLLM(self._scenario.plans, groq_down=self._scenario.groq_down)
        await self._llm.start()
        try:
            async with FakeTelegram() as self._telegram:
                for chat in CROWD:
                    self._telegram.add_chat(chat)
                if self._scenario.webhook:
                    self._set_webhook()
                for chat, text in self._scenario.says:
                    self._telegram.user_says(chat, text)
                return await self._live()
        finally:
            await self._llm.stop()

    def _set_webhook(self) -> None:
        """As an earlier start of the same server left it: otherwise it would look for another poller first."""
        self._telegram.lives_at(ORIGIN, f"http://127.0.0.1:{self._port}")
        self._telegram.sender.retry_second = 0.02
        self._telegram.webhook = {"url": f"{ORIGIN}/telegram/antes", "secret_token": "x", "max_connections": 1}

    async def _live(self) -> Outcome:
        process = await self._start(self._at)
        problems: list[str] = []
        try:
            async with asyncio.timeout(PATIENCE):
                while not await self._is_done():
                    if process.returncode is not None:
                        self.crashed = True
                        if process.returncode != -signal.SIGKILL:
                            raise AssertionError(f"it left with {process.returncode}: {self._tail()}")
                        process = await self._start("")
                    await self._act()
                    await asyncio.sleep(0.02)
                await asyncio.sleep(0.2)  # what would come twice comes now
        except TimeoutError:
            problems.append(f"not everything was answered: {self._telegram.texts()} {self._tail()}")
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        await process.wait()
        if not self.crashed and self._at and process.returncode == -signal.SIGKILL:
            self.crashed = True
        outcome = Outcome(self.crashed, self._points(), problems)
        self._check(outcome)
        return outcome

    async def _start(self, at: str) -> asyncio.subprocess.Process:
        env = {
            "DATA_DIR": str(self._folder / "data"), "WORKSPACE_DIR": str(self._folder / "home"),
            "PROJECTS_DIRS": str(self._folder / "home" / "proyectos"), "HOST": "127.0.0.1", "PORT": str(self._port),
            "TELEGRAM_ALLOWED_USERS": ",".join(map(str, CROWD[1:])),
            "GROQ_BASE_URL": self._llm.url, "ANTHROPIC_BASE_URL": self._llm.url,
            "CRASH_TRACE": str(self._folder / ("trace" if at or not self.crashed else "trace-after")), "CRASH_AT": at,
        }  # fmt: skip
        env |= {"PUBLIC_URL": ORIGIN} if self._scenario.webhook else {}
        env |= telegram_env(self._telegram) | KEYS | self._scenario.env
        kept = {k: v for k, v in os.environ.items() if k in {"PATH", "HOME", "LANG"}}
        with (self._folder / "server.log").open("ab") as log:
            return await asyncio.create_subprocess_exec(
                sys.executable, "-m", "tests.crash.killer", "app.main:app", "--port", str(self._port),
                "--timeout-graceful-shutdown", "2", cwd=ROOT, env=kept | env, stdout=log, stderr=log,
            )  # fmt: skip

    # ------------------------------------------------------------ the user

    async def _act(self) -> None:
        """Permits what is asked, lets an uncertain call be, and sends the browser's messages until they are taken."""
        for message in self._telegram.sent():
            yes = "Permitir siempre esto" if self._scenario.always else "Permitir"
            label = yes if "¿Lo permito?" in message["text"] else "Rechazar"
            button = button_of(message, label)
            if button and message["message_id"] not in self._pressed:
                self._pressed.add(message["message_id"])
                self._telegram.presses(message, button["callback_data"], message["chat"]["id"])
        for text in self._scenario.web:
            if text not in self._posted:
                await self._post(text)
                break
            await self._let_be(self._posted[text])

    async def _post(self, text: str) -> None:
        if accepted := await self._send("chat", {"text": text}, {"Idempotency-Key": text}):
            self._posted[text] = accepted["session_id"]

    async def _let_be(self, session: str) -> None:
        """The browser's user answers an open question about an uncertain call."""
        path = self._folder / "data" / "sessions" / f"{session}.jsonl"
        for asked in fold(session, read_all(path)).questions:
            headers = {"X-Nanobot-Page": await self._page_token()}
            await self._send(f"approvals/{session}/{asked}", {"decision": "deny"}, headers)

    async def _page_token(self) -> str:
        with suppress(aiohttp.ClientError, OSError):
            async with aiohttp.ClientSession() as http, http.get(f"http://127.0.0.1:{self._port}/") as response:
                found = re.search(r'name="nanobot-page" content="(\w+)"', await response.text())
                return found[1] if found else ""
        return ""

    async def _send(self, path: str, body: dict[str, str], headers: dict[str, str] | None = None) -> dict[str, Any]:
        """What the server answers; nothing when it is not there, or refuses."""
        url = f"http://127.0.0.1:{self._port}"
        with suppress(aiohttp.ClientError, OSError):
            async with (
                aiohttp.ClientSession(headers={"Origin": url, **(headers or {})}) as http,
                http.post(f"{url}/api/v1/{path}", json=body) as response,
            ):
                return await response.json() if response.ok else {}
        return {}

    # ------------------------------------------------------------ what must be true

    async def _is_done(self) -> bool:
        answered = all(self._is_answered(chat, text) for chat, text in self._scenario.says)
        return answered and len(self._posted) == len(self._scenario.web) and not self._busy()

    def _is_answered(self, chat: int, text: str) -> bool:
        texts = self._telegram.texts(chat)
        wanted = {"/nuevo": "de cero", "/estado": "Nanobot 0"}.get(text)
        return any((wanted in said) if wanted else ("FIN" in said and text in said) for said in texts)

    def _busy(self) -> list[str]:
        return [p.stem for p in self._logs() if fold(p.stem, read_all(p)).is_busy]

    def _check(self, outcome: Outcome) -> None:
        for chat in CROWD:
            texts = self._telegram.texts(chat)
            outcome.marked += sum(MARK in text for text in texts)
            seen = Counter(text.replace(MARK, "").strip() for text in texts)
            unmarked = Counter(text.strip() for text in texts if MARK not in text)
            outcome.problems += [f"came {n} times unmarked: {text[:80]!r}" for text, n in unmarked.items() if n > 1]
            outcome.problems += [f"came {n} times: {text[:80]!r}" for text, n in seen.items() if n > 2]
        if outcome.marked > self._unknowable(outcome):
            outcome.problems.append(f"{outcome.marked} marked as possible repeats")
        raised = self._counter()
        if raised > 1 or (self._scenario.counted and not outcome.crashed and raised != 1):
            outcome.problems.append(f"the tool ran {raised} times")
        outcome.problems += [f"still open: {name}" for name in self._busy()]
        for path in self._logs():
            self._check_log(path, outcome)
        for text in self._scenario.web:
            finals = [line for line in self._lines(self._posted.get(text, "")) if line.get("final")]
            if len(finals) != 1 or text not in finals[0]["content"]:
                outcome.problems.append(f"the browser's {text!r} has {len(finals)} answers")

    def _unknowable(self, outcome: Outcome) -> int:
        """How many sends were announced, and not known to have arrived, when the process died."""
        name, _, moment = self._at.partition("@")
        if not outcome.crashed:
            return 0
        happened = [point for point in outcome.points if point != name or moment == "after"]
        started = sum(":send_started#" in point and point.startswith("write:") for point in happened)
        return started - sum(":delivered#" in point and point.startswith("write:") for point in happened)

    def _check_log(self, path: Path, outcome: Outcome) -> None:
        seqs: list[int] = []
        for raw in filter(None, path.read_bytes().split(b"\n")):
            try:
                seqs.append(parse_line(raw).seq)
            except ValueError:
                if "@torn" not in self._at:
                    outcome.problems.append(f"unreadable line in {path.name}: {raw[:80]!r}")
        if seqs != sorted(set(seqs)):
            outcome.problems.append(f"numbers of {path.name}: {seqs}")

    def _counter(self) -> int:
        return sum(p.read_text().count("hecho") for p in (self._folder / "home").rglob("contador.txt"))

    def _logs(self) -> list[Path]:
        return sorted((self._folder / "data" / "sessions").glob("*.jsonl"))

    def _lines(self, session: str) -> list[dict[str, Any]]:
        path = self._folder / "data" / "sessions" / f"{session}.jsonl"
        raws = path.read_bytes().split(b"\n") if path.exists() else []
        lines: list[dict[str, Any]] = []
        for raw in filter(None, raws):
            with suppress(ValueError):
                lines.append(json.loads(raw))
        return lines

    def _points(self) -> list[str]:
        trace = self._folder / "trace"
        return trace.read_text("utf-8").split() if trace.exists() else []

    def _tail(self) -> str:
        return (self._folder / "server.log").read_text("utf-8", "replace")[-1500:]
