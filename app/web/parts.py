"""What the web room stands on; app/main.py puts it into `app.state` before the first request."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Depends, Header, HTTPException, Request, Security
from fastapi.security import HTTPBearer
from starlette.requests import HTTPConnection

from app.config import Settings
from app.core import texts_web
from app.core.contracts import Redactor, SessionStore
from app.core.inbox import Inbox
from app.core.live import LiveHub
from app.core.permissions import Permissions
from app.core.status import StatusReport
from app.web.access import Access
from app.web.livestate import LiveState


@dataclass(frozen=True)
class WebParts:
    settings: Settings
    store: SessionStore
    hub: LiveHub
    inbox: Inbox
    status: Callable[[], Awaitable[StatusReport]]
    redactor: Redactor
    permissions: Permissions


@dataclass(frozen=True)
class WebState:
    """What the room itself keeps while the server runs."""

    access: Access
    live: LiveState


def web_parts(request: HTTPConnection) -> WebParts:
    return cast("WebParts", request.app.state.parts)


def web_state(request: HTTPConnection) -> WebState:
    return cast("WebState", request.app.state.web)


def _parts(request: Request) -> WebParts:
    return web_parts(request)


def _access(request: Request) -> Access:
    return web_state(request).access


def _user(request: Request) -> str:
    """Who it is in the logs and for the limits: the browser, or the token of a program."""
    return cast("str", request.state.caller.user)


def _from_a_page(request: Request, x_nanobot_page: Annotated[str, Header(max_length=100)] = "") -> None:
    """What a person decides comes from a page of ours. Checked here, because the caller alone could be a program."""
    if not web_state(request).access.is_a_page(request.state.caller, x_nanobot_page):
        raise HTTPException(403, texts_web.ONLY_FROM_A_PAGE)


PartsHere = Annotated[WebParts, Depends(_parts)]
# For the API's description alone: the gate has judged the token before any route is looked for.
BY_TOKEN = Security(HTTPBearer(auto_error=False, description="Un token de Ajustes → Accesos."))
FROM_A_PAGE = Depends(_from_a_page)
AccessHere = Annotated[Access, Depends(_access)]
UserHere = Annotated[str, Depends(_user)]
