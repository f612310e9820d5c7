"""Inbox: whatever comes in, from any channel, becomes a durable line first; then its lane wakes."""

from __future__ import annotations

from app.core.approvals import Approvals, Decision
from app.core.commands import Commands
from app.core.contracts import ChatBook, SessionStore
from app.core.events import CommandLine, ReplyTo, UserLine
from app.core.turns import TurnRunner


class Inbox:
    """Every method returns once the line is on disk. Raises StorageError: then nothing may be acknowledged."""

    def __init__(
        self,
        store: SessionStore,
        chats: ChatBook,
        runner: TurnRunner,
        commands: Commands,
        approvals: Approvals,
    ) -> None:
        self._store = store
        self._chats = chats
        self._runner = runner
        self._commands = commands
        self._approvals = approvals
        self._unanswered: set[str] = set()

    async def message(
        self, chat: str, text: str, user_id: str, *, reply_to: ReplyTo | None = None, key: str | None = None
    ) -> tuple[str, int]:
        """(session, seq) of the message; seq 0 when this delivery was seen before."""
        session_id = await self._chats.session_of(chat)
        return session_id, await self.session_message(session_id, text, user_id, reply_to=reply_to, key=key)

    async def session_message(
        self, session_id: str, text: str, user_id: str, *, reply_to: ReplyTo | None = None, key: str | None = None
    ) -> int:
        """Into exactly this session, whichever its chat is in. Its seq; 0 when this delivery was seen before."""
        line = UserLine(content=text, user_id=user_id, reply_to=reply_to, key=key)
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

    async def session_command(
        self, session_id: str, name: str, argument: str, user_id: str, *, key: str | None = None
    ) -> int:
        """In exactly this session. Its seq; 0 when this delivery was seen before."""
        return await self._carry_out(session_id, CommandLine(name=name, argument=argument, user_id=user_id, key=key))

    async def decision(
        self,
        session_id: str,
        asked: int,
        decision: Decision,
        by: str,
        key: str | None = None,
        chat_id: int | None = None,
    ) -> bool:
        """False when the question is gone. After a restart the press wakes the turn that waits for it.

        `chat_id`: where a button was pressed; it must be the chat that was asked.
        """
        decided = await self._approvals.decide(session_id, asked, decision, by, key, chat_id)
        if decided:
            self._runner.wake(session_id)
        return decided

    async def moved(self, old: str, new: str) -> None:
        """A chat has another address from now on: it goes on in the same session."""
        await self._chats.moved(old, new)

    async def _carry_out(self, session_id: str, line: CommandLine) -> int:
        """A command whose effect the disk refused is carried out with the next one, or with its own next delivery."""
        self._unanswered.add(session_id)
        written = await self._store.append(session_id, line)
        for waiting in list(self._unanswered):
            await self._commands.run_open(waiting)
            self._unanswered.discard(waiting)
        return written[0].seq if written else 0
