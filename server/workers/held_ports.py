"""The ports that the workers share, kept for them by the supervisor.

`SO_REUSEPORT` lets every process of a user share a port, and so would let a second server in
unseen. Therefore the port is taken as if it were to be shared with nobody, which fails if anybody
has it, and opened to the workers after that. A socket that is bound and does not listen gets no
connections; of UDP there are no such sockets, so of that only the number is kept.
"""

import socket
from types import TracebackType
from typing import Self

from teltonika.server.addresses import bound_sockets

CAN_SHARE = hasattr(socket, "SO_REUSEPORT")
"""Whether several processes can have one port on this platform."""


class HeldPorts:
    """A context manager: entering takes the ports, or raises ListenError."""

    def __init__(self, host: str, port: int, udp_port: int | None) -> None:
        """0 is any free one, and None for UDP none."""
        self._host = host
        self.port = port
        self.udp_port = udp_port
        self._held: list[socket.socket] = []

    def __enter__(self) -> Self:
        if self.udp_port is not None:
            datagrams = bound_sockets(self._host, self.udp_port, socket.SOCK_DGRAM)
            self.udp_port = int(datagrams[0].getsockname()[1])
            for one in datagrams:
                one.close()
        self._held = bound_sockets(self._host, self.port, socket.SOCK_STREAM)
        self.port = int(self._held[0].getsockname()[1])
        for one in self._held:
            # another server that only reuses addresses, as all do, is kept out by this
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for one in self._held:
            one.close()
