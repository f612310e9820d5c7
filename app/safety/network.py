"""The network that a confined command is granted: a filtering proxy of its own, for as long as it runs."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager

from loguru import logger

from app.core import texts_fetch as texts
from app.core.contracts import Grant
from app.core.errors import SandboxError
from app.safety.allowlist import AllowedHosts
from app.safety.dialing import Dialer
from app.safety.proxy import FilteringProxy
from app.safety.proxy_rules import ProxyLimits

# Nothing but HTTP passes; node's own fetch looks for a proxy only when it is told to.
_ENV: Mapping[str, str] = {"GIT_ALLOW_PROTOCOL": "file:http:https", "NODE_USE_ENV_PROXY": "1"}


class FilteredNetwork:
    """`hosts` as AllowedHosts takes them. Raises FetchError for one that it does not."""

    def __init__(
        self, hosts: Sequence[str], *, dialer: Dialer | None = None, ports: tuple[int, int] = (443, 80)
    ) -> None:
        AllowedHosts(hosts)
        self._hosts = tuple(hosts)
        self._dialer = dialer
        self._ports = ports

    @property
    def hosts(self) -> Sequence[str]:
        return self._hosts

    @asynccontextmanager
    async def grant(self, seconds: float) -> AsyncGenerator[Grant]:
        limits = ProxyLimits(seconds=seconds)
        proxy = FilteringProxy(self._hosts, dialer=self._dialer, limits=limits, ports=self._ports)
        try:
            yield Grant(await _opened(proxy), _ENV, proxy.refusals)
        finally:
            await proxy.aclose()


async def _opened(proxy: FilteringProxy) -> str:
    try:
        return await (proxy.listen() if sys.platform == "linux" else proxy.listen_tcp())
    except OSError as error:
        logger.warning("the proxy of a command does not open: {}", error)
        raise SandboxError(texts.PROXY_FAILED) from None
