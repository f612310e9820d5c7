"""Who may see the dashboard: whoever knows the password, or this machine alone, or nobody before set-up."""

from __future__ import annotations

import asyncio
import hmac
import secrets
from typing import Literal

from itsdangerous import BadSignature, TimestampSigner
from starlette.requests import HTTPConnection
from starlette.responses import Response

from app.config import CONFIG_FILE, Settings
from app.web.attempts import Attempts, OneTimeCode
from app.web.configfile import update_config
from app.web.hosts import Hosts, is_from_this_machine, is_local_name, peer_of
from app.web.hosts import host_name as name_of
from app.web.logins import LOGIN_SECONDS, Logins
from app.web.passwords import Password, check_configured, hash_password
from app.web.privatefile import random_key

SESSION_COOKIE = "nanobot_session"
_BROWSER_COOKIE = "nanobot_browser"  # opens nothing: it tells that this browser logged in once
_BROWSER_SECONDS = 400 * 86_400

Mode = Literal["password", "local", "setup"]


class Access:
    """`mode`: password (log in) | local (no password, bound to this machine) | setup (no password, bound wider)."""

    def __init__(self, settings: Settings, key: bytes, logins: Logins) -> None:
        self._settings = settings
        self._key = key
        self._sessions = TimestampSigner(key, salt="nanobot.session")
        self._browsers = TimestampSigner(key, salt="nanobot.browser")
        stored = settings.dashboard_password
        self._password = Password(stored.get_secret_value()) if stored else None
        self.logins = logins
        self.hosts = Hosts(settings)
        self.attempts = Attempts()
        self.code = OneTimeCode() if self.mode == "setup" else None
        self._choosing = asyncio.Lock()

    @classmethod
    async def open(cls, settings: Settings) -> Access:
        """Raises ConfigError for a password that could never open, StorageError when DATA_DIR cannot be used."""
        return await asyncio.to_thread(cls._open, settings)

    @classmethod
    def _open(cls, settings: Settings) -> Access:
        if stored := settings.dashboard_password:
            check_configured(stored.get_secret_value(), loopback_only=Hosts(settings).loopback_only)
        key = random_key(settings.data_dir / "secret.key")
        return cls(settings, key, Logins.read(settings.data_dir / "logins.json"))

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
        return self.mode == "local" or self.logins.knows(self.login_of(request))

    def login_of(self, request: HTTPConnection) -> str:
        """'' when the cookie was not given for the present password."""
        signed = _unsigned(self._sessions, request.cookies.get(SESSION_COOKIE, ""), LOGIN_SECONDS)
        fingerprint, _, login = signed.partition("-")
        ours = self._password is not None and hmac.compare_digest(
            fingerprint.encode(), self._password.fingerprint(self._key).encode()
        )
        return login if ours else ""

    # ---------------------------------------------------------------- the password

    def guesser(self, request: HTTPConnection) -> tuple[str, bool]:
        """Whose budget a guess costs, and whether it is a stranger's."""
        browser = _unsigned(self._browsers, request.cookies.get(_BROWSER_COOKIE, ""), _BROWSER_SECONDS)
        return (f"browser {browser}", False) if browser else (peer_of(request), True)

    async def check_password(self, given: str) -> bool:
        return self._password is not None and await self._password.matches(given)

    async def choose_password(self, plain: str) -> bool:
        """The first one, at set-up. False when somebody was faster. Raises StorageError."""
        async with self._choosing:
            if self.mode != "setup":
                return False
            await self._store_password(plain)
            return True

    async def change_password(self, plain: str) -> None:
        """Every login under the old one ends. Raises StorageError."""
        async with self._choosing:
            await self._store_password(plain)
            await self.logins.end_all()

    async def _store_password(self, plain: str) -> None:
        """As a hash, and in force at once."""
        stored = await hash_password(plain)
        await asyncio.to_thread(update_config, self._settings.data_dir / CONFIG_FILE, {"DASHBOARD_PASSWORD": stored})
        self._password = Password(stored)
        self.code = None

    # ---------------------------------------------------------------- logging in and out

    async def log_in(self, request: HTTPConnection, response: Response) -> None:
        assert self._password is not None
        value = f"{self._password.fingerprint(self._key)}-{await self.logins.begin()}"
        self._set_cookie(request, response, SESSION_COOKIE, self._sessions.sign(value).decode(), LOGIN_SECONDS)
        browser = self._browsers.sign(secrets.token_hex(16)).decode()
        self._set_cookie(request, response, _BROWSER_COOKIE, browser, _BROWSER_SECONDS)

    async def log_out(self, request: HTTPConnection, response: Response) -> None:
        """Raises StorageError when it would not survive a restart."""
        await self.logins.end(self.login_of(request))
        self._set_cookie(request, response, SESSION_COOKIE, "", 0)

    def _set_cookie(self, request: HTTPConnection, response: Response, name: str, value: str, seconds: int) -> None:
        secure = self.hosts.is_https(request)
        response.set_cookie(name, value, max_age=seconds, httponly=True, samesite="strict", secure=secure)


def _unsigned(signer: TimestampSigner, value: str, seconds: int) -> str:
    """'' for what we did not sign, or too long ago."""
    try:
        return signer.unsign(value, max_age=seconds).decode()
    except BadSignature:
        return ""
