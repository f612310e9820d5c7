"""What the log machine plays with: a disk that fails and loses power, a model, a chat service, a house that dies."""

from __future__ import annotations

import asyncio
import errno
import os
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import SupportsIndex

from app.assembly import House, build_house
from app.cloud.redo import RedoLog
from app.cloud.storage import Storage
from app.config import Settings
from app.core import recovery
from app.core.contracts import CallOptions, Choice, ModelRequest, Part
from app.core.errors import BrokenReply, StorageError, TurnPostponed, Uncertain, Unreachable
from app.core.events import ReplyTo
from app.core.messages import Reply
from tests.crash.model import situation
from tests.fakes.brain import Script, ScriptedBrain, calls, text
from tests.fakes.channel import FakeChannel

_WRITE, _FSYNC, _TRUNCATE = os.write, os.fsync, os.ftruncate
FOREVER = 10**9
ID = re.compile(r"\bm\d+\b")
MODEL_TROUBLE: dict[str, Callable[[], Exception]] = {
    "down": lambda: Unreachable("no responde"),
    "cut": lambda: BrokenReply("se cortó"),
    "bug": lambda: RuntimeError("bug"),
    "later": lambda: TurnPostponed("descansan todos", time.time() + 0.05),
}


@dataclass
class Update:
    """What the chat service hands over until it is taken: a message, or a command when `text` begins with a slash.

    `edits`: the message whose new words these are; `idle` when they are its old ones.
    """

    chat: int
    text: str
    key: str
    message_id: int = 0
    edits: int = 0
    idle: bool = False
    taken: bool = False


