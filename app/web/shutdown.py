"""An open event stream never ends by itself, and uvicorn waits for it before it ends the lifespan.

So the streams are closed on the signal itself. uvicorn installs its handlers with signal.signal() before the lifespan
starts (plain, --reload, workers, Windows), so a handler put in front of them there sees every signal first.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = ("SIGINT", "SIGTERM", "SIGBREAK")  # the last one is Windows' Ctrl+Break


@contextmanager
def before_shutdown(close: Callable[[], object]) -> Generator[None]:
    """`close` runs on the event loop as soon as the process is asked to leave; then the server's own handler.

    Outside the main thread (a server inside a test) there are no signals, and nothing is done.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    numbers = [signal.Signals[name] for name in _SIGNALS if name in signal.Signals.__members__]
    servers = {number: handler for number in numbers if callable(handler := signal.getsignal(number))}

    def handle(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(close)
        server = servers[signal.Signals(number)]
        if callable(server):
            server(number, frame)

    for number in servers:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number, server in servers.items():
            if signal.getsignal(number) is handle:
                signal.signal(number, server)
