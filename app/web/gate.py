"""The one door: every request passes here before any route. What is not allowed by name is refused."""

from __future__ import annotations

from urllib.parse import quote

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.core import texts_web
from app.web.access import SESSION_COOKIE, Access
from app.web.headers import HEADERS
from app.web.hosts import SAFE_METHODS, is_proxied
from app.web.parts import web_state
from app.web.problems import problem

HEALTH = "/api/status"  # asked for by platforms under names of their own: it tells strangers nothing
LOGIN = "/login"
SETUP = "/puesta-en-marcha"
_OPEN_TO_ALL = (LOGIN, SETUP)
MOST_TEXT = 30_000  # characters of one message
MOST_BODY_BYTES = MOST_TEXT * 6 + 4_096  # JSON may write each UTF-16 unit as \\uXXXX


class Gate:
    """ASGI middleware. Sets `request.state.trusted` for the few routes that strangers may reach."""

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
        request.state.trusted = access.is_reachable(request) and access.knows(request)
        refusal = _refusal(access, request)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(HEADERS)
                headers.setdefault("Cache-Control", "no-cache" if _is_static(request) else "no-store")
            await send(message)

        await (refusal or self._app)(scope, receive, send_with_headers)


def _refusal(access: Access, request: HTTPConnection) -> Response | None:
    """Decided by the path that the routes see: `request.url` is put together with the Host that the asker wrote."""
    path = request.scope["path"]
    if path == HEALTH:
        return None
    if not access.is_reachable(request):
        return problem(request, 403, _why_unreachable(access, request))
    if _must_be_ours(request) and not _is_ours(access, request):
        return problem(request, 403, texts_web.FOREIGN_PAGE)
    if int(request.headers.get("content-length", 0)) > MOST_BODY_BYTES:
        return problem(request, 413, texts_web.too_long(MOST_TEXT))
    if request.state.trusted or path in _OPEN_TO_ALL or _is_static(request):
        return None
    if path.startswith("/api/"):
        return problem(request, 401, texts_web.LOG_IN_FIRST)
    if access.mode == "setup":
        return RedirectResponse(SETUP, 303)
    return RedirectResponse(f"{LOGIN}?a={quote(_wanted(request))}", 303)


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
