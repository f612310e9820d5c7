"""The rules that every test lives under, tried on small test files of their own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest

from tests.plugins.loopback_only import NetworkBlockedError

ROOT = Path(__file__).resolve().parent.parent.parent


async def test_a_connection_or_look_up_outside_is_refused_and_counted(no_outside_network: list[str]) -> None:
    with pytest.raises(NetworkBlockedError):
        socket.create_connection(("192.0.2.1", 80))
    async with aiohttp.ClientSession() as session:
        with pytest.raises(NetworkBlockedError):
            await session.get("http://example.org/")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, pytest.raises(NetworkBlockedError):
        udp.sendto(b"x", ("192.0.2.1", 53))
    assert len(no_outside_network) == 3
    no_outside_network.clear()


def test_loopback_is_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        socket.create_connection(("localhost", port)).close()


INNER = """
import socket, pytest

def test_swallows_the_refusal():
    try:
        socket.getaddrinfo("example.org", 80)
    except Exception:
        pass

def test_skips():
    pytest.skip("no reason")

@pytest.mark.needs("chromium")
def test_needs_a_browser():
    pass
"""


@pytest.mark.parametrize(
    ("ci", "summary"), [("false", "1 passed, 2 skipped, 1 error"), ("true", "1 failed, 1 passed, 2 errors")]
)
def test_what_is_skipped_or_reached_outside_does_not_pass_unnoticed(tmp_path: Path, ci: str, summary: str) -> None:
    (tmp_path / "test_inner.py").write_text(INNER)
    (tmp_path / "pytest.ini").write_text("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    (tmp_path / "conftest.py").write_text((ROOT / "tests/conftest.py").read_text("utf-8"))
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", str(tmp_path)]
    environment = {**os.environ, "CI": ci, "PYTHONPATH": str(ROOT), "NANOBOT_CHROMIUM": ""}
    ran = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert ran.returncode == 1
    assert summary in ran.stdout
    assert "tried to reach the network: socket.getaddrinfo 'example.org'" in ran.stdout
    if ci == "false":
        assert "2 SKIPPED: this run does not prove everything" in ran.stdout