@dataclass
class Disk:
    """Below `folder`: `failing` writes or syncs raise `code`; when `dead`, a write tears and nothing more happens.

    Syncing costs nothing here; it notes how much of each file a power cut would spare.
    """

    folder: Path
    code: int = errno.ENOSPC
    failing_writes: int = 0
    failing_syncs: int = 0
    dead: bool = False
    only: str = ""  # the failures are this file's alone
    syncs: list[str] = field(default_factory=list[str])  # names, as they were synced
    synced: dict[int, int] = field(default_factory=dict[int, int])  # by inode: a new name does not matter
    named: set[str] = field(default_factory=set[str])  # files whose name in the folder is durable

    def write(self, descriptor: int, data: bytes) -> int:
        if not self._is_ours(descriptor):
            return _WRITE(descriptor, data)
        if self.dead or (self.failing_writes > 0 and self._is_meant(descriptor)):
            self.failing_writes -= 1
            _WRITE(descriptor, bytes(data)[: len(data) // 2])
            self._fail()
        return _WRITE(descriptor, data)

    def fsync(self, descriptor: int) -> None:
        if not self._is_ours(descriptor):
            return
        if self.dead or (self.failing_syncs > 0 and self._is_meant(descriptor)):
            self.failing_syncs -= 1
            self._fail()
        path = self._path(descriptor)
        self.syncs.append(Path(path).name)
        if os.path.isdir(path):
            self.named |= {entry.path for entry in os.scandir(path)}
        else:
            self.synced[os.fstat(descriptor).st_ino] = os.fstat(descriptor).st_size

    def ftruncate(self, descriptor: int, size: int) -> None:
        if (self.dead or (self.failing_syncs > 0 and self.code == errno.EIO)) and self._is_ours(descriptor):
            self._fail()
        _TRUNCATE(descriptor, size)

    def mend(self) -> None:
        self.dead, self.failing_writes, self.failing_syncs = False, 0, 0

    def lose_power(self) -> None:
        """Of the logs only what was synced is left; the rest is gone, or zeros where the system had grown the file."""
        for number, path in enumerate([*self.folder.rglob("*.jsonl"), *self.folder.rglob("redo.log")]):
            size, inode = path.stat().st_size, path.stat().st_ino
            spared = min(self.synced.get(inode, 0), size)
            if str(path) not in self.named:
                path.unlink()
                continue
            os.truncate(path, spared)
            if (spared + number) % 2:
                os.truncate(path, size)
            self.synced[inode] = path.stat().st_size

    def _fail(self) -> None:
        raise OSError(self.code, os.strerror(self.code))

    def _is_ours(self, descriptor: int) -> bool:
        return self._path(descriptor).startswith(str(self.folder))

    def _is_meant(self, descriptor: int) -> bool:
        return self._path(descriptor).endswith(self.only)

    @staticmethod
    def _path(descriptor: int) -> str:
        return os.readlink(f"/proc/self/fd/{descriptor}")


class Telegram(FakeChannel):
    """Every second send that ends uncertainly did arrive."""

    def __init__(self) -> None:
        super().__init__(part_size=700)
        self._uncertain = 0

    async def send(self, to: ReplyTo, part: Part, *, choices: Sequence[Choice] = (), repeat: bool = False) -> int:
        await asyncio.sleep(0)
        self.arrives_anyway = False
        if self.trouble and isinstance(self.trouble[0], Uncertain):
            self._uncertain += 1
            self.arrives_anyway = self._uncertain % 2 == 1
        return await super().send(to, part, choices=choices, repeat=repeat)


class Model:
    """Counts with a tool for each message that says `cuenta`, then answers `FIN` and what it answers."""

    def __init__(self) -> None:
        self.trouble: list[Callable[[], Exception]] = []
        self.pause = 0.0

    async def __call__(self, request: ModelRequest, call: CallOptions) -> Reply:
        await asyncio.sleep(self.pause)
        if self.trouble:
            raise self.trouble.pop(0)()
        messages = [message.model_dump() for message in request.messages]
        asked, _ = situation(messages)
        made = str([message.get("tool_calls") for message in messages])
        for message in asked:
            name, word = _newest(message)
            if word == "cuenta" and f"echo {name} " not in made and request.tools:
                return calls(("execute_shell", {"command": f"echo {name} >> contador.txt"}))
        answer = f"FIN {' '.join(asked)}"
        return text(answer + " largo" * 300 if "largo" in answer else answer)


def _newest(message: str) -> tuple[str, str]:
    """(its id, its word): an edit quotes what stood there before."""
    name, _, word = message[max((m.start() for m in ID.finditer(message)), default=0) :].partition(" ")
    return name, word.strip()


class Inn:
    """The house of the moment, on one folder."""

    def __init__(self, settings: Settings, disk: Disk) -> None:
        self.settings = settings
        self.disk = disk
        self.telegram, self.model = Telegram(), Model()
        self.house: House | None = None

    @property
    def sessions(self) -> Path:
        return self.settings.data_dir / "sessions"

    async def open(self) -> None:
        brain = ScriptedBrain()
        brain.script = _Endless([self.model])
        house = build_house(self.settings, {"telegram": self.telegram}, brain)
        house.delivery._pause = lambda seconds: asyncio.sleep(min(seconds, 0.01))  # pyright: ignore[reportPrivateUsage]
        self.house = house
        await house.store.open()
        await recovery.resume(house.store, house.commands, house.runner, house.delivery.lanes.wake)

    async def leave(self) -> None:
        house, self.house = self.house, None
        if house:
            house.loop.leave()
            await house.runner.lanes.close(1)
            await house.delivery.lanes.close(0.1)
            await house.loop.aclose()
            await house.store.close()

    async def die(self, *, power: bool) -> None:
        """Nothing more reaches the disk; what is in memory is forgotten."""
        self.disk.dead = True
        if self.house:
            await asyncio.gather(self.house.runner.lanes.close(0), self.house.delivery.lanes.close(0))
        while others := asyncio.all_tasks() - {asyncio.current_task()}:
            for task in others:
                if getattr(task.get_coro(), "__name__", "") != "_commit":  # those end by themselves: the disk is dead
                    task.cancel()
            await asyncio.gather(*others, return_exceptions=True)
        await asyncio.to_thread(self._forget)
        if power:
            self.disk.lose_power()
        self.disk.mend()
        self.house = None

    def _forget(self) -> None:
        storage = Storage._shared.pop(self.sessions.resolve())  # pyright: ignore[reportPrivateUsage]
        storage.committer.drain()
        storage.committer._redo = RedoLog(self.sessions / "nowhere")  # pyright: ignore[reportPrivateUsage]
        if storage._process_lock is not None:  # pyright: ignore[reportPrivateUsage]
            os.close(storage._process_lock)  # pyright: ignore[reportPrivateUsage]

    async def quietly(self, work: Callable[[House], Awaitable[object]]) -> bool:
        """Whether the disk took it."""
        assert self.house
        with suppress(StorageError):
            await work(self.house)
            return True
        return False


class _Endless(list[Script]):
    def pop(self, index: SupportsIndex = -1, /) -> Script:
        return self[0]
