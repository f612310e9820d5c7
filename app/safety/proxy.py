"""The only network of a confined command: a proxy that knows the few sites it was granted, and ends with the grant."""

from __future__ import annotations

import asyncio
import base64
import os
import secrets
import sys
from collections.abc import Awaitable, Callable, Iterable

from loguru import logger

from app.core import texts_fetch as texts
from app.core.errors import SandboxError
from app.safety.allowlist import AllowedHosts
from app.safety.dialing import Dialer, Streams
from app.safety.peers import is_user
from app.safety.proxy_client import Client
from app.safety.proxy_rules import Meter, ProxyLimits, ProxyRules

_MOST_REFUSALS = 20

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Admit = Callable[[asyncio.StreamWriter], bool]


class FilteringProxy:
    """`hosts`: exact names and `*.name`. HTTPS by CONNECT to 443, where TLS must name the same site; plain HTTP to 80.

    One instance per grant; it closes by itself after `limits.seconds`. Raises FetchError for a bad entry.
    """

    def __init__(
        self,
        hosts: Iterable[str],
        *,
        dialer: Dialer | None = None,
        limits: ProxyLimits | None = None,
        ports: tuple[int, int] = (443, 80),
    ) -> None:
        self._limits = limits or ProxyLimits()
        self._rules = ProxyRules(AllowedHosts(hosts), dialer or Dialer(), *ports)
        self._meter = Meter(self._limits.total_bytes)
        self._servers: list[asyncio.Server] = []
        self._clients: set[asyncio.Task[None]] = set()
        self._serving = 0  # of them, those that were not too many
        self._expiry: asyncio.TimerHandle | None = None
        self.refusals: list[str] = []  # why, in Spanish: for the report of the command

    async def listen(self) -> str:
        """On a Unix socket without a file, for processes of this user. Its address. Raises OSError, SandboxError.

        Only Linux has such sockets. No confined command reaches it: without namespaces there is no Unix socket for it,
        and with a network of its own it has other names.
        """
        if sys.platform != "linux":
            raise SandboxError(texts.PROXY_NOT_HERE)
        address = f"\0nanobot-{secrets.token_hex(16)}"
        user = os.geteuid()
        serve = self._server(admit=lambda writer: is_user(writer, user))
        self._started(await asyncio.start_unix_server(serve, address))
        return address

    async def listen_tcp(self) -> str:
        """On a loopback port. The proxy's URL; others on this machine do not know the token in it."""
        token = secrets.token_urlsafe(24)
        server = await asyncio.start_server(self._server(b"nanobot:" + token.encode()), "127.0.0.1", 0)
        self._started(server)
        return f"http://nanobot:{token}@127.0.0.1:{server.sockets[0].getsockname()[1]}"

    async def aclose(self) -> None:
        """Every connection has ended when this returns."""
        self._end()
        await asyncio.gather(*self._clients, return_exceptions=True)

    def _started(self, server: asyncio.Server) -> None:
        self._servers.append(server)
        if self._expiry is None:
            self._expiry = asyncio.get_running_loop().call_later(self._limits.seconds, self._end)

    def _end(self) -> None:
        if self._expiry is not None:
            self._expiry.cancel()
        for server in self._servers:
            server.close()
        for task in self._clients:
            task.cancel()

    def _server(self, who: bytes = b"", admit: Admit = lambda _: True) -> Serve:
        credentials = b"Basic " + base64.b64encode(who) if who else b""

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            if task is None or len(self._clients) >= 2 * self._limits.connections or not admit(writer):
                writer.transport.abort()
                return
            self._clients.add(task)
            writer.transport.set_write_buffer_limits(0)  # what drain() has not waited for would be lost with abort()
            try:
                await self._serve((reader, writer), credentials)
            except asyncio.CancelledError:
                logger.debug("a connection of a command was ended with its grant")
            finally:
                self._clients.discard(task)
                writer.transport.abort()

        return serve

    async def _serve(self, streams: Streams, credentials: bytes) -> None:
        full = self._serving >= self._limits.connections
        self._serving += not full
        client = Client(streams, self._rules, self._meter, credentials, self._refused)
        try:
            async with asyncio.timeout(self._limits.idle) as clock:
                client.busy = lambda: clock.reschedule(asyncio.get_running_loop().time() + self._limits.idle)
                await client.serve(full=full)
        except TimeoutError:
            logger.debug("a connection of a command was idle")
        except OSError as error:
            logger.debug("a connection of a command broke: {}", type(error).__name__)
        finally:
            self._serving -= not full

    def _refused(self, reason: str) -> None:
        if reason not in self.refusals and len(self.refusals) < _MOST_REFUSALS:
            self.refusals.append(reason)
