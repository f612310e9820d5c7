"""All logs go through loguru: ours, uvicorn's, python-telegram-bot's, the SDKs'. No secret gets past the sink."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

from loguru import logger
from typing_extensions import override

from app.config import Settings
from app.core.contracts import Redactor

if TYPE_CHECKING:
    from loguru import Message

_FORMAT = "<green>{time:YYYY-MM-DD HH:mm:ss.SSS}</green> <level>{level: <7}</level> {name}: {message}"
_CHATTY = (
    "httpx",
    "httpx2",
    "httpcore",
    "telegram",
    "groq",
    "anthropic",
    "asyncio",
    "aiohttp.access",
    "uvicorn.access",
)


class _ToLoguru(logging.Handler):
    @override
    def emit(self, record: logging.LogRecord) -> None:
        try:
            level: str | int = logger.level(record.levelname).name
        except ValueError:
            level = record.levelno
        named = logger.patch(lambda r: r.update(name=record.name))
        named.opt(exception=record.exc_info).log(level, "{}", record.getMessage())


def set_up_logs(settings: Settings, redactor: Redactor) -> None:
    """Redacted as a whole, traceback included; tracebacks show no variable values: they could hold a key."""

    def sink(message: Message) -> None:
        sys.stderr.write(redactor.redact(message))

    logger.remove()
    colours = sys.stderr.isatty()
    logger.add(sink, level=settings.log_level, format=_FORMAT, colorize=colours, backtrace=False, diagnose=False)
    logging.basicConfig(handlers=[_ToLoguru()], level=logging.INFO, force=True)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
