"""The addresses at which this machine itself answers: a cloud server often has a public one on an interface."""

from __future__ import annotations

import ctypes
import socket
import sys
from ctypes import POINTER, Structure, c_char_p, c_uint, c_void_p
from ctypes.util import find_library
from ipaddress import IPv4Address, IPv6Address

from app.safety.addresses import IPAddress, is_public

# Documentation addresses, never ours. Where all of them can be bound (ip_nonlocal_bind, any-IP routes) binding says
# nothing.
_FOREIGN = {
    4: (IPv4Address("198.51.100.254"), IPv4Address("203.0.113.254")),
    6: (IPv6Address("2001:db8:ffff::fe"), IPv6Address("3fff:0:ffff::fe")),
}


class _Interface(Structure):
    """struct ifaddrs of Linux and of macOS, as far as it is read here."""


_Interface._fields_ = [
    ("next", POINTER(_Interface)), ("name", c_char_p), ("flags", c_uint), ("address", c_void_p),
]  # fmt: skip


def is_elsewhere(address: IPAddress) -> bool:
    """A public address that is not this machine's."""
    return is_public(address) and not is_ours(address)


def is_ours(address: IPAddress) -> bool:
    """Whether this machine answers there, or for IPv6 perhaps a neighbour (/64). Nothing is sent to find out."""
    own = interface_addresses() or _sources(address)
    if address in own or (isinstance(address, IPv6Address) and any(_same_network(address, other) for other in own)):
        return True
    return _can_bind(address) and not all(map(_can_bind, _FOREIGN[address.version]))


def interface_addresses() -> frozenset[IPAddress]:
    """Of all interfaces; empty where the system does not tell (Windows)."""
    if sys.platform == "win32":
        return frozenset()
    libc = ctypes.CDLL(find_library("c"))
    first = POINTER(_Interface)()
    if libc.getifaddrs(ctypes.byref(first)) != 0:
        return frozenset()
    try:
        found: set[IPAddress] = set()
        entry = first
        while entry:
            if entry.contents.address and (address := _read(entry.contents.address)):
                found.add(address)
            entry = entry.contents.next
        return frozenset(found)
    finally:
        libc.freeifaddrs(first)


def _read(where: int) -> IPAddress | None:
    """A sockaddr: the family in its first two bytes, or on BSD in the second."""
    head = ctypes.string_at(where, 2)
    family = head[1] if sys.platform == "darwin" else int.from_bytes(head, sys.byteorder)
    if family == socket.AF_INET:
        return IPv4Address(ctypes.string_at(where + 4, 4))
    return IPv6Address(ctypes.string_at(where + 8, 16)) if family == socket.AF_INET6 else None


def _same_network(one: IPv6Address, other: IPAddress) -> bool:
    return isinstance(other, IPv6Address) and int(one) >> 64 == int(other) >> 64


def _sources(address: IPAddress) -> frozenset[IPAddress]:
    """The own address from which packets would go there, if any."""
    try:
        with socket.socket(_family(address), socket.SOCK_DGRAM) as probe:
            probe.connect((str(address), 9))
            own = probe.getsockname()[0].partition("%")[0]
            return frozenset({IPv4Address(own) if address.version == 4 else IPv6Address(own)})
    except OSError:
        return frozenset()


def _can_bind(address: IPAddress) -> bool:
    try:
        with socket.socket(_family(address), socket.SOCK_DGRAM) as probe:
            probe.bind((str(address), 0))
    except OSError:
        return False
    return True


def _family(address: IPAddress) -> socket.AddressFamily:
    return socket.AF_INET6 if address.version == 6 else socket.AF_INET
