"""What is run where. `NANOBOT_WHOLE_CORPUS=1`: everything everywhere.

Otherwise the layers as a server has them get all of it, and their variants (a server that is root, an older Landlock) a
third each, in turn.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TypeVar

from tests.security.layers import CELLS, ROOT

WHOLE = os.environ.get("NANOBOT_WHOLE_CORPUS", "") not in {"", "0"}
C = TypeVar("C")


def share(cases: Sequence[C], cell: int) -> list[C]:
    if WHOLE:
        return list(cases)
    _, uid, version = CELLS[cell]
    turns = 3 if version or (ROOT and uid == 0) else 1
    return [case for number, case in enumerate(cases) if (number + cell) % turns == 0]
