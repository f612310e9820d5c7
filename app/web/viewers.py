"""Who has an event stream open, so that it ends with the right to see it, and nobody opens them without end."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Generator
from contextlib import contextmanager

MOST_STREAMS = 20  # of one login, one token, or this machine
MOST_TOGETHER = 200


class Viewers:
    """`who` is a credential: see Access.credential()."""

    def __init__(self) -> None:
        self._open: defaultdict[str, set[Callable[[], None]]] = defaultdict(set)

    def full(self, who: str) -> bool:
        return len(self._open.get(who, ())) >= MOST_STREAMS or sum(map(len, self._open.values())) >= MOST_TOGETHER

    @contextmanager
    def viewing(self, who: str, leave: Callable[[], None]) -> Generator[None]:
        """`leave` is called when this right ends meanwhile."""
        self._open[who].add(leave)
        try:
            yield
        finally:
            self._open[who].discard(leave)
            if not self._open[who]:
                del self._open[who]

    def end(self, who: str) -> None:
        for leave in self._open.get(who, ()):
            leave()
