"""/permisos: what is permitted for good, and how it is taken back."""

from __future__ import annotations

import re

from app.core import texts
from app.core.context import AgentContext
from app.core.events import CommandLine
from app.core.permissions import Permissions

_REVOKE = re.compile(r"(?:quita|quitar|revocar)\s+(\S.*)", re.IGNORECASE | re.DOTALL)
_NUMBER = re.compile(r"[0-9]{1,9}")


class PermissionsCommand:
    def __init__(self, permissions: Permissions) -> None:
        self._permissions = permissions

    async def answer(self, ctx: AgentContext, command: CommandLine) -> str:
        """Safe to run twice: a number is never given again. Raises StorageError."""
        asked = _REVOKE.fullmatch(command.argument.strip())
        if asked is None:
            return texts.permission_list(await self._permissions.all())
        number = asked[1].strip()
        if _NUMBER.fullmatch(number) and await self._permissions.revoke(int(number)):
            return texts.revoked(int(number))
        return texts.no_such_permission(number)
