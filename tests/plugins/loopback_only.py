"""The test process can reach this machine and nothing else.

An audit hook sees every connection and every name look-up that goes through Python's sockets, whichever
library makes it, and cannot be unpatched by mistake. (uvloop dials in C and is not seen; tests run on
asyncio's own loop.) A refused attempt fails its test even when the code under test swallows the error.
"""

from __future__ import annotations

import ipaddress
import sys
from collections.abc import Iterator
from typing import Any

import pytest

_OUTWARD = {"socket.connect": 1, "socket.sendto": 1, "socket.sendmsg": 1}
_LOOKUPS = ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr")
_attempts: list[str] = []


class NetworkBlockedError(RuntimeError):
    """A test tried to leave this machine. Not an OSError, so that no retry takes it for an outage."""


def is_local(host: Any) -> bool:
    """True for loopback and unspecified addresses, `localhost`, and "no host" (binding)."""
    if isinstance(host, bytes):
        host = host.decode("ascii", "replace")
    if not host or str(host).rstrip(".").lower() == "localhost" or str(host).lower().endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(str(host).partition("%")[0])
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def _audit(event: str, args: tuple[Any, ...]) -> None:
    if event in _OUTWARD:
        address = args[_OUTWARD[event]]
        if not isinstance(address, tuple) or is_local(address[0]):
            return
    elif event in _LOOKUPS:
        address = args[0]
        if is_local(address):
            return
    else:
        return
    _attempts.append(f"{event} {address!r}")
    raise NetworkBlockedError(f"tests may only use loopback; blocked {event} to {address!r}")


sys.addaudithook(_audit)


@pytest.fixture(autouse=True)
def no_outside_network() -> Iterator[list[str]]:
    """Yields the attempts refused so far in this test; a test that means to provoke one clears the list."""
    _attempts.clear()
    yield _attempts
    if _attempts:
        pytest.fail(f"the test tried to reach the network: {', '.join(_attempts)}", pytrace=False)
