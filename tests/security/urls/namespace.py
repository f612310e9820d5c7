"""A network of one's own in which every address of the world is this machine: what is dialled can be seen."""

from __future__ import annotations

import ctypes
import os
import socket
import struct
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

_NEWNET, _NEWUSER = 0x40000000, 0x10000000
_NEWLINK, _NEWADDR, _NEWROUTE = 16, 20, 24  # rtnetlink
_REQUEST, _ACK, _CREATE = 0x1, 0x4, 0x400
_LOOPBACK = 1  # the index of `lo` in a new namespace
_TABLE_LOCAL, _STATIC, _SCOPE_HOST, _TYPE_LOCAL, _OUT_INTERFACE = 255, 4, 254, 2, 4


def enter() -> None:
    """For this process, which has one thread: a network with nothing but `lo`. Raises OSError where that may not be."""
    libc = ctypes.CDLL(None, use_errno=True)
    user, group = os.getuid(), os.getgid()
    flags = _NEWNET | (_NEWUSER if user else 0)
    if libc.unshare(flags) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    if user:
        for name, text in (("setgroups", "deny"), ("uid_map", f"0 {user} 1"), ("gid_map", f"0 {group} 1")):
            with open(f"/proc/self/{name}", "w") as file:
                file.write(text)
    _ask(_NEWLINK, struct.pack("BxHiII", 0, 0, _LOOPBACK, 1, 1))  # up


def make_local(network: str) -> None:
    """Every address in it is answered here, though no interface has it."""
    where = ip_network(network)
    route = struct.pack(
        "8BI", _family(where), where.prefixlen, 0, 0, _TABLE_LOCAL, _STATIC, _SCOPE_HOST, _TYPE_LOCAL, 0
    )  # fmt: skip
    _ask(_NEWROUTE, route + _attribute(_OUT_INTERFACE, struct.pack("i", _LOOPBACK)) + _attribute(1, where[0].packed))


def add_address(text: str, length: int) -> None:
    """To the interface."""
    address = ip_address(text)
    message = struct.pack("BBBBI", _family(address), length, 2, 0, _LOOPBACK)  # 2: no duplicate detection
    _ask(_NEWADDR, message + _attribute(1, address.packed) + _attribute(2, address.packed))


def _family(address: IPv4Address | IPv6Address | IPv4Network | IPv6Network) -> int:
    return socket.AF_INET if address.version == 4 else socket.AF_INET6


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("HH", 4 + len(value), kind) + value


def _ask(kind: int, body: bytes) -> None:
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as wire:
        wire.send(struct.pack("IHHII", 16 + len(body), kind, _REQUEST | _ACK | _CREATE, 1, 0) + body)
        error = struct.unpack_from("i", wire.recv(4096), 16)[0]
    if error:
        raise OSError(-error, "rtnetlink")
