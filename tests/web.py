"""The dashboard on a whole house with a scripted brain: in this process, or behind a real uvicorn on loopback."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass

import httpx
import uvicorn
from fastapi import FastAPI

from app.assembly import House
from app.config import Settings
from app.core.live import LiveHub
from app.web.app import install, serving
from app.web.parts import WebParts
from tests.fakes.brain import ScriptedBrain
from tests.support import running_house

LOCAL = "http://localhost:8000"


@dataclass(frozen=True)
class Site:
    house: House
    app: FastAPI

    def client(self, base: str = LOCAL, peer: str = "127.0.0.1", **headers: str) -> httpx.AsyncClient:
        """A program at address `peer` that asks for `base`; no origin unless given."""
        transport = httpx.ASGITransport(self.app, client=(peer, 50_000))
        return httpx.AsyncClient(transport=transport, base_url=base, headers=headers)

    def browser(self, base: str = LOCAL, peer: str = "127.0.0.1") -> httpx.AsyncClient:
        """The same, with what a browser says from a page of this very server."""
        return self.client(base, peer, origin=base, **{"sec-fetch-site": "same-origin"})


def web_parts(house: House) -> WebParts:
    parts = house.parts
    return WebParts(
        house.settings, house.store, house.hub, house.inbox, house.reporter.report, parts.machine.redactor,
        parts.permissions,
    )  # fmt: skip


async def page_token(browser: httpx.AsyncClient) -> dict[str, str]:
    """The header with which a page of the dashboard decides."""
    found = re.search(r'<meta name="nanobot-page" content="([0-9a-f]{64})">', (await browser.get("/")).text)
    assert found
    return {"x-nanobot-page": found[1]}


@asynccontextmanager
async def running_site(settings: Settings, brain: ScriptedBrain | None = None) -> AsyncGenerator[Site]:
    async with running_house(settings, brain or ScriptedBrain()) as house:
        app = FastAPI()
        install(app)
        async with serving(app, web_parts(house)):
            yield Site(house, app)


@asynccontextmanager
async def listening(app: FastAPI, hub: LiveHub, port: int = 0) -> AsyncGenerator[str]:
    """A real server on loopback; yields its address. Its own signal handlers stay out of the test."""
    server = uvicorn.Server(uvicorn.Config(app, port=port, lifespan="off", log_config=None))
    task = asyncio.create_task(server._serve())  # pyright: ignore[reportPrivateUsage]
    while not server.started:
        await asyncio.sleep(0.005)
    try:
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://localhost:{port}"
    finally:
        hub.close()
        server.should_exit = True
        await task


@dataclass(frozen=True)
class Event:
    kind: str
    data: dict[str, object]
    id: int | None = None


async def read_events(response: httpx.Response) -> AsyncIterator[Event | str]:
    """Events, and comments as plain text."""
    fields: dict[str, str] = {}
    async for row in response.aiter_lines():
        name, _, value = row.partition(": ")
        if row.startswith(":"):
            yield row
        elif row:
            fields[name] = value
        elif "event" in fields:
            number = int(fields["id"]) if "id" in fields else None
            yield Event(fields["event"], json.loads(fields["data"]), number)
            fields = {}
        else:
            fields = {}


@asynccontextmanager
async def event_stream(base: str, session_id: str, **query: str | int) -> AsyncGenerator[AsyncIterator[Event | str]]:
    headers = {"last-event-id": str(query.pop("last_event_id"))} if "last_event_id" in query else {}
    async with (
        httpx.AsyncClient(base_url=base, timeout=10) as client,
        client.stream("GET", "/api/v1/events", params={"session_id": session_id, **query}, headers=headers) as response,
        aclosing(read_events(response)) as events,  # type: ignore[type-var]
    ):
        assert response.status_code == 200
        yield events


async def collect(events: AsyncIterator[Event | str], last: str) -> list[Event]:
    """Up to and including the first event of kind `last`."""
    found: list[Event] = []
    async for event in events:
        if isinstance(event, Event):
            found.append(event)
            if event.kind == last:
                return found
    return found


def lines(events: list[Event]) -> list[dict[str, object]]:
    return [event.data for event in events if event.kind == "line"]
