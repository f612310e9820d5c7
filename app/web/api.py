"""What a browser or a program sends: messages, decisions, stop, retry. Accepted once it is on disk."""

from __future__ import annotations

import hashlib
import re
import secrets
from typing import Annotated, Literal

from fastapi import APIRouter, Header, HTTPException
from pydantic import AfterValidator, BaseModel, Field

from app.core import texts_web
from app.core.context import check_session_id
from app.core.events import CommandLine, UserLine
from app.core.inbox import Press
from app.web.gate import MOST_TEXT
from app.web.parts import BY_TOKEN, FROM_A_PAGE, PartsHere, UserHere, WebParts
from app.web.problems import problems

_FRESH = re.compile(r"web_[0-9a-f]{12}")
_COMMAND = re.compile(r"/(?P<name>\w+)(?:\s+(?P<argument>.*))?", re.DOTALL)

router = APIRouter(prefix="/api/v1", dependencies=[BY_TOKEN], responses=problems(507))


def _whole(text: str) -> str:
    """JSON can hold half of a surrogate pair; no file can."""
    text.encode()  # UnicodeEncodeError is a ValueError
    return text


Text = Annotated[str, AfterValidator(_whole)]
IdempotencyKey = Annotated[Text, Field(max_length=200)]


class ChatMessage(BaseModel):
    """`session_id`: an existing session of any channel, or a new web_… one; without it a new one begins."""

    text: Text
    session_id: Text | None = None
    idempotency_key: IdempotencyKey | None = None


class Accepted(BaseModel):
    """`id`: the line's seq in its session; GET /api/v1/events?session_id=…&cursor=<id> brings the answer.

    After /nuevo, and when the session was forgotten, `session_id` is another one, and its `id` is 0.
    """

    session_id: str
    id: int


class DecisionBody(BaseModel):
    """`reason`: why not; the model is told."""

    decision: Literal["allow", "always", "deny"]
    reason: Annotated[Text, Field(max_length=2_000)] = ""


class Outcome(BaseModel):
    done: bool


@router.post("/chat", status_code=202)
async def chat(
    message: ChatMessage,
    parts: PartsHere,
    user: UserHere,
    idempotency_key: Annotated[IdempotencyKey | None, Header()] = None,
) -> Accepted:
    text = message.text.strip()
    if not text:
        raise HTTPException(422, texts_web.EMPTY_MESSAGE)
    if len(text) > MOST_TEXT:
        raise HTTPException(413, texts_web.too_long(MOST_TEXT))
    given = idempotency_key or message.idempotency_key
    key = f"web:{given}" if given else None
    session_id = await _usable(parts, message.session_id or _new_session(key))
    if command := _COMMAND.fullmatch(text):
        name, argument = command["name"].lower(), (command["argument"] or "").strip()
        if name == "nuevo":  # a conversation of the web has no chat whose pointer could move
            return Accepted(session_id=_new_session(key), id=0)
        seq = await parts.inbox.session_command(session_id, name, argument, user, key=key)
        if (await parts.store.load_session(session_id)).seq == 0:  # forgotten
            return Accepted(session_id=_new_session(None), id=0)
    else:
        seq = await parts.inbox.session_message(session_id, text, user, key=key)
    return Accepted(session_id=session_id, id=seq or await _first_delivery(parts, session_id, key))


@router.post("/approvals/{session_id}/{asked}", dependencies=[FROM_A_PAGE], responses=problems(409))
async def decide(session_id: str, asked: int, body: DecisionBody, parts: PartsHere, user: UserHere) -> Outcome:
    """For the dashboard's own pages: no token of the API decides.

    409 when the question is no longer open: answered elsewhere, expired, or passed over by a newer message.
    """
    check_session_id(session_id)
    if body.decision == "deny":
        decided = await parts.inbox.refusal(session_id, asked, body.reason.strip(), user)
    else:
        decided = await parts.inbox.decision(session_id, asked, body.decision, user)
    if not decided:
        raise HTTPException(409, texts_web.QUESTION_IS_GONE)
    return Outcome(done=True)


class UndoBody(BaseModel):
    """`line`: the seq of the line whose button this is. `answer` no: leave everything as it is."""

    line: int = Field(ge=1)
    answer: Literal["yes", "no"]


@router.post("/sessions/{session_id}/undo", status_code=202, responses=problems(409))
async def undo(session_id: str, body: UndoBody, parts: PartsHere, user: UserHere) -> Outcome:
    """The answer comes as a line. 409 when that line offers nothing to undo."""
    press = Press(body.answer == "yes", user)
    if not await parts.inbox.undo_pressed(check_session_id(session_id), body.line, press):
        raise HTTPException(409, texts_web.QUESTION_IS_GONE)
    return Outcome(done=True)


@router.post("/sessions/{session_id}/stop", status_code=202)
async def stop(session_id: str, parts: PartsHere, user: UserHere) -> Accepted:
    return await _command(parts, session_id, "para", user)


@router.post("/sessions/{session_id}/retry", status_code=202)
async def retry(session_id: str, parts: PartsHere, user: UserHere) -> Accepted:
    return await _command(parts, session_id, "reintentar", user)


async def _command(parts: WebParts, session_id: str, name: str, user: str) -> Accepted:
    seq = await parts.inbox.session_command(await _usable(parts, session_id), name, "", user)
    return Accepted(session_id=session_id, id=seq)


async def _usable(parts: WebParts, session_id: str) -> str:
    """A session that exists, or a fresh one of the web. Otherwise a mistyped id would begin a conversation."""
    if not _FRESH.fullmatch(session_id) and (await parts.store.load_session(session_id)).seq == 0:
        raise HTTPException(404, texts_web.NO_SUCH_SESSION)
    return session_id


def _new_session(key: str | None) -> str:
    """A repeated first message must find the session that its first delivery began: the key names it."""
    digits = hashlib.sha256(key.encode()).hexdigest()[:12] if key else secrets.token_hex(6)
    return f"web_{digits}"


async def _first_delivery(parts: WebParts, session_id: str, key: str | None) -> int:
    lines = await parts.store.read_lines(session_id)
    keyed = [line.seq for line in lines if isinstance(line, UserLine | CommandLine) and line.key == key]
    return keyed[0] if keyed else 0
