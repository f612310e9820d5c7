"""Every attack and every piece of ordinary work."""

from __future__ import annotations

import shutil
from collections.abc import Sequence

from tests.security.commands import reading, writing
from tests.security.commands.case import Attack
from tests.security.layers import PATH


def _here(needs: str) -> bool:
    return not needs or shutil.which(needs, path=PATH) is not None


ATTACKS: Sequence[Attack] = [
    attack for part in (reading, writing) for attack in part.ATTACKS if _here(attack.needs)
]  # fmt: skip
