"""/permisos: what is permitted for good, and taking it back."""

from __future__ import annotations

from typing import Annotated
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Form, Request
from starlette.responses import RedirectResponse, Response

from app.web.csrf import CheckedForm
from app.web.parts import PartsHere
from app.web.rendering import page

ADDRESS = "/permisos"

router = APIRouter(include_in_schema=False)


@router.get(ADDRESS)
async def show(request: Request, parts: PartsHere) -> Response:
    known = await parts.permissions.all()
    return page(request, "permissions.html", permissions=known, zone=ZoneInfo(parts.settings.timezone))


@router.post(f"{ADDRESS}/quitar", dependencies=[CheckedForm])
async def revoke(parts: PartsHere, number: Annotated[int, Form()]) -> Response:
    """One that is gone already is gone."""
    await parts.permissions.revoke(number)
    return RedirectResponse(ADDRESS, 303)
