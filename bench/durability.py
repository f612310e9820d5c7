"""What never losing anything costs: syncs, long histories, many sessions. `python3 dev.py bench durability`."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from app.assembly import House
from app.core.events import (
    AssistantLine,
    DeliveredLine,
    Line,
    ReplyTo,
    SendStartedLine,
    SummaryLine,
    UserLine,
    dump_line,
)
from app.core.messages import Usage
from bench.turns import KEY
from tests.e2e.server import OWNER, Server, telegram_env
from tests.fakes.brain import ScriptedBrain, text
from tests.fakes.channel import FakeChannel
from tests.fakes.llm import FakeLLM
from tests.fakes.telegram import FakeTelegram
from tests.support import make_settings, running_house

Row = tuple[str, str]
HISTORIES = (10, 1_000, 10_000, 100_000)  # messages, of which the last ten are the window
FULL_WINDOW = 500  # messages that no summary has replaced yet
SESSIONS, OPEN = 10_000, 20
CROWD = 200
_LINES = 4  # of a plain turn: user, assistant, send_started, delivered
_BLOCK = 400  # messages that each summary stands for


async def durability(folder: Path) -> list[Row]:
    return [
        *await syncs(folder / "syncs"),
        *await histories(folder / "histories"),
        *await start_ups(folder / "sessions"),
    ]


# ------------------------------------------------------------ syncs


@contextmanager
def counted_syncs() -> Iterator[Callable[[], int]]:
    real, calls = os.fsync, 0

    def fsync(descriptor: int) -> None:
        nonlocal calls
        calls += 1
        real(descriptor)

    os.fsync = fsync
    try:
        yield lambda: calls
    finally:
        os.fsync = real


async def syncs(folder: Path, turns: int = 100) -> list[Row]:
    """In this process, without a network: what is left is the log and its disk."""
    brain, channel = ScriptedBrain(*[text("Hola.")] * (turns + 2 * CROWD + 1)), FakeChannel()
    with counted_syncs() as count:
        async with running_house(make_settings(folder, messages_per_minute=1_000_000), brain, channel) as house:
            await _say(house, channel, [OWNER])  # its file and its folder are there
            before = count()
            times = [await _say(house, channel, [OWNER]) for _ in range(turns)]
            alone = (count() - before) / turns
            chats = list(range(1000, 1000 + CROWD))
            await _say(house, channel, chats)
            before = count()
            together = await _say(house, channel, chats)
            crowd = (count() - before) / CROWD
    return [
        ("turno solo, sin red (mediana)", f"{median(times):.1f} ms, {_per_line(alone)}"),
        (f"{CROWD} chats a la vez, por turno", f"{together / CROWD:.1f} ms, {_per_line(crowd)}"),
        ("un fsync en este disco", f"{_one_sync(folder):.2f} ms"),
    ]


def _per_line(syncs: float) -> str:
    return f"{syncs:.1f} fsync ({syncs / _LINES:.2f} por línea)"


async def _say(house: House, channel: FakeChannel, chats: list[int]) -> float:
    """Milliseconds until every chat has its answer and the log says so."""
    expected = len(channel.sent) + len(chats)
    began = time.perf_counter()
    places = [ReplyTo(channel="telegram", chat_id=chat) for chat in chats]
    await asyncio.gather(*(house.inbox.message(f"telegram_{p.chat_id}", "hola", "42", reply_to=p) for p in places))
    await channel.wait_for(expected, 60)
    await house.delivery.lanes.idle()
    return (time.perf_counter() - began) * 1000


def _one_sync(folder: Path) -> float:
    with (folder / "probe").open("wb", buffering=0) as file:
        began = time.perf_counter()
        for _ in range(100):
            file.write(b"x" * 200)
            os.fsync(file.fileno())
    return (time.perf_counter() - began) * 10


# ------------------------------------------------------------ long histories


async def histories(folder: Path, rounds: int = 40) -> list[Row]:
    """Whole turns of the real server, in turn in sessions of different length: model and Telegram answer at once."""
    llm = await FakeLLM().start()
    chats = {2000 + n: size for n, size in enumerate((*HISTORIES, FULL_WINDOW))}
    _sessions(folder)
    for chat, size in chats.items():
        _write(folder, chat, conversation(chat, size, kept=FULL_WINDOW if size == FULL_WINDOW else 10))
    async with FakeTelegram() as telegram, Server(folder, _env(llm, telegram, chats)):
        await _turn(telegram, OWNER)  # whatever a process does once
        first = {chat: await _turn(telegram, chat) for chat in chats}
        times: dict[int, list[float]] = {chat: [] for chat in chats}
        for _ in range(rounds):
            for chat in chats:
                times[chat].append(await _turn(telegram, chat))
    await llm.stop()
    base = median(times[2000])
    return [
        (
            f"turno con {size} mensajes{', ninguno resumido' if size == FULL_WINDOW else ' de historia'}",
            f"{median(times[chat]):.1f} ms (×{median(times[chat]) / base:.2f}); el primero {first[chat]:.0f} ms",
        )
        for chat, size in chats.items()
    ]


def conversation(chat: int, messages: int, kept: int) -> list[Line]:
    """As the server writes it, summed up in blocks and, at the end, all but the last `kept` messages."""
    place, lines = ReplyTo(channel="telegram", chat_id=chat, message_id=7), list[Line]()
    used = Usage(input=900, output=60, usd=0.0001)
    for number in range(1, messages // 2 + 1):
        user = len(lines) + 1
        words = f"pregunta {number}: " + "palabra tras palabra " * 6
        lines += [
            UserLine(content=words, user_id=str(chat), reply_to=place, key=f"tg:{number}"),
            AssistantLine(turn=user, content=words * 2, covers=user, final=True, reply_to=place, usage=used),
            SendStartedLine(of=user + 1, part=0),
            DeliveredLine(of=user + 1, part=0, parts=1, message_id=number),
        ]
        if messages > kept and (number % (_BLOCK // 2) == 0 or number == messages // 2):
            upto = len(lines) - kept // 2 * _LINES
            lines.append(SummaryLine(content="De qué se habló. " * 40, upto=upto, usage=used))
    return lines


# ------------------------------------------------------------ many sessions


async def start_ups(folder: Path) -> list[Row]:
    _sessions(folder / "empty")
    _sessions(folder / "full")
    for chat in range(SESSIONS):
        _write(folder / "full", 10_000 + chat, conversation(10_000 + chat, 20, kept=20))
    rows = [("arranque sin sesiones hasta responder", f"{await _start_up(folder / 'empty', []):.2f} s")]
    for label in ("la primera vez", "con sus notas"):
        chats = list(range(10_000, 10_000 + OPEN))
        for chat in chats:
            _append(folder / "full", chat, UserLine(content="abierta", user_id=str(chat), reply_to=_place(chat)))
        seconds = await _start_up(folder / "full", chats)
        rows.append((f"con {SESSIONS} sesiones y {OPEN} abiertas, {label}", f"{seconds:.2f} s hasta contestar a todas"))
    return rows


async def _start_up(folder: Path, chats: list[int]) -> float:
    """Seconds from the start of the process until it is ready and has answered in all of `chats`."""
    llm = await FakeLLM().start()
    async with FakeTelegram() as telegram:
        for chat in chats:
            telegram.add_chat(chat)
        began = time.perf_counter()
        async with Server(folder, _env(llm, telegram, chats)):
            await telegram.wait_until(lambda: all(telegram.texts(c) for c in chats) or None, 60, "every answer")
            seconds = time.perf_counter() - began
    await llm.stop()
    return seconds


# ------------------------------------------------------------ small parts


def _env(llm: FakeLLM, telegram: FakeTelegram, chats: object) -> dict[str, str]:
    allowed = ",".join(map(str, chats)) if isinstance(chats, list | dict) else ""
    own = {"GROQ_API_KEY": KEY, "GROQ_BASE_URL": llm.url, "LOG_LEVEL": "WARNING"}
    return own | telegram_env(telegram) | ({"TELEGRAM_ALLOWED_USERS": allowed} if allowed else {})


async def _turn(telegram: FakeTelegram, chat: int) -> float:
    telegram.add_chat(chat)
    sent = len(telegram.texts(chat))
    began = time.perf_counter()
    telegram.user_says(chat, "hola")
    await telegram.wait_until(lambda: len(telegram.texts(chat)) > sent or None, 60, "the answer")
    return (time.perf_counter() - began) * 1000


def _place(chat: int) -> ReplyTo:
    return ReplyTo(channel="telegram", chat_id=chat)


def _sessions(folder: Path) -> None:
    (folder / "data" / "sessions").mkdir(parents=True, mode=0o700)


def _path(folder: Path, chat: int) -> Path:
    return folder / "data" / "sessions" / f"telegram_{chat}.jsonl"


def _write(folder: Path, chat: int, lines: list[Line]) -> None:
    """Half a second between two lines, the last of them two days ago."""
    began = time.time() - 2 * 86_400 - len(lines) / 2
    stamped = (x.model_copy(update={"seq": n, "ts": began + n / 2}) for n, x in enumerate(lines, 1))
    path = _path(folder, chat)
    path.write_bytes(b"".join(map(dump_line, stamped)))
    os.utime(path, (began, began))


def _append(folder: Path, chat: int, line: Line) -> None:
    path = _path(folder, chat)
    seq = path.read_bytes().count(b"\n") + 1
    with path.open("ab") as file:
        file.write(dump_line(line.model_copy(update={"seq": seq, "ts": time.time()})))
