"""All logs go through loguru: ours, uvicorn's, python-telegram-bot's, the SDKs'. No secret gets past the sink.

This is the server's set-up. A program that imports AgentLoop as a library keeps its own logger: loguru's default sink
(diagnose=True) prints the variables of a traceback, keys included, so such a program should add its own without it.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
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
        named.opt(exception=record.exc_info).log(level, "{}", _text_of(record))


def _text_of(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # noqa: BLE001  boundary: a library's wrong format string must not break the library
        return str(record.msg)


def early_logs() -> None:
    """From the import of app.main on: uvicorn speaks before the settings are known, so nothing is redacted yet."""
    _install(str, "INFO")


def set_up_logs(settings: Settings, redactor: Redactor) -> None:
    """Redacted as a whole, traceback included."""
    _install(redactor.redact, settings.log_level)


def _install(shown: Callable[[str], str], level: str) -> None:
    """Tracebacks show no variable values: they could hold a key."""

    def sink(message: Message) -> None:
        sys.stderr.write(shown(message))

    logger.remove()
    colours = sys.stderr.isatty()
    logger.add(sink, level=level, format=_FORMAT, colorize=colours, backtrace=False, diagnose=False)
    logging.captureWarnings(True)
    logging.basicConfig(handlers=[_ToLoguru()], level=logging.INFO, force=True)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
