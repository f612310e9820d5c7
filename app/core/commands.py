"""The chat commands. Each is safe to run twice: a crash between its line and its reply runs it again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from weakref import WeakValueDictionary

from loguru import logger

from app.core import texts, texts_undo
from app.core.context import AgentContext, chat_of
from app.core.contexts import Contexts
from app.core.contracts import ChatBook, Project, SessionStore, Surroundings
from app.core.errors import NanobotError
from app.core.events import CommandLine, Line, ProjectLine, ReplyLine, RetryLine, Said
from app.core.roles import Role
from app.core.turns import TurnRunner

FOR_OWNERS = "solo-dueño"  # what a guest's command becomes that is not his; nobody can type it
Status = Callable[[AgentContext], Awaitable[str]]
Wanted = Callable[[AgentContext, CommandLine], bool]
IN_LANE = frozenset({"deshacer"})
Answer = Callable[[AgentContext, CommandLine], Awaitable[str | Said]]


class Commands:
    """`run_open` answers every open command of a session."""

    def __init__(
        self, store: SessionStore, contexts: Contexts, chats: ChatBook, runner: TurnRunner, around: Surroundings,
        status: Status,
    ) -> None:  # fmt: skip
        self._store = store
        self._contexts = contexts
        self._chats = chats
        self._runner = runner
        self._around = around
        self._status = status
        self.on_forget: Callable[[str], Awaitable[None]] = _nothing
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._known: dict[str, Answer] = {
            FOR_OWNERS: self._for_owners,
            "start": self._start,
            "ayuda": self._help,
            "nuevo": self._new,
            "estado": self._show_status,
            "reintentar": self._retry,
            "para": self._stop,
            "proyecto": self._project,
            "adjunto": self._attachment,
            "olvidar": self._forget,
        }

    def add(self, name: str, answer: Answer) -> None:
        """Another command, by whoever puts the parts together."""
        self._known[name] = answer

    async def run_open(self, session_id: str, *, just_in: int = 0) -> None:
        """Each is answered once, whoever asks for it at the same time. What changes files waits for its lane.

        `just_in`: the seq of a command that came this moment: while a turn is under way, such a one is refused.
        """
        await self._run(
            session_id, lambda ctx, command: command.name not in IN_LANE or bool(ctx.turn and command.seq == just_in)
        )

    async def run_in_lane(self, session_id: str) -> None:
        """In the session's lane, where no turn is under way."""
        if any(command.name in IN_LANE for command in (await self._contexts.get(session_id)).commands.values()):
            await self._run(session_id, lambda _, command: command.name in IN_LANE, in_lane=True)

    async def _run(self, session_id: str, wanted: Wanted, *, in_lane: bool = False) -> None:
        lock = self._locks.setdefault(session_id, asyncio.Lock())
        async with lock:
            ctx = await self._contexts.get(session_id)
            for seq, command in list(ctx.commands.items()):
                if not wanted(ctx, command):
                    continue
                refused = command.name in IN_LANE and not in_lane
                said = texts_undo.WORKING if refused else await self._answer(ctx, command)
                content, undo = (said, None) if isinstance(said, str) else (said.text, said.undo)
                reply = ReplyLine(content=content, to=seq, reply_to=command.reply_to, undo=undo)
                if content != texts.FORGOTTEN:
                    await self._store.append(session_id, reply)
                elif command.reply_to:  # a chat hears of it in its new session; a page has nothing left to show
                    await self._store.append(await self._chats.session_of(chat_of(session_id)), reply)

    async def _answer(self, ctx: AgentContext, command: CommandLine) -> str | Said:
        try:
            return await self._known.get(command.name, self._unknown)(ctx, command)
        except NanobotError:
            raise
        except Exception:  # noqa: BLE001  boundary: a command that breaks must not stand before all later ones
            logger.exception("command {} of {} broke", command.name, ctx.session_id)
            return texts.COMMAND_BROKE

    async def _start(self, ctx: AgentContext, command: CommandLine) -> str:
        return texts.WELCOME if self._is_owners(ctx) else texts.GUEST_WELCOME

    async def _help(self, ctx: AgentContext, command: CommandLine) -> str:
        return texts.HELP if self._is_owners(ctx) else texts.GUEST_HELP

    async def _for_owners(self, ctx: AgentContext, command: CommandLine) -> str:
        return texts.only_owners(command.argument)

    def _is_owners(self, ctx: AgentContext) -> bool:
        return self._runner.people.role_in(ctx.session_id, ()) is Role.OWNER

    async def _attachment(self, ctx: AgentContext, command: CommandLine) -> str:
        return texts.ONLY_TEXT

    async def _unknown(self, ctx: AgentContext, command: CommandLine) -> str:
        return texts.unknown_command(command.name)

    async def _new(self, ctx: AgentContext, command: CommandLine) -> str:
        fresh = await self._chats.start_new(chat_of(ctx.session_id), cause=f"{ctx.session_id}:{command.seq}")
        if ctx.project and not (await self._contexts.get(fresh)).project:
            await self._store.append(fresh, ProjectLine(path=ctx.project))
        return texts.NEW_CONVERSATION

    async def _forget(self, ctx: AgentContext, command: CommandLine) -> str:
        if command.argument.casefold() not in {"sí", "si"}:
            return texts.FORGET_HOW
        await self._runner.stop(ctx.session_id, command.seq)
        if command.reply_to:
            await self._chats.start_new(chat_of(ctx.session_id), cause=f"{ctx.session_id}:{command.seq}")
        await self._store.forget_session(ctx.session_id)
        await self.on_forget(ctx.session_id)
        return texts.FORGOTTEN

    async def _show_status(self, ctx: AgentContext, command: CommandLine) -> str:
        return await self._status(ctx)

    async def _retry(self, ctx: AgentContext, command: CommandLine) -> str:
        if ctx.conversation.retried_by == command.seq:
            return texts.RETRYING  # this very command did it before a crash
        if not ctx.conversation.can_retry:
            return texts.NOTHING_TO_RETRY
        await self._append(ctx, RetryLine(to=command.seq))
        self._runner.wake(ctx.session_id)
        return texts.RETRYING

    async def _stop(self, ctx: AgentContext, command: CommandLine) -> str:
        return texts.STOP_DONE if await self._runner.stop(ctx.session_id, command.seq) else texts.NOTHING_TO_STOP

    async def _project(self, ctx: AgentContext, command: CommandLine) -> str:
        projects = await self._around.projects(now=True)  # he may just have had it made
        if not command.argument:
            return texts.project_list([p.name for p in projects], ctx.project)
        found = _find(projects, command.argument)
        if found is None:
            return texts.unknown_project(command.argument, [p.name for p in projects])
        await self._append(ctx, ProjectLine(path=str(found.path)))
        return texts.project_chosen(found.name, Path(found.path))

    async def _append(self, ctx: AgentContext, line: Line) -> None:
        await self._store.append(ctx.session_id, line)


def _find(projects: Sequence[Project], name: str) -> Project | None:
    """By exact name, else the only one that begins with it."""
    wanted = name.casefold()
    exact = [p for p in projects if p.name.casefold() == wanted]
    begins = [p for p in projects if p.name.casefold().startswith(wanted)]
    return exact[0] if exact else begins[0] if len(begins) == 1 else None


async def _nothing(_: str) -> None:
    pass
