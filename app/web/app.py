"""install() adds the dashboard and the API to the application; serving() keeps them alive with it."""

from __future__ import annotations

import mimetypes
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from fastapi import APIRouter, FastAPI
from starlette.staticfiles import StaticFiles

from app.web import api, events_api, login_pages, pages, permissions_page, settings_page, status_api, tokens_page
from app.web.access import Access
from app.web.gate import MOST_BODY_BYTES, Gate
from app.web.livestate import LiveState
from app.web.parts import WebParts, WebState
from app.web.problems import install_problems
from app.web.rendering import HERE
from app.web.shutdown import before_shutdown

# Windows takes these from its registry, where other programs change them; with nosniff a wrong one stops the page.
mimetypes.add_type("text/javascript", ".js")
mimetypes.add_type("text/css", ".css")
mimetypes.add_type("image/svg+xml", ".svg")


def install(app: FastAPI) -> None:
    router = APIRouter(max_body_size=MOST_BODY_BYTES)  # for bodies that do not declare their size to the gate
    for part in (status_api, api, events_api, login_pages, pages, permissions_page, settings_page, tokens_page):
        router.include_router(part.router)
    app.include_router(router)
    app.mount("/static", StaticFiles(directory=HERE / "static"))
    app.add_middleware(Gate)
    install_problems(app)


@asynccontextmanager
async def serving(app: FastAPI, parts: WebParts) -> AsyncGenerator[None]:
    """For the lifespan, around its `yield`. Event streams end with the signal, not with the lifespan.

    Raises StorageError when DATA_DIR cannot be used.
    """
    app.state.parts = parts
    access = await Access.open(parts.settings)
    app.state.web = WebState(access, LiveState(parts.hub))
    with before_shutdown(parts.hub.close):
        yield
    await access.close()
