"""Sites as an attacker meets them: this machine alone, behind a password, and before set-up."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from loguru import logger

from app.web import login_pages
from tests.access import PASSWORD
from tests.support import make_settings
from tests.web import Site, running_site


@pytest.fixture(autouse=True)
def quick_failures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(login_pages, "FAILURE_SECONDS", 0)


@pytest.fixture(autouse=True)
def no_public_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RENDER_EXTERNAL_URL", raising=False)


@pytest.fixture
def log() -> Iterator[list[str]]:
    said: list[str] = []
    sink = logger.add(lambda message: said.append(str(message)), level="DEBUG")
    yield said
    logger.remove(sink)


@pytest.fixture
async def local(tmp_path: Path) -> AsyncIterator[Site]:
    async with running_site(make_settings(tmp_path)) as site:
        yield site


@pytest.fixture
async def guarded(tmp_path: Path) -> AsyncIterator[Site]:
    settings = make_settings(
        tmp_path, dashboard_password=PASSWORD, public_url="https://bot.example.com", host="0.0.0.0"
    )
    async with running_site(settings) as site:
        yield site


@pytest.fixture
async def fresh(tmp_path: Path) -> AsyncIterator[Site]:
    """Open to the network, without a password."""
    async with running_site(make_settings(tmp_path, host="0.0.0.0")) as site:
        yield site
