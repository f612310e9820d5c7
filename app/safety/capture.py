"""What a command prints, kept in bounded memory: the beginning and the end."""

from __future__ import annotations

import codecs
import os
import select
import threading
from typing import IO

from app.core import texts_safety as texts

CHUNK = 65_536
_LOOK_UP = 0.1  # s between two looks at whether to stop


class HeadTail:
    """The first and the last `limit` / 2 bytes of a stream."""

    def __init__(self, limit: int) -> None:
        self._half = max(1, limit // 2)
        self._head = bytearray()
        self._tail = bytearray()
        self._total = 0

    @property
    def dropped(self) -> int:
        return max(0, self._total - len(self._head) - self._half)

    def feed(self, chunk: bytes) -> None:
        self._total += len(chunk)
        room = self._half - len(self._head)
        self._head += chunk[:room] if room > 0 else b""
        self._tail += chunk[max(0, room) :]
        if len(self._tail) > 2 * self._half + CHUNK:
            del self._tail[: -self._half]

    def text(self) -> str:
        if not self.dropped:
            return (self._head + self._tail).decode("utf-8", "replace")
        head = codecs.getincrementaldecoder("utf-8")("replace").decode(bytes(self._head))
        tail = bytes(self._tail[-self._half :])
        while tail and 0x80 <= tail[0] < 0xC0 and len(tail) > self._half - 3:  # the rest of a cut character
            tail = tail[1:]
        return head + texts.output_dropped(self.dropped) + tail.decode("utf-8", "replace")


class Capture:
    """Reads a pipe in its own thread until it ends, or until stop(): a forgotten child may hold it for ever."""

    def __init__(self, pipe: IO[bytes], limit: int) -> None:
        self._pipe = pipe
        self._kept = HeadTail(limit)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._read, name="nanobot-output", daemon=True)
        self._thread.start()

    def wait(self, seconds: float) -> None:
        self._thread.join(seconds)

    def stop(self, seconds: float) -> tuple[str, int]:
        """What was kept, and how many bytes were left out."""
        self._stopping.set()
        self._thread.join(seconds)
        return self._kept.text(), self._kept.dropped

    def _read(self) -> None:
        with self._pipe:
            descriptor = self._pipe.fileno()
            while self._readable(descriptor):
                chunk = os.read(descriptor, CHUNK)
                if not chunk:
                    return
                self._kept.feed(chunk)

    def _readable(self, descriptor: int) -> bool:
        """Waits for data or the end. False: stopped."""
        if os.name == "nt":  # pipes cannot be polled there
            return not self._stopping.is_set()
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        while not poll.poll(_LOOK_UP * 1000):
            if self._stopping.is_set():
                return False
        return True
