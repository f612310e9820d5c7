"""The chat commands. Each is safe to run twice: a crash between its line and its reply runs it again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from weakref import WeakValueDictionary

from loguru import logger

from app.core import texts
from app.core.context import AgentContext, chat_of
from app.core.contexts import Contexts
from app.core.contracts import ChatBook, Project, SessionStore, Surroundings
from app.core.errors import NanobotError
from app.core.events import CommandLine, Line, ProjectLine, ReplyLine, RetryLine
from app.core.turns import TurnRunner

Status = Callable[[AgentContext], Awaitable[str]]


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
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._known: dict[str, Callable[[AgentContext, CommandLine], Awaitable[str]]] = {
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

    async def run_open(self, session_id: str) -> None:
        """Each is answered once, whoever asks for it at the same time."""
        lock = self._locks.setdefault(session_id, asyncio.Lock())
        async with lock:
            ctx = await self._contexts.get(session_id)
            for seq, command in list(ctx.commands.items()):
                content = await self._answer(ctx, command)
                reply = ReplyLine(content=content, to=seq, reply_to=command.reply_to)
                if content != texts.FORGOTTEN:
                    await self._store.append(session_id, reply)
                elif command.reply_to:  # a chat hears of it in its new session; a page has nothing left to show
                    await self._store.append(await self._chats.session_of(chat_of(session_id)), reply)

    async def _answer(self, ctx: AgentContext, command: CommandLine) -> str:
        try:
            return await self._known.get(command.name, self._unknown)(ctx, command)
        except NanobotError:
            raise
        except Exception:  # noqa: BLE001  boundary: a command that breaks must not stand before all later ones
            logger.exception("command {} of {} broke", command.name, ctx.session_id)
            return texts.COMMAND_BROKE

    async def _start(self, ctx: AgentContext, command: CommandLine) -> str:
        return texts.WELCOME

    async def _help(self, ctx: AgentContext, command: CommandLine) -> str:
        return texts.HELP

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
        projects = await self._around.projects()
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
