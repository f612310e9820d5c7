"""Schemathesis over the API of a real server.

Well formed or not, every answer is as its description says and none is a 5xx. Without a token nothing succeeds, and
with one that only reads nothing changes.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
import requests
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis import Case, GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from app.cloud.telegram_service import TelegramService
from app.web.telegram_hook import install_telegram
from tests.access import PASSWORD, log_in, make_token
from tests.support import make_settings
from tests.web import Site, listening, running_site

SEED, EXAMPLES = 20_251_125, 12  # of each operation, well formed and malformed
ENDLESS = "/api/v1/events"  # a stream: looked at by itself
CONFORMS = [
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
]
Send = Callable[[Case], requests.Response]


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[tuple[Site, str]]:
    values = make_settings(tmp_path, dashboard_password=PASSWORD, messages_per_minute=10_000)
    async with running_site(values) as site:
        site.app.state.telegram = TelegramService(values)
        install_telegram(site.app)
        async with listening(site.app, site.house.hub) as base:
            yield site, base


async def tokens(base: str) -> dict[str, str]:
    async with httpx.AsyncClient(base_url=base, headers={"origin": base}) as browser:
        await log_in(browser)
        return {scope: await make_token(browser, scope, scope) for scope in ("leer", "escribir")}


def operations(app: FastAPI) -> Iterator[Any]:
    for found in schemathesis.openapi.from_dict(app.openapi()).get_all_operations():
        operation = cast("Any", found).ok()
        if operation.path != ENDLESS:
            yield operation


def play(app: FastAPI, send: Callable[[Case], None]) -> None:
    """Blocks. The same calls each time."""
    for operation in operations(app):
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):

            @seed(SEED)
            @settings(
                max_examples=EXAMPLES,
                deadline=None,
                database=None,
                phases=[Phase.generate],
                suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
            )
            @given(case=operation.as_strategy(generation_mode=mode))
            def each(case: Case) -> None:
                send(case)

            each()


async def test_every_answer_is_as_described_and_none_is_a_failure_of_ours(server: tuple[Site, str]) -> None:
    site, base = server
    known = await tokens(base)
    statuses: Counter[int] = Counter()

    def send(case: Case) -> None:
        with requests.Session() as session:
            headers = {"Authorization": f"Bearer {known['escribir']}"}
            response = case.call(base_url=base, session=session, headers=headers, timeout=10)
        statuses[response.status_code] += 1
        assert response.status_code < 500, (case.as_curl_command(), response.text)
        if response.status_code != 405:  # a method that no operation has
            case.validate_response(response, checks=CONFORMS)

    await asyncio.to_thread(play, site.app, send)
    await site.house.runner.lanes.idle()
    assert statuses[200] and statuses[202] and statuses[404] and statuses[422], statuses
    assert sum(statuses.values()) > 150, statuses


@pytest.mark.parametrize("credential", ["", "Bearer", "Bearer nanobot_000000000000_" + "x" * 43, "Basic bmFub2JvdDp4"])
async def test_without_a_token_nothing_succeeds(server: tuple[Site, str], credential: str) -> None:
    site, base = server
    statuses: Counter[int] = Counter()

    def send(case: Case) -> None:
        with requests.Session() as session:
            headers = {"Authorization": credential}
            response = case.call(base_url=base, session=session, headers=headers, timeout=10)
        health = response.request.method == "GET" and re.fullmatch(r"/api/status(\?.*)?", response.request.path_url)
        if health:
            assert set(response.json()) == {"status", "version"}
            return
        statuses[response.status_code] += 1
        assert response.status_code in {401, 403}, (case.as_curl_command(), response.text)

    await asyncio.to_thread(play, site.app, send)
    assert statuses[401] and not await site.house.store.list_sessions()


async def test_who_only_reads_changes_nothing(server: tuple[Site, str]) -> None:
    site, base = server
    known = await tokens(base)
    changes: Counter[int] = Counter()

    def send(case: Case) -> None:
        with requests.Session() as session:
            headers = {"Authorization": f"Bearer {known['leer']}"}
            response = case.call(base_url=base, session=session, headers=headers, timeout=10)
        if response.request.method not in {"GET", "HEAD", "OPTIONS"}:
            changes[response.status_code] += 1
            assert response.status_code in {401, 403}, (case.as_curl_command(), response.text)

    await asyncio.to_thread(play, site.app, send)
    assert changes[403] > changes[401], "schemathesis leaves the token out now and then"
    assert not await site.house.store.list_sessions()


async def test_the_stream_too(server: tuple[Site, str]) -> None:
    _, base = server
    known = await tokens(base)
    async with httpx.AsyncClient(base_url=base) as client:
        assert (await client.get(ENDLESS, params={"session_id": "web_0123456789ab"})).status_code == 401
        client.headers["authorization"] = f"Bearer {known['leer']}"
        for query, status in [("", 422), ("?session_id=..%2Fx", 404), ("?session_id=web_0&cursor=-1", 422),
                              ("?session_id=web_0&cursor=x", 422), (f"?session_id={'a' * 81}", 404)]:  # fmt: skip
            refused = await client.get(ENDLESS + query)
            assert (refused.status_code, set(refused.json())) == (status, {"error"})
        async with client.stream("GET", ENDLESS, params={"session_id": "web_0123456789ab"}) as opened:
            assert opened.status_code == 200 and opened.headers["content-type"].startswith("text/event-stream")


def test_the_description_names_every_address_of_the_api() -> None:
    from app.main import create_app

    app = create_app(make_settings(Path("/nowhere")))
    described = app.openapi()["paths"]
    assert {path for path in described if not path.startswith("/api/")} == set()
    for path, methods in described.items():
        for method, operation in methods.items():
            assert "security" in operation, (path, method)
            assert {"401", "403", "422"} <= set(operation["responses"])
