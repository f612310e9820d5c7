"""The bot behind a real server on loopback that the fake Telegram knows under a public address."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from fastapi import FastAPI

from app import main
from app.assembly import House
from app.cloud.telegram_hook import Address
from app.cloud.telegram_service import TelegramService
from app.web.app import serving
from tests.e2e.server import free_port
from tests.fakes.brain import ScriptedBrain
from tests.fakes.telegram import FakeTelegram
from tests.fakes.telegram_house import KEY, bot
from tests.web import listening

ORIGIN = "https://nanobot.example"
PASSWORD = "una contraseña larga"


@dataclass(frozen=True)
class Hooked:
    house: House
    service: TelegramService
    app: FastAPI
    url: str
    address: Address


def address_of(telegram: FakeTelegram, base: str = ORIGIN) -> Address:
    return Address.derived(base, telegram.token, KEY)


@asynccontextmanager
async def hooked_bot(
    folder: Path, telegram: FakeTelegram, brain: ScriptedBrain, **values: object
) -> AsyncGenerator[Hooked]:
    """Open to the network with a password, as on Render."""
    port = free_port()
    telegram.sender.retry_second = 0.02
    telegram.lives_at(ORIGIN, f"http://127.0.0.1:{port}")
    values = {"public_url": ORIGIN, "host": "0.0.0.0", "dashboard_password": PASSWORD, **values}
    async with bot(folder, telegram, brain, **values) as (house, service):
        app = main.create_app(house.settings)
        app.state.telegram = service
        parts = main._web_parts(house)  # pyright: ignore[reportPrivateUsage]
        async with serving(app, parts), listening(app, house.hub, port) as url:
            yield Hooked(house, service, app, url, address_of(telegram))
