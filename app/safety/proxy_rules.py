"""What a proxied connection is judged and measured by."""

from __future__ import annotations

from dataclasses import dataclass

from app.safety.allowlist import AllowedHosts
from app.safety.dialing import Dialer


@dataclass(frozen=True, slots=True)
class ProxyLimits:
    """`seconds` that the grant lives, `idle` s without a byte; `total_bytes` both ways, over all its connections."""

    seconds: float = 900.0
    idle: float = 60.0
    total_bytes: int = 2_000_000_000
    connections: int = 32


@dataclass(frozen=True, slots=True)
class ProxyRules:
    hosts: AllowedHosts
    dialer: Dialer
    tls_port: int
    plain_port: int


class BudgetSpent(OSError):
    """The grant has moved all the bytes it may."""


class Meter:
    def __init__(self, budget: int) -> None:
        self._left = budget

    def count(self, data: bytes) -> None:
        self._left -= len(data)
        if self._left < 0:
            raise BudgetSpent
