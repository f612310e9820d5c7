"""Takeover: somebody else uses the bot — by a webhook of his, or by polling as well. It is taken only after a yes."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from loguru import logger
from pydantic import BaseModel, TypeAdapter
from telegram import Bot, InlineKeyboardButton, InlineKeyboardMarkup

from app.cloud.chats import replace_whole
from app.cloud.telegram_chores import Chores
from app.core import texts

_DATA = re.compile(r"(aqui|dejar)\|([0-9a-f]{16})")


@dataclass(frozen=True)
class Rival:
    """`url`: of his webhook, '' when he polls. It may carry his secrets, so only its host is shown or kept."""

    bot_id: int
    url: str = ""

    @property
    def name(self) -> str:
        return hashlib.sha256(f"{self.bot_id} {self.url}".encode()).hexdigest()[:16]

    @property
    def where(self) -> str:
        with suppress(ValueError):
            return urlsplit(self.url).hostname or texts.ANOTHER_PROGRAM
        return texts.ANOTHER_PROGRAM


class Decision(BaseModel):
    """`take` is None as long as the owner was only asked."""

    where: str
    take: bool | None = None


_BOOK = TypeAdapter(dict[str, Decision])


class Takeover:
    """What was decided outlives restarts; each rival is asked about once. `rival`: who has the bot now."""

    def __init__(self, bot: Bot, owner: int | None, chores: Chores, path: Path) -> None:
        self._bot = bot
        self._owner = owner
        self._chores = chores
        self._path = path
        self._book: Mapping[str, Decision] | None = None  # this process alone writes the file
        self._writing = asyncio.Lock()
        self._asking = False
        self._decided = asyncio.Event()
        self.rival: Rival | None = None

    @property
    def choice(self) -> bool | None:
        """What the owner has decided about the present rival."""
        decision = (self._book or {}).get(self.rival.name) if self.rival else None
        return decision.take if decision else None

    async def may_take(self, url: str = "") -> bool:
        """Somebody has the bot: tells, and asks the owner once."""
        rival = Rival(self._bot.id, url)
        book = await self._known()
        if rival != self.rival:
            logger.warning("Telegram: the bot is used elsewhere ({})", rival.where)
        self.rival = rival
        if rival.name not in book and self._owner is not None and not self._asking:
            self._chores.start("ask whether to take the bot over", self._ask(self._owner, rival))
        return self.choice is True

    def gone(self) -> None:
        """Nobody else has it any more."""
        if self.rival is not None:
            logger.info("Telegram: the bot is ours alone ({} is gone)", self.rival.where)
        self.rival = None

    async def decide(self, name: str, take: bool) -> bool:
        """On disk when it returns; False when nobody of that name was ever met. Raises StorageError."""
        rival, book = self.rival, await self._known()
        known = book.get(name)
        if rival is not None and rival.name == name:
            known = Decision(where=rival.where)
        if known is None:
            return False
        logger.info("Telegram: the owner {} {}", "takes the bot from" if take else "leaves the bot to", known.where)
        await self._note(name, Decision(where=known.where, take=take))
        self._decided.set()
        return True

    async def rest(self, seconds: float) -> None:
        """A pause that a decision ends."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._decided.wait()
        self._decided.clear()

    async def _ask(self, owner: int, rival: Rival) -> None:
        """Sending is allowed even to who receives nothing. Noted only once it is sent."""
        self._asking = True
        try:
            await self._bot.send_message(owner, texts.takeover_question(rival.where), reply_markup=_buttons(rival))
            await self._note(rival.name, Decision(where=rival.where))
        finally:
            self._asking = False

    async def _known(self) -> Mapping[str, Decision]:
        if self._book is None:
            self._book = await asyncio.to_thread(self._read)
        return self._book

    async def _note(self, name: str, decision: Decision) -> None:
        """On disk when it returns. That somebody was asked never goes over what he has answered."""
        async with self._writing:
            book = dict(await self._known())
            if decision.take is None and name in book:
                return
            book[name] = decision
            await asyncio.to_thread(replace_whole, self._path, _BOOK.dump_python(book, mode="json"))
            self._book = book

    def _read(self) -> Mapping[str, Decision]:
        try:
            return _BOOK.validate_json(self._path.read_bytes())
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:  # asked once more: nothing is lost
            logger.error("{} cannot be read: {}", self._path.name, type(error).__name__)
            return {}


def parse_takeover(data: str) -> tuple[str, bool] | None:
    """(the rival's name, take it from him)."""
    found = _DATA.fullmatch(data)
    return (found[2], found[1] == "aqui") if found else None


def _buttons(rival: Rival) -> InlineKeyboardMarkup:
    yes = InlineKeyboardButton(texts.TAKE_HERE, callback_data=f"aqui|{rival.name}")
    no = InlineKeyboardButton(texts.LEAVE_IT, callback_data=f"dejar|{rival.name}")
    return InlineKeyboardMarkup([[yes, no]])
