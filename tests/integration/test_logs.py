"""Logs: one stream, and no secret in it whoever logs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

KEY = "gsk_" + "Zx9y" * 12
PASSWORD = "contraseña-del-panel"
PROGRAM = f"""
import logging
from loguru import logger
from app.config import Settings
from app.logs import set_up_logs
from app.safety.answers import Redaction
settings = Settings(_env_file=None, dashboard_password={PASSWORD!r}, log_level="INFO")
set_up_logs(settings, Redaction(settings.secrets()))
logger.info("ours {KEY}")
logging.getLogger("groq").warning("theirs %s {{braces}}", {KEY!r})
logging.getLogger("groq").warning("wrong format %d", {KEY!r})
logging.getLogger("httpx").info("quiet")
try:
    secret = {KEY!r}
    raise ValueError("inside {PASSWORD}")
except ValueError:
    logger.exception("traceback")
"""

# What `uvicorn app.main:app` does: its own logging first, then the application, then it speaks.
EARLY = f"""
import logging
from loguru import logger
from uvicorn import Config
Config("app.main:app").load()
logging.getLogger("uvicorn.error").info("Started server process [%d]", 7)
logging.getLogger("uvicorn.access").info("quiet")
try:
    secret = {KEY!r}
    raise ValueError(len(secret))
except ValueError:
    logger.exception("traceback")
"""


def said_by(program: str, folder: Path) -> str:
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, encoding="utf-8", env=env, cwd=folder, timeout=30
    )
    assert done.returncode == 0 and done.stdout == "", done.stderr
    return done.stderr


def test_every_logger_goes_through_the_redacting_sink(tmp_path: Path) -> None:
    said = said_by(PROGRAM, tmp_path)
    assert "ours" in said and "theirs" in said and "{braces}" in said and "wrong format" in said
    assert "Traceback" in said and "inside" in said and "quiet" not in said
    assert KEY not in said and PASSWORD not in said and KEY[4:30] not in said


def test_uvicorns_first_lines_and_early_tracebacks_are_ours_already(tmp_path: Path) -> None:
    said = said_by(EARLY, tmp_path)
    line = next(line for line in said.splitlines() if "Started server process" in line)
    assert line.endswith(" INFO    uvicorn.error: Started server process [7]") and said.count("Started") == 1
    assert "Traceback" in said and "ValueError: 52" in said and KEY not in said and "quiet" not in said
