"""/configuracion/accesos: the API's tokens. One is shown once, when it is made."""

from __future__ import annotations

from typing import Annotated, cast, get_args
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Form, Request
from starlette.responses import RedirectResponse, Response

from app.core import texts_web
from app.web.csrf import CheckedForm
from app.web.parts import AccessHere, PartsHere
from app.web.rendering import page
from app.web.tokens import LONGEST_NAME, Scope, UnfitToken

ADDRESS = "/configuracion/accesos"

router = APIRouter(include_in_schema=False)


@router.get(ADDRESS)
async def show(request: Request, parts: PartsHere, access: AccessHere) -> Response:
    return _page(request, parts, access)


@router.post(ADDRESS, dependencies=[CheckedForm])
async def create(
    request: Request,
    parts: PartsHere,
    access: AccessHere,
    name: Annotated[str, Form()] = "",
    scope: Annotated[str, Form()] = "",
) -> Response:
    """Answers with the token itself: an address to be sent to would have to carry it."""
    if scope not in get_args(Scope):
        return _page(request, parts, access, 422, error=texts_web.TOKEN_SCOPE, name=name)
    try:
        token = await access.tokens.create(name, cast("Scope", scope))
    except UnfitToken as error:
        return _page(request, parts, access, 422, error=str(error), name=name)
    parts.redactor.add([token])
    return _page(request, parts, access, token=token)


@router.post(f"{ADDRESS}/revocar", dependencies=[CheckedForm])
async def revoke(access: AccessHere, token: Annotated[str, Form()] = "") -> Response:
    """`token`: its id. One that is gone already is gone."""
    await access.tokens.revoke(token)
    return RedirectResponse(ADDRESS, 303)


def _page(request: Request, parts: PartsHere, access: AccessHere, status: int = 200, **shown: str) -> Response:
    always = {"tokens": access.tokens.all, "zone": ZoneInfo(parts.settings.timezone), "longest": LONGEST_NAME}
    return page(request, "tokens.html", status, **({"token": "", "error": "", "name": ""} | shown | always))
