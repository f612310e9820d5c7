"""A whole house on a scripted brain whose Telegram is the strict fake: the real python-telegram-bot between them."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from app.assembly import House, build_house
from app.cloud import telegram_poller, telegram_setbacks, telegram_typing, telegram_watch, telegram_webhook
from app.cloud.telegram_service import TelegramService
from app.core import recovery
from tests.fakes.brain import ScriptedBrain
from tests.fakes.telegram import FakeTelegram
from tests.support import make_settings

KEY = b"the key of this installation: 32"
OWNER, FRIEND, STRANGER, GROUP, FORUM = 42, 43, 666, -100500, -1000000000900


@asynccontextmanager
async def people() -> AsyncGenerator[FakeTelegram]:
    async with FakeTelegram() as fake:
        for chat in (OWNER, FRIEND, STRANGER, GROUP, FORUM):
            fake.add_chat(chat)
        yield fake


def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses of hundredths of a second."""
    for name in ("FIRST_PAUSE", "STORAGE_PAUSE", "TOKEN_PAUSE", "LOST_TOKEN_PAUSE"):
        monkeypatch.setattr(telegram_setbacks, name, 0.02)
    for name in ("FIRST_CHECK_SECONDS", "CHECK_SECONDS", "RIVAL_SECONDS", "ALONE_SECONDS"):
        monkeypatch.setattr(telegram_webhook, name, 0.05)
    monkeypatch.setattr(telegram_poller, "INSIST_PAUSE", 0.02)
    monkeypatch.setattr(telegram_watch, "RESTART_SECONDS", 0.02)
    monkeypatch.setattr(telegram_watch, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(telegram_typing, "PERIOD_SECONDS", 0.02)


@asynccontextmanager
async def bot(
    tmp_path: Path, telegram: FakeTelegram, brain: ScriptedBrain, **values: object
) -> AsyncGenerator[tuple[House, TelegramService]]:
    settings = make_settings(
        tmp_path,
        **{
            "telegram_token": telegram.token,
            "telegram_api_base_url": telegram.base_url,
            "telegram_user_id": OWNER,
            "telegram_allowed_users": [FRIEND],
            **values,
        },
    )
    service = TelegramService(settings)
    house = build_house(settings, service.channels, brain)
    await service.open()
    await house.store.open()
    await recovery.resume(house.store, house.commands, house.runner, house.delivery.lanes.wake)
    service.start(house.inbox, house.hub, KEY)
    try:
        yield house, service
    finally:
        house.loop.leave()
        await service.stop_polling()
        await house.runner.lanes.close(2)
        await house.delivery.lanes.close(0.2)
        await service.close()
        await house.loop.aclose()
        await house.store.close()
