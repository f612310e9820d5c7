"""Forms carry a token that only our own pages can read: it must equal the cookie's. The origin check comes first."""

from __future__ import annotations

import hmac
import re
import secrets
from typing import Annotated

from fastapi import Depends, Form, HTTPException, Request
from starlette.requests import HTTPConnection
from starlette.responses import Response

from app.core import texts_web

_COOKIE = "nanobot_csrf"


def token(request: HTTPConnection) -> str:
    """The browser's own token, or a new one."""
    known = request.cookies.get(_COOKIE, "")
    return known if re.fullmatch(r"[\w-]{32}", known, re.ASCII) else secrets.token_urlsafe(24)


def remember(request: HTTPConnection, response: Response, value: str, *, secure: bool) -> None:
    if request.cookies.get(_COOKIE) != value:
        response.set_cookie(_COOKIE, value, httponly=True, samesite="strict", secure=secure)


def renew(request: HTTPConnection, response: Response, *, secure: bool) -> None:
    """At login: a token that somebody may have planted before is worth nothing afterwards."""
    remember(request, response, secrets.token_urlsafe(24), secure=secure)


def _check(request: Request, csrf: Annotated[str, Form()] = "") -> None:
    known = request.cookies.get(_COOKIE, "")
    if not known or not hmac.compare_digest(csrf.encode(), known.encode()):
        raise HTTPException(403, texts_web.FORM_EXPIRED)


CheckedForm = Depends(_check)
