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
from app.safety.redaction import SecretRedactor
settings = Settings(_env_file=None, dashboard_password={PASSWORD!r}, log_level="INFO")
set_up_logs(settings, SecretRedactor(settings.secrets()))
logger.info("ours {KEY}")
logging.getLogger("groq").warning("theirs %s {{braces}}", {KEY!r})
logging.getLogger("httpx").info("quiet")
try:
    secret = {KEY!r}
    raise ValueError("inside {PASSWORD}")
except ValueError:
    logger.exception("traceback")
"""


def test_every_logger_goes_through_the_redacting_sink() -> None:
    root = Path(__file__).parents[2]
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(root)}
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, env=env, timeout=30)
    assert done.returncode == 0, done.stderr
    assert "ours" in done.stderr and "theirs" in done.stderr and "{braces}" in done.stderr
    assert "Traceback" in done.stderr and "inside" in done.stderr and "quiet" not in done.stderr
    assert KEY not in done.stderr and PASSWORD not in done.stderr and KEY[4:30] not in done.stderr
