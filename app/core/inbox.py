"""Inbox: whatever comes in, from any channel, becomes a durable line first; then its lane wakes."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from app.core import texts, texts_taint
from app.core.approvals import Answer, Approvals, Decision
from app.core.commands import FOR_OWNERS, IN_LANE, Commands
from app.core.context import chat_of
from app.core.contracts import ChatBook, SessionStore
from app.core.errors import StorageError
from app.core.events import AssistantLine, CommandLine, ReplyLine, ReplyTo, UserLine
from app.core.foreign import origin_in, voiceless
from app.core.roles import GUEST_COMMANDS, People, Role
from app.core.turns import TurnRunner
from app.core.unseen import seen

Wish = Decision | Literal["always"]

_EDITABLE_SECONDS = 48 * 3600  # how long a chat lets people change what they wrote


@dataclass(frozen=True, slots=True)
class Press:
    """Of a button; `by`: a user's id, `chat_id`: where. `key` tells a repeated delivery."""

    yes: bool
    by: str
    key: str | None = None
    chat_id: int | None = None


class Inbox:
    """Every method returns once the line is on disk. Raises StorageError: then nothing may be acknowledged."""

    def __init__(
        self,
        store: SessionStore,
        chats: ChatBook,
        runner: TurnRunner,
        commands: Commands,
        approvals: Approvals,
        people: People,
    ) -> None:
        self._store = store
        self._chats = chats
        self._runner = runner
        self._commands = commands
        self._approvals = approvals
        self._people = people
        self._unanswered: set[str] = set()

    async def message(
        self,
        chat: str,
        text: str,
        user_id: str,
        *,
        reply_to: ReplyTo | None = None,
        key: str | None = None,
        wording: str = "",
    ) -> tuple[str, int]:
        """(session, seq) of the message; seq 0 when this delivery was seen before, or was a refusal's reason."""
        session_id = await self._chats.session_of(chat)
        if await self._is_reason(session_id, text, user_id, key):
            self._runner.wake(session_id)
            return session_id, 0
        seq = await self.session_message(session_id, text, user_id, reply_to=reply_to, key=key, wording=wording)
        return session_id, seq

    async def session_message(
        self,
        session_id: str,
        text: str,
        user_id: str,
        *,
        reply_to: ReplyTo | None = None,
        key: str | None = None,
        wording: str = "",
    ) -> int:
        """Into exactly this session, whichever its chat is in. Its seq; 0 when this delivery was seen before."""
        untrusted = origin_in(text)
        if self._people.role(user_id) is not Role.OWNER:
            text, untrusted = text if untrusted else voiceless(seen(text)[0]), texts_taint.SOMEBODY_ELSE
        line = UserLine(content=text, user_id=user_id, reply_to=reply_to, key=key, wording=wording, untrusted=untrusted)
        written = await self._store.append(session_id, line)
        self._runner.wake(session_id)
        return written[0].seq if written else 0

    async def command(
        self,
        chat: str,
        name: str,
        argument: str,
        user_id: str,
        *,
        reply_to: ReplyTo | None,
        key: str | None = None,
    ) -> None:
        """Carried out before it returns, so that a message behind /nuevo lands in the new session."""
        session_id = await self._chats.session_of(chat)
        line = CommandLine(name=name, argument=argument, user_id=user_id, reply_to=reply_to, key=key)
        await self._carry_out(session_id, line)

    async def edited(self, chat: str, text: str, user_id: str, *, reply_to: ReplyTo, key: str, wording: str) -> None:
        """A message in its new words: the last one is asked again, an older one is told as edited.

        Nothing happens when the words are the same: chats send edits for link previews, reactions and the like.
        """
        session_id = await self._chats.session_of(chat)
        old, is_last = await self._written(session_id, reply_to)
        match old:
            case UserLine():
                if (old.wording or old.content) == (wording if old.wording else text):
                    return
                text = texts.corrected(text) if is_last else texts.edited_earlier(old.content, text)
            case None:
                text = texts.edited_earlier("", text)
            case CommandLine():
                pass  # no model has read it: these are the first words
        await self.session_message(session_id, text, user_id, reply_to=reply_to, key=key, wording=wording)

    async def edited_command(
        self, chat: str, name: str, argument: str, user_id: str, *, reply_to: ReplyTo, key: str
    ) -> None:
        """A message that is this command now. One that cannot be compared, or was the same, has no effect."""
        old, _ = await self._written(await self._chats.session_of(chat), reply_to)
        if isinstance(old, UserLine) or (old is not None and (old.name, old.argument) != (name, argument)):
            await self.command(chat, name, argument, user_id, reply_to=reply_to, key=key)

    async def session_command(
        self, session_id: str, name: str, argument: str, user_id: str, *, key: str | None = None
    ) -> int:
        """In exactly this session. Its seq; 0 when this delivery was seen before."""
        return await self._carry_out(session_id, CommandLine(name=name, argument=argument, user_id=user_id, key=key))

    async def decision(
        self,
        session_id: str,
        asked: int,
        decision: Wish,
        by: str,
        key: str | None = None,
        chat_id: int | None = None,
    ) -> bool:
        """False when the question is gone. After a restart the press wakes the turn that waits for it.

        `chat_id`: where a button was pressed; it must be the chat that was asked.
        """
        if decision == "always":
            return await self._decide(session_id, asked, Answer("allow", by, key, chat_id, always=True))
        return await self._decide(session_id, asked, Answer(decision, by, key, chat_id))

    async def refusal(self, session_id: str, asked: int, reason: str, by: str) -> bool:
        """With the reason for it, '' for none. False when the question is gone."""
        return await self._decide(session_id, asked, Answer("deny", by, reason=reason))

    async def ask_why(self, session_id: str, asked: int, by: str, chat_id: int | None) -> bool:
        """He will say in his next message why he refuses. False when the question is gone."""
        if not self._people.may_decide(by, session_id):
            return False
        return await self._approvals.ask_why(session_id, asked, by, chat_id)

    async def _is_reason(self, session_id: str, text: str, user_id: str, key: str | None) -> bool:
        """Of his own words alone: what others wrote (forwarded, quoted) is a message, which marks the conversation."""
        if origin_in(text) or not self._people.may_decide(user_id, session_id):
            return False
        own = text if self._people.role(user_id) is Role.OWNER else voiceless(seen(text)[0])
        return await self._approvals.explained(session_id, user_id, own, key)

    async def _decide(self, session_id: str, asked: int, answer: Answer) -> bool:
        if not self._people.may_decide(answer.by, session_id):
            return False
        if answer.always and self._people.role(answer.by) is not Role.OWNER:
            return False
        decided = await self._approvals.decide(session_id, asked, answer)
        if decided:
            self._runner.wake(session_id)
        return decided

    async def undo_pressed(self, session_id: str, seq: int, press: Press) -> bool:
        """A button below line `seq`. False when there is none, or not in that chat, or not for whoever presses."""
        if not self._people.may_decide(press.by, session_id):
            return False
        lines = await self._store.read_lines(session_id, after=max(0, seq - 1))
        line = next((line for line in lines if line.seq == seq), None)
        place = line.reply_to if isinstance(line, AssistantLine | ReplyLine) and line.undo else None
        offered = isinstance(line, AssistantLine | ReplyLine) and line.undo is not None
        if not offered or (press.chat_id is not None and (place is None or place.chat_id != press.chat_id)):
            return False
        argument = f"{seq} {'sí' if press.yes else 'no'}"
        command = CommandLine(name="deshacer", argument=argument, user_id=press.by, key=press.key, reply_to=place)
        await self._carry_out(session_id, command)
        return True

    async def moved(self, old: str, new: str) -> None:
        """A chat has another address from now on: it goes on in the same session."""
        await self._chats.moved(old, new)

    async def _written(self, session_id: str, place: ReplyTo) -> tuple[UserLine | CommandLine | None, bool]:
        """(what stands in the chat's logs of the message at `place`, whether it is the session's last message)."""
        here = await self._said(session_id)
        if found := [line for line in here if _same_message(line, place)]:
            last = next((line for line in reversed(here) if isinstance(line, UserLine)), None)
            return found[-1], found[-1] is last
        others = await self._store.touched_since(time.time() - _EDITABLE_SECONDS)
        for other in others:
            if other != session_id and chat_of(other) == chat_of(session_id):
                found += [line for line in await self._said(other) if _same_message(line, place)]
        return max(found, key=lambda line: (line.ts, line.type == "user"), default=None), False

    async def _said(self, session_id: str) -> list[UserLine | CommandLine]:
        lines = await self._store.read_lines(session_id)
        return [line for line in lines if isinstance(line, UserLine | CommandLine)]

    async def _carry_out(self, session_id: str, line: CommandLine) -> int:
        """A command whose effect the disk refused is carried out with the next one, or with its own next delivery."""
        if line.name not in GUEST_COMMANDS and self._people.role(line.user_id) is not Role.OWNER:
            line = line.model_copy(update={"name": FOR_OWNERS, "argument": line.name})
        self._unanswered.add(session_id)
        written = await self._store.append(session_id, line)
        seq = written[0].seq if written else 0
        await self._commands.run_open(session_id, just_in=seq)
        if line.name in IN_LANE:
            self._runner.wake(session_id)
        self._unanswered.discard(session_id)
        for waiting in list(self._unanswered):
            with suppress(StorageError):  # that session's own trouble: it is tried again with the next command
                await self._commands.run_open(waiting)
                self._unanswered.discard(waiting)
        return seq


def _same_message(line: UserLine | CommandLine, place: ReplyTo) -> bool:
    there = line.reply_to
    return there is not None and (there.chat_id, there.message_id) == (place.chat_id, place.message_id)
