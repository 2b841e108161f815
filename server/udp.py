"""The UDP port: datagrams from its sockets to the intake, answers back from the same socket."""

import asyncio
import socket
from typing import cast

from teltonika.server.addresses import bound_sockets
from teltonika.server.datagram_intake import Address, DatagramIntake


class UdpPort:
    """`bind`, then `run` as a task. It belongs to no device: whoever sends, sends here."""

    def __init__(self, intake: DatagramIntake) -> None:
        self._intake = intake
        self._sockets: list[socket.socket] = []

    def bind(self, host: str, port: int, *, shared: bool = False) -> int:
        """Take the port, 0 for any, on each address of ``host``; which one it is.

        ``shared``: with other processes of this server.

        Datagrams wait in the kernel until `run`. Raises ListenError.
        """
        self._sockets = bound_sockets(host, port, socket.SOCK_DGRAM, shared=shared)
        return int(self._sockets[0].getsockname()[1])

    async def run(self) -> None:
        """Take datagrams in, and send answers, until cancelled."""
        loop = asyncio.get_running_loop()
        transports: list[asyncio.DatagramTransport] = []
        try:
            for bound in self._sockets:
                transport, _ = await loop.create_datagram_endpoint(
                    lambda: _Endpoint(self._intake), sock=bound
                )
                transports.append(transport)
            await loop.create_future()
        finally:
            for transport in transports:
                transport.close()
            for bound in self._sockets[len(transports) :]:
                bound.close()


class _Endpoint(asyncio.DatagramProtocol):
    """One socket."""

    def __init__(self, intake: DatagramIntake) -> None:
        self._intake = intake
        self._may_send = True

    # -- asyncio calls these ---------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transport is no subclass of asyncio's
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: Address) -> None:
        self._intake.receive(data, self, addr)

    def error_received(self, exc: Exception) -> None:
        """An answer could not be sent, to port 0 for one: who sends a datagram names any address.

        Nothing is owed: a device whose answer is lost sends again.
        """
        self._intake.unanswered()

    def pause_writing(self) -> None:
        self._may_send = False

    def resume_writing(self) -> None:
        self._may_send = True

    # -- the intake calls this -------------------------------------------------------------

    def answer(self, answer: bytes, address: Address) -> None:
        """Send it, or count that it is lost: answers do not pile up in front of a full network."""
        if self._may_send and not self._transport.is_closing():
            self._transport.sendto(answer, address)
        else:
            self._intake.unanswered()
