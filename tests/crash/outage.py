"""The network to Telegram is gone for a while, with answers on their way; then everything is delivered, in order."""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.crash.model import ScriptedLLM
from tests.crash.world import KEYS, MARK
from tests.e2e.server import OWNER, Server, free_port, telegram_env
from tests.fakes.telegram import FakeTelegram

CHATS = range(OWNER, OWNER + 5)
EACH = 4  # messages of a chat: two are being answered when the network goes, two are written meanwhile
PATIENCE = 400.0  # seconds: longer than any pause between two attempts
_NUMBER = re.compile(r"m\d+")


class Cable:
    """Between the server and Telegram, byte for byte; once cut it refuses, as a closed port does."""

    def __init__(self, target_port: int) -> None:
        self.port = free_port()
        self._target = target_port
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def mend(self) -> None:
        self._server = await asyncio.start_server(self._join, "127.0.0.1", self.port)

    def cut(self) -> None:
        if self._server:
            self._server.close()
        for writer in self._writers:
            writer.transport.abort()

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        self._writers |= {writer, far_writer}
        with suppress(OSError):
            await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))
        self._writers -= {writer, far_writer}


async def _pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    try:
        while data := await source.read(65_536):
            target.write(data)
            await target.drain()
    finally:
        target.close()


@dataclass
class Report:
    """`recovery`: seconds from the network's return to the last delivery."""

    outage: float
    messages: int
    recovery: float = 0.0
    marked: int = 0
    problems: list[str] = field(default_factory=list[str])

    def __str__(self) -> str:
        return (
            f"sin red {self.outage:.0f} s: {self.messages} mensajes, todo entregado {self.recovery:.1f} s después; "
            f"repeticiones marcadas: {self.marked}; problemas: {len(self.problems)}"
        )


async def live(folder: Path, seconds: float) -> Report:
    report = Report(seconds, EACH * len(CHATS))
    llm = ScriptedLLM({})
    await llm.start()
    try:
        async with FakeTelegram() as telegram:
            cable = Cable(int(telegram.base_url.rsplit(":", 1)[1]))
            await cable.mend()
            for chat in CHATS:
                telegram.add_chat(chat)
            env = (
                telegram_env(telegram)
                | KEYS
                | {
                    "GROQ_BASE_URL": llm.url,
                    "TELEGRAM_API_BASE_URL": f"http://127.0.0.1:{cable.port}",
                    "TELEGRAM_ALLOWED_USERS": ",".join(map(str, CHATS)),
                }
            )
            async with Server(folder, env):
                await _write(telegram, 0, 2)
                await telegram.wait_until(lambda: not telegram.unconfirmed, PATIENCE)
                cable.cut()
                await _write(telegram, 2, EACH)
                await asyncio.sleep(seconds)
                began = asyncio.get_running_loop().time()
                await cable.mend()
                with suppress(AssertionError):
                    await telegram.wait_until(lambda: all(_last(telegram, c) for c in CHATS), PATIENCE)
                report.recovery = asyncio.get_running_loop().time() - began
                await asyncio.sleep(1)
            cable.cut()
            for chat in CHATS:
                _judge(report, telegram, chat)
    finally:
        await llm.stop()
    return report


async def _write(telegram: FakeTelegram, first: int, end: int) -> None:
    for number in range(first, end):
        for chat in CHATS:
            telegram.user_says(chat, f"m{number} largo, despacio" if number == 1 else f"m{number}")


def _last(telegram: FakeTelegram, chat: int) -> bool:
    return any(f"m{EACH - 1}" in text for text in telegram.texts(chat))


def _judge(report: Report, telegram: FakeTelegram, chat: int) -> None:
    """Each message is answered, in order, and what comes twice says so."""
    texts = telegram.texts(chat)
    report.marked += sum(MARK in text for text in texts)
    once = [n for text in texts if MARK not in text and text.startswith("FIN") for n in _NUMBER.findall(text)]
    marked = [n for text in texts if MARK in text for n in _NUMBER.findall(text)]
    wanted = [f"m{number}" for number in range(EACH)]
    if lost := set(wanted) - set(once) - set(marked):
        report.problems.append(f"chat {chat}: not answered: {sorted(lost)}")
    if once != sorted(set(once), key=wanted.index):
        report.problems.append(f"chat {chat}: answered as {once}")
