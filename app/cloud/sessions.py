"""SessionManager: the session logs in DATA_DIR/sessions/*.jsonl, the single truth about every conversation."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from app.cloud.chats import ChatFile
from app.cloud.committer import Job
from app.cloud.journal import Journal, read_all
from app.cloud.shelf import Shelf
from app.cloud.storage import Storage
from app.config import load_settings
from app.core.context import AgentContext, chat_of, check_session_id, fold
from app.core.contracts import EventSink, LiveEvent, SessionInfo
from app.core.errors import StorageError
from app.core.events import AssistantLine, Line
from app.core.redacted import Redact, redacted

_TITLE = 80  # characters


class SessionManager:
    """Several may exist in one process: they share the process lock, the writer and the open journals."""

    def __init__(
        self,
        data_dir: Path | None = None,
        *,
        sink: EventSink | None = None,
        retention_days: int | None = None,
        clock: Callable[[], float] = time.time,
        redact: Redact = str,
    ) -> None:
        if data_dir is None:
            settings = load_settings()
            data_dir, retention_days = settings.data_dir, settings.session_retention_days
        self._storage = Storage.shared(data_dir / "sessions", clock)
        self._shelf = Shelf(self._storage)
        self._sink = sink
        self._redact = redact
        self._retention_days = retention_days
        self._unsure: dict[str, int] = {}  # session → last line before a write whose outcome is not known
        self._commits: set[asyncio.Task[Sequence[Line]]] = set()  # named by their session
        self.chats = ChatFile(data_dir / "chats.json")

    async def open(self) -> None:
        """Takes the data folder for this process, waiting up to 40 s for a predecessor. Raises StorageError."""
        await asyncio.to_thread(self._storage.open)

    @property
    def left_cleanly(self) -> bool:
        """Whether the process that had the folder before went by itself."""
        return self._storage.left_cleanly

    async def close(self) -> None:
        await asyncio.to_thread(self._storage.close)

    async def load_session(self, session_id: str) -> AgentContext:
        """A new context when there is no such session."""
        check_session_id(session_id)
        return await asyncio.to_thread(self._fold, session_id)

    async def save_session(self, ctx: AgentContext) -> None:
        """Appends what ctx has beyond the log; does nothing after process_message().

        Raises SessionConflict when ctx holds an answer to a conversation that has moved on meanwhile.
        """
        lines = ctx.unsaved_lines((await self._journal(ctx.session_id)).seq)
        if not lines:
            return
        answers = any(isinstance(line, AssistantLine) for line in lines)
        await self._append(ctx.session_id, lines, expected=ctx.seq if answers else None)
        ctx.saved(len(lines))
        await self.refresh(ctx)

    async def append(self, session_id: str, *lines: Line) -> Sequence[Line]:
        """On disk when it returns. A line whose delivery key the chat has seen is left out.

        Without lines: returns when everything appended before is on disk.
        """
        return await self._append(session_id, lines)

    async def refresh(self, ctx: AgentContext) -> None:
        """Applies what others appended since ctx.seq."""
        journal = await self._journal(ctx.session_id)
        if journal.seq < ctx.seq:
            ctx.restart()  # the log was removed since
        if ctx.session_id in self._unsure:  # what reached the disk after all has been told to nobody
            landed = await self.read_lines(ctx.session_id, self._unsure[ctx.session_id])
            if self._unsure.pop(ctx.session_id, None) is not None:
                self._publish(ctx.session_id, landed)
        ctx.apply(*await self.read_lines(ctx.session_id, ctx.seq))

    async def read_lines(self, session_id: str, after: int = 0) -> Sequence[Line]:
        """The whole log after `after`, as for a transcript."""
        check_session_id(session_id)
        journal = await self._journal(session_id)
        first = journal.lines[0].seq if journal.lines else 1
        if after + 1 >= first:
            return journal.newer(after)
        lines = await asyncio.to_thread(read_all, self._storage.path(session_id))
        return [line for line in lines if line.seq > after]

    async def list_sessions(self) -> Sequence[SessionInfo]:
        """Newest first."""
        infos = await asyncio.to_thread(self._shelf.list)
        return [replace(info, title=self._redact(info.title)[:_TITLE]) for info in infos]

    async def busy_sessions(self) -> Sequence[str]:
        """Those in which something is open."""
        return await asyncio.to_thread(self._shelf.busy)

    async def touched_since(self, since: float) -> Sequence[str]:
        """Sessions with lines written after `since` (UNIX time)."""
        return await asyncio.to_thread(self._shelf.touched_since, since)

    async def cleanup_old_sessions(self, days: int | None = None) -> int:
        """Archives sessions without open work that nobody touched for `days`; 0 days or None keeps all."""
        days = days or self._retention_days
        return await asyncio.to_thread(self._shelf.put_away, days) if days else 0

    async def forget_session(self, session_id: str) -> None:
        """Removes a conversation, with its archives."""
        await asyncio.to_thread(self._shelf.forget, check_session_id(session_id))

    async def _append(self, session_id: str, lines: Sequence[Line], expected: int | None = None) -> Sequence[Line]:
        """Whoever is cancelled meanwhile: what reaches the disk is published."""
        if not lines:
            under_way = [commit for commit in self._commits if commit.get_name() == session_id]
            await asyncio.gather(*under_way, return_exceptions=True)
            return []
        clean = [redacted(line, self._redact) for line in lines]
        commit = asyncio.create_task(self._commit(session_id, clean, expected), name=session_id)
        self._commits.add(commit)
        commit.add_done_callback(self._commits.discard)
        return await asyncio.shield(commit)

    async def _commit(self, session_id: str, lines: Sequence[Line], expected: int | None) -> Sequence[Line]:
        storage, chat = self._storage, chat_of(check_session_id(session_id))
        journal = await self._journal(session_id)
        keys = storage.known_keys(chat)
        if keys is None:
            keys = await asyncio.to_thread(storage.keys, chat)
        last = journal.last
        admission = storage.admission(keys)
        job = Job(journal, lines, keep=admission.keep, refused=admission.refused, expected=expected)
        try:
            written = await asyncio.wrap_future(storage.committer.submit(job))
        except StorageError:
            self._unsure.setdefault(session_id, last)
            raise
        self._publish(session_id, written)
        return written

    def _publish(self, session_id: str, lines: Sequence[Line]) -> None:
        for line in lines:
            if self._sink:
                self._sink.publish(session_id, LiveEvent("line", line=line))

    async def _journal(self, session_id: str) -> Journal:
        return self._storage.ready(session_id) or await asyncio.to_thread(self._storage.journal, session_id)

    def _fold(self, session_id: str) -> AgentContext:
        return fold(session_id, list(self._storage.journal(session_id).lines))
