"""The addresses that are listened on, and those that peers come from."""

import ipaddress
import socket
from typing import Any, Self

import msgspec

from teltonika.server.errors import ListenError


class Peer(msgspec.Struct, frozen=True, gc=False):
    """Where a connection or a datagram comes from; behind a balancer what that says of it."""

    host: str
    port: int

    @classmethod
    def at(cls, address: tuple[Any, ...]) -> Self:
        """As a socket names it. An IPv4 address that came in through an IPv6 socket is written as
        what it is."""
        host, port = address[:2]
        if host.startswith("::ffff:"):
            mapped = ipaddress.IPv6Address(host).ipv4_mapped
            host = host if mapped is None else str(mapped)
        return cls(host, port)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def bound_sockets(
    host: str, port: int, kind: socket.SocketKind, *, shared: bool = False
) -> list[socket.socket]:
    """A socket that has the port, 0 for any, on each address of ``host``. Raises ListenError.

    ``shared``: with other processes that say so, too; the kernel spreads who comes over them.
    """
    sockets: list[socket.socket] = []
    try:
        found = socket.getaddrinfo(host, port, type=kind, flags=socket.AI_PASSIVE)
        for family, _, _, _, address in dict.fromkeys(found):
            sockets.append(_bound(family, kind, address, shared=shared))
    except (OSError, OverflowError, UnicodeError) as error:
        for one in sockets:
            one.close()
        reason = getattr(error, "strerror", None) or str(error)
        on = f"UDP {host}:{port}" if kind is socket.SOCK_DGRAM else f"{host}:{port}"
        raise ListenError(f"cannot listen on {on}: {reason}") from error
    return sockets


def _bound(
    family: int, kind: socket.SocketKind, address: tuple[object, ...], *, shared: bool
) -> socket.socket:
    bound = socket.socket(family, kind)
    try:
        if kind is socket.SOCK_STREAM:  # with UDP it would let a second server share the port
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:  # `::` is every address, of either kind
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, address[0] != "::")
        bound.setblocking(False)
        bound.bind(address)
    except OSError:
        bound.close()
        raise
    return bound
