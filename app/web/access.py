"""Who may see the dashboard: whoever knows the password, or this machine alone, or nobody before set-up."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
from dataclasses import dataclass
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
from app.web.tokens import Tokens
from app.web.viewers import Viewers

SESSION_COOKIE = "nanobot_session"
_BROWSER_COOKIE = "nanobot_browser"  # opens nothing: it tells that this browser logged in once
_BROWSER_SECONDS = 400 * 86_400

Mode = Literal["password", "local", "setup"]


@dataclass(frozen=True)
class Caller:
    """Who asks. `credential`: login …, token … or local. `user`: who it is in the logs and for the limits."""

    credential: str
    user: str = "web"
    may_write: bool = True


class Access:
    """`mode`: password (log in) | local (no password, bound to this machine) | setup (no password, bound wider)."""

    def __init__(self, settings: Settings, key: bytes, logins: Logins, tokens: Tokens) -> None:
        self._settings = settings
        self._key = key
        self._sessions = TimestampSigner(key, salt="nanobot.session")
        self._browsers = TimestampSigner(key, salt="nanobot.browser")
        stored = settings.dashboard_password
        self._password = Password.of(stored.get_secret_value(), key) if stored else None
        self.logins = logins
        self.tokens = tokens
        self.viewers = Viewers()
        logins.on_end = lambda login: self.viewers.end(f"login {login}")
        tokens.on_end = lambda token: self.viewers.end(f"token {token}")
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
        folder = settings.data_dir
        return cls(settings, key, Logins.read(folder / "logins.json"), Tokens.read(folder / "tokens.json"))

    async def close(self) -> None:
        await asyncio.gather(self.logins.close(), self.tokens.close())

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

    def caller(self, request: HTTPConnection) -> Caller | None:
        """By what a reachable request may come in. Who shows a token to the API is judged by that token alone."""
        if (token := _bearer(request)) is not None:
            return self._caller_by_token(token)
        login = self.login_of(request)
        if self.logins.knows(login):
            self.logins.use(login)
            return Caller(f"login {login}")
        return Caller("local") if self.mode == "local" else None

    def still_knows(self, caller: Caller) -> bool:
        """Whether the right that a stream was opened with holds yet."""
        kind, _, name = caller.credential.partition(" ")
        match kind:
            case "login":
                return self.logins.knows(name)
            case "token":
                return self.tokens.scope(name) is not None
            case _:
                return self.mode == "local"

    def page_token(self, caller: Caller) -> str:
        """What only our pages know, and only this login's: it shows that a person decides, not a program."""
        return hmac.new(self._key, f"nanobot.page {caller.credential}".encode(), hashlib.sha256).hexdigest()

    def is_a_page(self, caller: Caller, given: str) -> bool:
        """Never by a token of the API: a program must not approve what it has asked for itself."""
        if caller.credential.startswith("token "):
            return False
        return hmac.compare_digest(given.encode(), self.page_token(caller).encode())

    def _caller_by_token(self, given: str) -> Caller | None:
        token_id = self.tokens.id_of(given)
        scope = self.tokens.scope(token_id)
        return Caller(f"token {token_id}", f"api-{token_id}", may_write=scope == "escribir") if scope else None

    def login_of(self, request: HTTPConnection) -> str:
        """'' when the cookie was not given for the present password."""
        signed = _unsigned(self._sessions, request.cookies.get(SESSION_COOKIE, ""), LOGIN_SECONDS)
        fingerprint, _, login = signed.partition("-")
        ours = self._password is not None and hmac.compare_digest(
            fingerprint.encode(), self._password.fingerprint.encode()
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
        self._password = await asyncio.to_thread(Password.of, stored, self._key)
        self.code = None

    # ---------------------------------------------------------------- logging in and out

    async def log_in(self, request: HTTPConnection, response: Response) -> None:
        """Always as somebody new: whatever the browser was before, or was made to be, ends."""
        assert self._password is not None
        value = f"{self._password.fingerprint}-{await self.logins.begin(instead_of=self.login_of(request))}"
        self._set_cookie(request, response, SESSION_COOKIE, self._sessions.sign(value).decode(), LOGIN_SECONDS)
        browser = self._browsers.sign(secrets.token_hex(16)).decode()
        self._set_cookie(request, response, _BROWSER_COOKIE, browser, _BROWSER_SECONDS)

    async def log_out(self, request: HTTPConnection, response: Response, *, everywhere: bool = False) -> None:
        """Raises StorageError when it would not survive a restart."""
        await (self.logins.end_all() if everywhere else self.logins.end(self.login_of(request)))
        self._set_cookie(request, response, SESSION_COOKIE, "", 0)

    def _set_cookie(self, request: HTTPConnection, response: Response, name: str, value: str, seconds: int) -> None:
        secure = self.hosts.is_https(request)
        response.set_cookie(name, value, max_age=seconds, httponly=True, samesite="strict", secure=secure)


def _bearer(request: HTTPConnection) -> str | None:
    """Of the API alone: a page is for people, and nothing is ever read from an address."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    is_api = request.scope["path"].startswith("/api/")
    return token.strip() if is_api and scheme.lower() == "bearer" else None


def _unsigned(signer: TimestampSigner, value: str, seconds: int) -> str:
    """'' for what we did not sign, or too long ago."""
    try:
        return signer.unsign(value, max_age=seconds).decode()
    except BadSignature:
        return ""
