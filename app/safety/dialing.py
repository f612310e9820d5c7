"""Connections outwards: a name is resolved once, every answer is checked, and only what was checked is dialled."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ipaddress import ip_address

from aiohappyeyeballs import start_connection  # pyright: ignore[reportUnknownVariableType]
from loguru import logger

from app.core import texts_fetch as texts
from app.core.errors import AddressRefused, FetchError
from app.safety.addresses import AddressPolicy, IPAddress, host_allowed
from app.safety.lookup import Lookup, system_lookup
from app.safety.own import is_elsewhere

_TRIED = 8  # addresses of one name
_STAGGER = 0.25  # s before the next address is tried as well
_BUFFER = 65_536  # bytes held per connection, twice at most

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass(frozen=True, slots=True)
class Dialer:
    allow: AddressPolicy = is_elsewhere
    lookup: Lookup = system_lookup

    @asynccontextmanager
    async def connected(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> AsyncGenerator[Streams]:
        """`tls`: spoken for `host`, as its certificate must be. Raises FetchError."""
        addresses = await self.resolve(host, port)
        name = host.removesuffix(".") if tls else None
        try:
            sock = await start_connection(
                [_info(address, port) for address in addresses[:_TRIED]], happy_eyeballs_delay=_STAGGER, interleave=1
            )
            reader, writer = await asyncio.open_connection(sock=sock, ssl=tls, server_hostname=name, limit=_BUFFER)
        except ssl.SSLCertVerificationError:
            raise FetchError(texts.fetch_bad_certificate(host)) from None
        except ssl.SSLError:
            raise FetchError(texts.fetch_bad_tls(host)) from None
        except OSError as error:
            logger.debug("connection failed: {}", type(error).__name__)
            raise FetchError(texts.fetch_no_connection(host)) from None
        try:
            yield reader, writer
        finally:
            writer.transport.abort()  # it is never used again, and a slow peer holds nothing

    async def resolve(self, host: str, port: int) -> Sequence[IPAddress]:
        """One bad answer refuses them all: which of them is connected to is not ours to choose. Raises FetchError."""
        if not host_allowed(host, self.allow):
            raise AddressRefused(texts.url_private(host))
        try:
            addresses = [ip_address(host)]
        except ValueError:
            addresses = await self._ask(host, port)
        if not all(map(self.allow, addresses)):
            raise AddressRefused(texts.url_private(host))
        return addresses

    async def _ask(self, host: str, port: int) -> Sequence[IPAddress]:
        try:
            addresses = [ip_address(found) for found in await self.lookup(host, port)]
        except (OSError, ValueError):
            addresses = []
        if not addresses:
            raise FetchError(texts.fetch_no_dns(host))
        return addresses


def _info(address: IPAddress, port: int) -> tuple[int, int, int, str, tuple[str | int, ...]]:
    where = (str(address), port)
    if address.version == 4:
        return socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", where
    return socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (*where, 0, 0)
