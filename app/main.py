"""Entry point: `uvicorn app.main:app`. create_app() and lifespan, where the parts meet and part."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from base64 import b64encode
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import NoReturn

from fastapi import FastAPI
from loguru import logger

from app import __version__
from app.assembly import House, build_house
from app.cloud.telegram_service import TelegramService
from app.config import Settings, load_settings
from app.core import recovery, texts
from app.core.errors import ConfigError, NanobotError, StorageError
from app.core.events import ReplyLine, ReplyTo
from app.logs import early_logs, set_up_logs
from app.safety.peers import close_to_peers
from app.upkeep import keep_up
from app.web.app import install, serving
from app.web.parts import WebParts
from app.web.privatefile import random_key
from app.web.shutdown import before_shutdown
from app.web.telegram_hook import install_telegram

_PATIENCE_SECONDS = 15.0  # for the steps under way; everything together leaves within 25 s


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
    settings: Settings = app.state.settings
    close_to_peers()
    async with AsyncExitStack() as stack:
        try:
            telegram = app.state.telegram = TelegramService(settings)
            house = build_house(settings, telegram.channels)
            set_up_logs(settings, house.parts.machine.redactor)
            await _open(house, telegram)
            stack.push_async_callback(_close, house, telegram)
            await stack.enter_async_context(serving(app, _web_parts(house)))
        except (ConfigError, StorageError) as error:
            _give_up(error)
        brain = house.parts.brain
        for work in (
            brain.watch_models(),
            brain.warm_up_when_idle(),
            keep_up(house.store, house.parts.undo),
        ):
            stack.callback(asyncio.create_task(work).cancel)
        house.parts.machine.sandbox.start()
        logger.info("Nanobot {} is ready", __version__)
        yield


def _web_parts(house: House) -> WebParts:
    parts = house.parts
    return WebParts(
        house.settings, house.store, house.hub, house.inbox, house.reporter.report, parts.machine.redactor,
        parts.permissions,
    )  # fmt: skip


async def _open(house: House, telegram: TelegramService) -> None:
    """Waits for a predecessor to leave the data folder, then takes up what it left open."""
    await telegram.open()
    await _take_folder(house)
    spent = await recovery.spent_by_user(house.store, house.settings.timezone, time.time())
    house.parts.brain.ledger.restore(sum(spent.values()), spent)
    house.parts.brain.on_notice = lambda text: _tell_owner(house, text)
    await recovery.resume(house.store, house.commands, house.runner, house.delivery.lanes.wake)
    key = await asyncio.to_thread(random_key, house.settings.data_dir / "secret.key")
    telegram.start(house.inbox, house.hub, key)
    house.parts.machine.redactor.add([key.hex(), b64encode(key).decode(), *telegram.secrets])
    house.reporter.telegram = telegram.state


async def _take_folder(house: House) -> None:
    """Waits for a predecessor to leave it; a signal ends the wait, and the process with it."""
    opening = asyncio.create_task(house.store.open())
    with before_shutdown(opening.cancel):
        try:
            await opening
        except asyncio.CancelledError:
            raise StorageError(texts.STOPPED_WAITING) from None


async def _close(house: House, telegram: TelegramService) -> None:
    """No new work; steps under way end and are saved; what is open goes on at the next start."""
    house.hub.close()
    house.loop.leave()
    await telegram.stop_polling()
    await house.runner.lanes.close(_PATIENCE_SECONDS)
    await house.delivery.lanes.close(3.0)
    await telegram.close()
    await house.loop.aclose()
    await house.store.close()
    logger.info("Nanobot has left")


def _tell_owner(house: House, text: str) -> None:
    """A notice in the owner's own chat; without Telegram it is in the log and on the status page."""
    logger.warning("notice: {}", text)
    owner = house.settings.telegram_user_id
    if owner is None or house.settings.telegram_token is None:
        return

    async def tell() -> None:
        session_id = await house.store.chats.session_of(f"telegram_{owner}")
        place = ReplyTo(channel="telegram", chat_id=owner)
        with suppress(StorageError):
            await house.store.append(session_id, ReplyLine(content=text, reply_to=place))

    task = asyncio.get_running_loop().create_task(tell())
    _notices.add(task)
    task.add_done_callback(_notices.discard)


_notices: set[asyncio.Task[None]] = set()


def create_app(settings: Settings | None = None) -> FastAPI:
    """Raises ConfigError when a setting is malformed."""
    app = FastAPI(title="Nanobot", version=__version__, lifespan=lifespan, docs_url=None, redoc_url=None)
    app.state.settings = settings or load_settings()
    install(app)
    install_telegram(app)
    return app


def _create_or_exit() -> FastAPI:
    early_logs()
    try:
        return create_app()
    except ConfigError as error:
        _give_up(error)


def _give_up(error: NanobotError) -> NoReturn:
    """One line, no traceback: nothing has begun. uvicorn would print both for an exception."""
    sys.stderr.write(f"{error}\n")
    sys.stderr.flush()
    os._exit(2)


app = _create_or_exit()
