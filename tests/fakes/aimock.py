"""aimock (npm @copilotkit/aimock) as a process on a free loopback port, with the fixtures of one test.

A fixture is `{"match": {"userMessage": …}, "response": {"content" | "toolCalls" | "error": …}}`; see the types of
the package. Requests that match none are answered 503 (strict).
"""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

_LISTENING = re.compile(r"listening on (http://[\d.]+:\d+)")


class Aimock:
    def __init__(self, url: str) -> None:
        self.url = url

    @property
    def local_url(self) -> str:
        return f"{self.url}/v1"


@asynccontextmanager
async def running_aimock(fixtures: Sequence[dict[str, Any]], folder: Path) -> AsyncIterator[Aimock]:
    """Needs the environment variables NANOBOT_NODE and NANOBOT_AIMOCK (mark the test `needs("node", "aimock")`)."""
    source = folder / "aimock.json"
    source.write_text(json.dumps({"fixtures": list(fixtures)}), "utf-8")
    process = await asyncio.create_subprocess_exec(
        os.environ["NANOBOT_NODE"], os.environ["NANOBOT_AIMOCK"],
        "--port", "0", "--fixtures", str(source), "--strict", "--chunk-size", "6",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    assert process.stdout
    try:
        async with asyncio.timeout(20):
            address = await _address(process.stdout)
        yield Aimock(address)
    finally:
        process.kill()
        await process.wait()


async def _address(output: asyncio.StreamReader) -> str:
    seen = b""
    while line := await output.readline():
        seen += line
        if match := _LISTENING.search(line.decode("utf-8", "replace")):
            return match[1]
    raise RuntimeError(f"aimock did not start: {seen.decode('utf-8', 'replace')}")
