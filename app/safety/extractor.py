"""A program of its own: hostile HTML is parsed in a process that can be killed, without keys and with little memory.

Standard input and output carry pages: a line of JSON with `length` and `url`, then that many bytes of UTF-8; back
comes a line of JSON. Nothing of Nanobot is imported here.
"""

from __future__ import annotations

import json
import sys
from typing import BinaryIO

_MEMORY = 256_000_000  # bytes of data, beside what the libraries map
_CPU_SECONDS = 180  # for all its pages: a page that nobody waits for any more ends here


def main(incoming: BinaryIO, outgoing: BinaryIO) -> None:
    sys.path[:] = json.loads(incoming.readline())
    limit()
    while line := incoming.readline():
        asked = json.loads(line)
        text = article(incoming.read(asked["length"]).decode("utf-8", "replace"), asked["url"])
        outgoing.write(json.dumps({"text": text}).encode() + b"\n")
        outgoing.flush()


def limit() -> None:
    if sys.platform == "win32":
        return
    import resource

    for kind, most in (
        (resource.RLIMIT_DATA, _MEMORY),
        (resource.RLIMIT_CPU, _CPU_SECONDS),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(kind)[1]
        value = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (value, value))


def article(html: str, url: str) -> str:
    import trafilatura

    try:
        text = trafilatura.extract(
            html, url=url, output_format="markdown", include_links=True, include_tables=True, include_comments=False
        )
        return text or trafilatura.html2txt(html)
    except Exception:  # noqa: BLE001  the boundary to a parser of hostile pages: the plain text remains
        return ""


if __name__ == "__main__":
    main(sys.stdin.buffer, sys.stdout.buffer)
