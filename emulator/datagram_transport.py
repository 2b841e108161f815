"""A UDP socket that is written to and read like a connection."""

import asyncio
from typing import Any, cast

from teltonika.emulator.turns import TURN_BYTES


class DatagramTransport(asyncio.Transport):
    """Each write is one datagram to the server, each datagram of the server's one read.

    An error that the network reports, such as that nobody listens there, ends it like a connection
    that is reset.
    """

    def __init__(self, datagrams: asyncio.DatagramTransport) -> None:
        super().__init__()
        self._datagrams = datagrams

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._datagrams.sendto(data)

    def close(self) -> None:
        self._datagrams.close()

    def abort(self) -> None:
        self._datagrams.abort()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._datagrams.get_extra_info(name, default)


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, protocol: asyncio.Protocol) -> None:
        self._protocol = protocol
        self._error: Exception | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: object) -> None:
        # An answer has 7 bytes: what is over a turn's is broken, and its beginning as well.
        self._protocol.data_received(data[:TURN_BYTES])

    def error_received(self, exc: Exception) -> None:
        self._error = exc
        self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._protocol.connection_lost(exc or self._error)


async def open_datagrams(protocol: asyncio.Protocol, host: str, port: int) -> DatagramTransport:
    """A socket from and to which only this server's datagrams go. Raises OSError."""
    datagrams, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: _Datagrams(protocol), remote_addr=(host, port)
    )
    return DatagramTransport(datagrams)
