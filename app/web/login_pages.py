"""Logging in and out, and the set-up page that chooses the first password."""

from __future__ import annotations

import asyncio
import re
from typing import Annotated

from fastapi import APIRouter, Form, Request
from starlette.responses import RedirectResponse, Response

from app.core import texts_web
from app.web import csrf
from app.web.csrf import CheckedForm
from app.web.gate import LOGIN, SETUP
from app.web.parts import AccessHere, PartsHere
from app.web.passwords import LONGEST, SHORTEST, unfit
from app.web.rendering import page

FAILURE_SECONDS = 0.5
_OWN_PAGE = re.compile(r"/(?:[\w-][\w/-]*)?(?:\?sesion=[\w-]+)?", re.ASCII)

router = APIRouter(include_in_schema=False)


@router.get(LOGIN)
async def login_form(request: Request, access: AccessHere, a: str = "") -> Response:
    """`a`: the page to go to afterwards."""
    if access.mode == "setup":
        return RedirectResponse(SETUP, 303)
    if request.state.trusted:
        return RedirectResponse(_after(a), 303)
    return page(request, "login.html", after=a, error="")


@router.post(LOGIN, dependencies=[CheckedForm])
async def login(
    request: Request,
    parts: PartsHere,
    access: AccessHere,
    password: Annotated[str, Form()] = "",
    a: Annotated[str, Form()] = "",
) -> Response:
    guesser, stranger = access.guesser(request)
    if wait := access.attempts.wait(guesser, stranger=stranger):
        return too_many(page(request, "login.html", 429, after=a, error=texts_web.too_many_attempts(wait)), wait)
    if not await access.check_password(password):
        await asyncio.sleep(FAILURE_SECONDS)
        return page(request, "login.html", 403, after=a, error=texts_web.WRONG_PASSWORD)
    access.attempts.forgive(guesser)
    parts.redactor.add([password])  # only its hash is stored
    response = RedirectResponse(_after(a), 303)
    await access.log_in(request, response)
    csrf.renew(request, response, secure=access.hosts.is_https(request))
    return response


@router.post("/logout", dependencies=[CheckedForm])
async def logout(request: Request, access: AccessHere, everywhere: Annotated[bool, Form()] = False) -> Response:
    """`everywhere`: every other browser too."""
    response = RedirectResponse(LOGIN, 303)
    await access.log_out(request, response, everywhere=everywhere)
    return response


@router.get(SETUP)
async def setup_form(request: Request, access: AccessHere) -> Response:
    if access.mode != "setup":
        return RedirectResponse("/", 303)
    return page(request, "setup.html", error="", shortest=SHORTEST, longest=LONGEST)


@router.post(SETUP, dependencies=[CheckedForm])
async def setup(
    request: Request,
    parts: PartsHere,
    access: AccessHere,
    code: Annotated[str, Form()] = "",
    password: Annotated[str, Form()] = "",
    again: Annotated[str, Form()] = "",
) -> Response:
    """The code is looked at last: a password that will not do costs no try. The right code always opens."""

    def refuse(status: int, error: str) -> Response:
        return page(request, "setup.html", status, error=error, shortest=SHORTEST, longest=LONGEST)

    if access.code is None:
        return RedirectResponse(LOGIN, 303)
    if problem := unfit(password, again):
        return refuse(422, problem)
    if not access.code.matches(code):
        guesser, _ = access.guesser(request)
        if wait := access.attempts.wait(guesser, stranger=False):
            return too_many(refuse(429, texts_web.too_many_attempts(wait)), wait)
        access.code.missed(guesser)
        await asyncio.sleep(FAILURE_SECONDS)
        return refuse(403, texts_web.WRONG_CODE)
    response = RedirectResponse("/", 303)
    if await access.choose_password(password):
        parts.redactor.add([password])
        await access.log_in(request, response)
    return response


def _after(wanted: str) -> str:
    """Only a page of ours: never another host."""
    return wanted if _OWN_PAGE.fullmatch(wanted) else "/"


def too_many(response: Response, wait: float) -> Response:
    response.headers["Retry-After"] = str(int(wait) + 1)
    return response
