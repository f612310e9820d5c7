"""Who may see the dashboard: whoever knows the password, or this machine alone, or nobody before set-up."""

from __future__ import annotations

import asyncio
import hmac
from typing import Literal

from itsdangerous import BadSignature, TimestampSigner
from starlette.requests import HTTPConnection
from starlette.responses import Response

from app.config import CONFIG_FILE, Settings
from app.web.attempts import Attempts, OneTimeCode
from app.web.configfile import update_config
from app.web.hosts import Hosts, is_from_this_machine, is_local_name
from app.web.hosts import host_name as name_of
from app.web.passwords import Password, hash_password
from app.web.privatefile import random_key

SESSION_COOKIE = "nanobot_session"
_SESSION_SECONDS = 30 * 86_400

Mode = Literal["password", "local", "setup"]


class Access:
    """`mode`: password (log in) | local (no password, bound to this machine) | setup (no password, bound wider)."""

    def __init__(self, settings: Settings, key: bytes) -> None:
        self._settings = settings
        self._key = key
        self._signer = TimestampSigner(key, salt="nanobot.session")
        stored = settings.dashboard_password
        self._password = Password(stored.get_secret_value()) if stored else None
        self.hosts = Hosts(settings)
        self.attempts = Attempts()
        self.code = OneTimeCode() if self.mode == "setup" else None
        self._choosing = asyncio.Lock()

    @classmethod
    async def open(cls, settings: Settings) -> Access:
        """Raises StorageError when the key that signs sessions can be neither read nor made."""
        return cls(settings, await asyncio.to_thread(random_key, settings.data_dir / "secret.key"))

    @property
    def mode(self) -> Mode:
        if self._password:
            return "password"
        return "local" if self.hosts.loopback_only else "setup"

    def is_reachable(self, request: HTTPConnection) -> bool:
        """Without a password nothing but this machine under its local names; with one, any name of ours."""
        if self.mode == "local":
            return is_from_this_machine(request) and is_local_name(name_of(request))
        return self.hosts.answers(request)

    def knows(self, request: HTTPConnection) -> bool:
        """Whether a reachable request may see and do everything."""
        if self._password is None:
            return self.mode == "local"
        try:
            signed = self._signer.unsign(request.cookies.get(SESSION_COOKIE, ""), max_age=_SESSION_SECONDS)
        except BadSignature:
            return False
        return hmac.compare_digest(signed, self._password.fingerprint(self._key).encode())

    async def check_password(self, given: str) -> bool:
        return self._password is not None and await self._password.matches(given)

    async def choose_password(self, plain: str) -> bool:
        """Stored as a hash and in force at once. False when somebody was faster. Raises StorageError."""
        async with self._choosing:
            if self.mode != "setup":
                return False
            stored = await hash_password(plain)
            path = self._settings.data_dir / CONFIG_FILE
            await asyncio.to_thread(update_config, path, {"DASHBOARD_PASSWORD": stored})
            self._password = Password(stored)
            self.code = None
            return True

    def log_in(self, request: HTTPConnection, response: Response) -> None:
        assert self._password is not None
        signed = self._signer.sign(self._password.fingerprint(self._key)).decode()
        self._set_cookie(request, response, signed, _SESSION_SECONDS)

    def log_out(self, request: HTTPConnection, response: Response) -> None:
        self._set_cookie(request, response, "", 0)

    def _set_cookie(self, request: HTTPConnection, response: Response, value: str, seconds: int) -> None:
        response.set_cookie(
            SESSION_COOKIE,
            value,
            max_age=seconds,
            httponly=True,
            samesite="strict",
            secure=self.hosts.is_https(request),
        )
