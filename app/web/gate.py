"""The one door: every request passes here before any route. What is not allowed by name is refused."""

from __future__ import annotations

import asyncio
from urllib.parse import quote

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.core import texts_web
from app.web.access import SESSION_COOKIE, Access, Caller
from app.web.headers import HEADERS
from app.web.hosts import SAFE_METHODS, is_proxied
from app.web.parts import web_state
from app.web.problems import problem

HEALTH = "/api/status"  # asked for by platforms under names of their own: it tells strangers nothing
LOGIN = "/login"
SETUP = "/puesta-en-marcha"
_OPEN_TO_ALL = (LOGIN, SETUP)
MOST_TEXT = 30_000  # characters of one message
BODY_SECONDS = 30.0  # for a whole body, however it drips
MOST_BODY_BYTES = MOST_TEXT * 6 + 4_096  # JSON may write each UTF-16 unit as \\uXXXX


class Gate:
    """ASGI middleware. Sets `request.state.caller`, None for strangers, and `trusted` for the pages they may reach."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return  # no WebSockets here: uvicorn answers 403 to a handshake that nobody accepts
        request = HTTPConnection(scope)
        access = web_state(request).access
        caller = access.caller(request) if access.is_reachable(request) else None
        request.state.caller, request.state.trusted = caller, caller is not None
        refusal = _refusal(access, request, caller)
        if refusal is None:
            receive, refusal = await _with_body(request, receive)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(HEADERS)
                headers.setdefault("Cache-Control", "no-cache" if _is_static(request) else "no-store")
            await send(message)

        await (refusal or self._app)(scope, receive, send_with_headers)


def _refusal(access: Access, request: HTTPConnection, caller: Caller | None) -> Response | None:
    """Decided by the path that the routes see: `request.url` is put together with the Host that the asker wrote."""
    path = request.scope["path"]
    if path == HEALTH:
        return None
    if not access.is_reachable(request):
        return problem(request, 403, _why_unreachable(access, request))
    if _must_be_ours(request) and not _is_ours(access, request):
        return problem(request, 403, texts_web.FOREIGN_PAGE)
    if caller is not None and not caller.may_write and request.scope["method"] not in SAFE_METHODS:
        return problem(request, 403, texts_web.READ_ONLY_TOKEN)
    if caller is not None or path in _OPEN_TO_ALL or _is_static(request):
        return None
    if path.startswith("/api/"):
        refused = problem(request, 401, texts_web.LOG_IN_FIRST)
        refused.headers["WWW-Authenticate"] = "Bearer"
        return refused
    if access.mode == "setup":
        return RedirectResponse(SETUP, 303)
    return RedirectResponse(f"{LOGIN}?a={quote(_wanted(request))}", 303)


async def _with_body(request: HTTPConnection, receive: Receive) -> tuple[Receive, Response | None]:
    """What is left to receive once the whole body is here. One that is too long or too slow goes no further."""
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while True:
                if int(request.headers.get("content-length", 0)) > MOST_BODY_BYTES or len(body) > MOST_BODY_BYTES:
                    return receive, _hang_up(problem(request, 413, texts_web.too_long(MOST_TEXT)))
                message = await receive()
                body += message.get("body", b"")
                if not message.get("more_body", False):
                    break
    except TimeoutError:
        return receive, _hang_up(problem(request, 408, texts_web.TOO_SLOW))
    whole: list[Message] = [{**message, "body": bytes(body)}]

    async def receive_again() -> Message:
        return whole.pop() if whole else await receive()

    return receive_again, None


def _hang_up(response: Response) -> Response:
    """The rest of the body is not waited for."""
    response.headers["Connection"] = "close"
    return response


def _wanted(request: HTTPConnection) -> str:
    query = request.scope["query_string"].decode("latin-1")
    return f"{request.scope['path']}?{query}" if query else request.scope["path"]


def _why_unreachable(access: Access, request: HTTPConnection) -> str:
    if access.mode != "local":
        return texts_web.UNKNOWN_HOST
    return texts_web.BEHIND_A_PROXY if is_proxied(request) else texts_web.ONLY_LOCAL


def _must_be_ours(request: HTTPConnection) -> bool:
    return request.scope["method"] not in SAFE_METHODS or request.scope["path"].startswith("/api/")


def _is_ours(access: Access, request: HTTPConnection) -> bool:
    """A change made with a session must name its origin, as every browser does; programs use no cookies."""
    changes = request.scope["method"] not in SAFE_METHODS
    if changes and "origin" not in request.headers and SESSION_COOKIE in request.cookies:
        return False
    return access.hosts.from_own_pages(request)


def _is_static(request: HTTPConnection) -> bool:
    """Browsers ask each time and are mostly told 304: an update is never mixed with old files."""
    return request.scope["path"].startswith("/static/")
