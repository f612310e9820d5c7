"""The network of one command: none, unless the call asks for it; then only the sites of the list, if it is confined."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from app.core import texts
from app.core.contracts import CommandResult, Grant
from app.core.errors import ToolError
from app.core.machine import Machine, machine

_MARGIN = 15.0  # s: the command's own time limit ends first
_MOST_TOLD = 5
_SSH = "transport 'ssh' not allowed"  # as git says it of what the grant's environment forbids
_OFFLINE = re.compile(
    r"could(?: not|n't) resolve|unable to resolve|name resolution|enotfound|eai_again|network is unreachable"
    r"|no such host|failed to lookup address|dns error|name or service not known",
    re.IGNORECASE,
)


@asynccontextmanager
async def way_out(*, wanted: bool) -> AsyncGenerator[Grant | None]:
    """None: there is nothing to open, as it is not wanted or nothing keeps the command from the network anyway.

    Raises ToolError.
    """
    here = machine()
    if wanted:
        await here.sandbox.ready()
    if not wanted or not here.sandbox.confined:
        yield None
        return
    if here.network is None:
        raise ToolError(texts.NETWORK_NOT_YOURS)
    async with here.network.grant(here.limits.seconds + _MARGIN) as grant:
        yield grant


def note(grant: Grant | None, result: CommandResult) -> str:
    """What the command's report says of its network; '' for nothing. Text is looked at only to explain a failure."""
    if grant is None:
        offline = result.exit_code and machine().sandbox.confined and _OFFLINE.search(result.output)
        return texts.NETWORK_ABSENT if offline else ""
    told = list(grant.refusals[:_MOST_TOLD])
    if result.exit_code and _SSH in result.output:
        told.append(texts.NETWORK_NO_SSH)
    return texts.network_notes(told, len(grant.refusals[_MOST_TOLD:]))


def reach(here: Machine) -> str:
    """Where a command with network gets to here, in words: for the question that is put to the user."""
    if not here.sandbox.confined:
        return texts.NETWORK_UNFILTERED
    return texts.network_reach(here.network.hosts if here.network else ())
