"""Every attack and every piece of ordinary work."""

from __future__ import annotations

import shutil
from collections.abc import Sequence

from tests.security.commands import kernel, later, network, ordinary, processes, reading, resources, writing
from tests.security.commands.case import Attack, Work
from tests.security.layers import PATH

_PARTS = (reading, writing, network, processes, kernel, later, resources)


def _here(needs: str) -> bool:
    return not needs or shutil.which(needs, path=PATH) is not None


ATTACKS: Sequence[Attack] = [attack for part in _PARTS for attack in part.ATTACKS if _here(attack.needs)]
WORK: Sequence[Work] = [work for work in ordinary.WORK if _here(work.needs)]
