"""Files below /etc that hold secrets of the machine. The owner of the process may be able to read them."""

from __future__ import annotations

from functools import cache
from pathlib import Path

_PATTERNS = (
    "shadow*", "gshadow*", "sudoers*", "ssh/ssh_host_*_key", "ssl/private", "pki/tls/private", "letsencrypt",
    "wireguard", "NetworkManager/system-connections", "krb5.keytab", "docker/key.json", "openvpn", "ppp/*-secrets",
    "wpa_supplicant", "mysql/debian.cnf", "environment", "netplan",
)  # fmt: skip


@cache
def secrets_of_the_system() -> tuple[str, ...]:
    found = (path for pattern in _PATTERNS for path in Path("/etc").glob(pattern) if not path.is_symlink())
    return tuple(sorted(map(str, found)))
