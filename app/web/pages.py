"""The pages: chat, conversations, transcript, state. Chat and transcript are drawn in the browser, from lines."""

from __future__ import annotations

import secrets
import time
from zoneinfo import ZoneInfo

from fastapi import APIRouter, HTTPException, Request
from starlette.responses import Response

from app.core import texts_web
from app.core.context import check_session_id
from app.web.gate import MOST_TEXT
from app.web.parts import PartsHere, WebParts
from app.web.rendering import page
from app.web.telegram_hook import rival_of

router = APIRouter(include_in_schema=False)


@router.get("/")
async def chat(request: Request, parts: PartsHere, sesion: str = "") -> Response:
    """`sesion`: the conversation to go on with; without it a new one begins with the first message."""
    report = await parts.status()
    return page(
        request,
        "chat.html",
        session_id=check_session_id(sesion or f"web_{secrets.token_hex(6)}"),
        browser_texts=texts_web.BROWSER,
        report=report,
        most_text=MOST_TEXT,
    )


@router.get("/sesiones")
async def sessions(request: Request, parts: PartsHere) -> Response:
    found = await parts.store.list_sessions()
    return page(request, "sessions.html", sessions=found, zone=_zone(parts))


@router.get("/sesiones/{session_id}")
async def transcript(request: Request, session_id: str, parts: PartsHere) -> Response:
    if (await parts.store.load_session(session_id)).seq == 0:
        raise HTTPException(404, texts_web.NO_SUCH_SESSION)
    return page(request, "transcript.html", session_id=session_id, browser_texts=texts_web.BROWSER)


@router.get("/estado")
async def state(request: Request, parts: PartsHere) -> Response:
    return page(request, "status.html", report=await parts.status(), now=time.time(), rival=rival_of(request))


def _zone(parts: WebParts) -> ZoneInfo:
    return ZoneInfo(parts.settings.timezone)
