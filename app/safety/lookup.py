"""The system's name resolution, which can hang for as long as a hostile DNS server likes."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

Lookup = Callable[[str, int], Awaitable[Sequence[str]]]

_MOST = 64  # look-ups under way; nobody can stop one that hangs
_free = threading.BoundedSemaphore(_MOST)


async def system_lookup(host: str, port: int) -> Sequence[str]:
    """Each in a daemon thread of its own: one that hangs holds neither the default executor nor the exit.

    Raises OSError.
    """
    if not _free.acquire(blocking=False):
        raise OSError("too many name look-ups are hanging")
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[Sequence[str]] = loop.create_future()

    def settle(found: Sequence[str], error: OSError | None) -> None:
        if answer.done():  # the caller has gone
            return
        if error:
            answer.set_exception(error)
        else:
            answer.set_result(found)

    def work() -> None:
        found, error = _ask(host, port)
        _free.release()
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(settle, found, error)

    threading.Thread(target=work, name="nanobot-dns", daemon=True).start()
    return await answer


def _ask(host: str, port: int) -> tuple[Sequence[str], OSError | None]:
    try:
        answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    except OSError as error:
        return (), error
    except Exception as error:  # noqa: BLE001  the thread's boundary: UnicodeError for odd names, a test's block…
        return (), OSError(str(error))
    return list(dict.fromkeys(str(answer[4][0]) for answer in answers)), None
