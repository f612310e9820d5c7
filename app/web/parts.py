"""What the web room stands on; app/main.py puts it into `app.state` before the first request."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Depends, Request, Security
from fastapi.security import HTTPBearer
from starlette.requests import HTTPConnection

from app.config import Settings
from app.core.contracts import Redactor, SessionStore
from app.core.inbox import Inbox
from app.core.live import LiveHub
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


PartsHere = Annotated[WebParts, Depends(_parts)]
# For the API's description alone: the gate has judged the token before any route is looked for.
BY_TOKEN = Security(HTTPBearer(auto_error=False, description="Un token de Ajustes → Accesos."))
AccessHere = Annotated[Access, Depends(_access)]
UserHere = Annotated[str, Depends(_user)]
