"""Who is told what a device's connections say, byte by byte."""

from typing import Protocol

from teltonika.codecs.transport import Transport


class Recording(Protocol):
    """Is told what happens on one connection."""

    def sent(self, data: bytes) -> None: ...

    def received(self, data: bytes) -> None: ...

    def closed(self, *, by_server: bool, reset: bool) -> None: ...


class Recorder(Protocol):
    """Is told of each connection that a link makes."""

    def opened(
        self, device: tuple[str, int], server: tuple[str, int], transport: Transport = Transport.TCP
    ) -> Recording:
        """A connection between these two addresses stands, or, over UDP, a socket is open."""
        ...
