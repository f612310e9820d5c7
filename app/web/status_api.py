"""GET /api/status: health for platforms, details for whoever is logged in. GET /api/sessions: the conversations."""

from __future__ import annotations

import asyncio
from dataclasses import asdict

from fastapi import APIRouter, HTTPException, Request
from pydantic_core import to_jsonable_python

from app import __version__
from app.core import texts_web
from app.core.context import check_session_id
from app.web.events_api import line_json
from app.web.parts import BY_TOKEN, PartsHere
from app.web.problems import problems

router = APIRouter(dependencies=[BY_TOKEN], responses=problems(507))


@router.get("/api/status")
async def status(request: Request, parts: PartsHere) -> dict[str, object]:
    health: dict[str, object] = {"status": "ok", "version": __version__}
    if not request.state.trusted:
        return health
    return health | to_jsonable_python(asdict(await parts.status()))


@router.get("/api/sessions")
async def sessions(parts: PartsHere) -> list[dict[str, object]]:
    return [asdict(info) for info in await parts.store.list_sessions()]


@router.get("/api/sessions/{session_id}")
async def session(session_id: str, parts: PartsHere) -> dict[str, object]:
    lines = await parts.store.read_lines(check_session_id(session_id))
    if not lines:
        raise HTTPException(404, texts_web.NO_SUCH_SESSION)
    redact = parts.redactor.redact
    shown = await asyncio.to_thread(lambda: [line_json(line, redact) for line in lines])
    return {"session_id": session_id, "lines": shown}
