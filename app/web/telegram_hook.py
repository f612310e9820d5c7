"""What Telegram and the owner reach of the bot over HTTP: the webhook, and the decision to take the bot over.

The webhook stands before the gate: Telegram has no login and sends no Origin. It opens nothing else: a request that
does not show both secrets goes on to the gate, like every other request for an address that there is not.
"""

from __future__ import annotations

from typing import Annotated, Protocol, cast

from fastapi import APIRouter, Depends, FastAPI, Form, HTTPException, Request
from pydantic import BaseModel
from starlette.datastructures import Headers
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from app.core import texts
from app.web.csrf import CheckedForm
from app.web.gate import MOST_BODY_BYTES
from app.web.parts import BY_TOKEN
from app.web.problems import problems

MOST_UPDATE_BYTES = 1024 * 1024
_SECRET = "x-telegram-bot-api-secret-token"  # noqa: S105


class Telegram(Protocol):
    """app/main.py puts it into `app.state.telegram`."""

    def knows(self, path: str, secret: str) -> bool: ...

    async def deliver(self, body: bytes) -> int: ...

    @property
    def rival(self) -> str: ...

    async def decide(self, *, take: bool) -> bool: ...


def install_telegram(app: FastAPI) -> None:
    """After the gate was added, so that the webhook stands before it."""
    app.include_router(router)
    app.include_router(forms)
    app.add_middleware(TelegramHook)


class TelegramHook:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        telegram = _meant(scope)
        if telegram is None:
            await self._app(scope, receive, send)
            return
        body = await _body(receive)
        status = 413 if body is None else await telegram.deliver(body)
        await Response(status_code=status)(scope, receive, send)


def _meant(scope: Scope) -> Telegram | None:
    if scope["type"] != "http" or scope["method"] != "POST":
        return None
    telegram = cast("Telegram | None", getattr(scope["app"].state, "telegram", None))
    secret = Headers(scope=scope).get(_SECRET, "")
    return telegram if telegram is not None and telegram.knows(scope["path"], secret) else None


async def _body(receive: Receive) -> bytes | None:
    """None as soon as it is too long. One that is cut is no JSON."""
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > MOST_UPDATE_BYTES:
            return None
        if not message.get("more_body", False):
            return bytes(body)


# ---------------------------------------------------------------- the owner's decision

router = APIRouter(
    prefix="/api/v1/telegram", max_body_size=MOST_BODY_BYTES, dependencies=[BY_TOKEN], responses=problems(409, 507)
)
forms = APIRouter(include_in_schema=False, max_body_size=MOST_BODY_BYTES)


def _telegram(request: Request) -> Telegram:
    return cast("Telegram", request.app.state.telegram)


def rival_of(request: Request) -> str:
    """For the status page; '' when nobody else uses the bot, or there is none."""
    telegram = cast("Telegram | None", getattr(request.app.state, "telegram", None))
    return telegram.rival if telegram else ""


TelegramHere = Annotated[Telegram, Depends(_telegram)]


class Rival(BaseModel):
    """`rival`: who else uses the bot now; '' when nobody."""

    rival: str


class Wish(BaseModel):
    """`take`: use the bot here (true) or leave it to the other (false)."""

    take: bool = True


@router.get("/takeover")
async def rival(telegram: TelegramHere) -> Rival:
    return Rival(rival=telegram.rival)


@router.post("/takeover")
async def take_over(wish: Wish, telegram: TelegramHere) -> Rival:
    """409 when nobody else uses the bot (any more)."""
    if not await telegram.decide(take=wish.take):
        raise HTTPException(409, texts.NOBODY_TO_TAKE_FROM)
    return Rival(rival=telegram.rival)


@forms.post("/estado/telegram", dependencies=[CheckedForm])
async def decide(telegram: TelegramHere, usar: Annotated[str, Form()] = "no") -> Response:
    """The same decision by a button of the status page."""
    await telegram.decide(take=usar == "si")
    return RedirectResponse("/estado", 303)
