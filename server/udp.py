"""The UDP port: datagrams from its sockets to the intake, answers back from the same socket."""

import asyncio
import socket

from teltonika.server.addresses import bound_sockets
from teltonika.server.datagram_intake import Address, DatagramIntake

MAX_DATAGRAM_BYTES = 65_536
TURN_DATAGRAMS = 16
TURN_BYTES = 16_384
"""What may be taken in in one turn of the event loop, however much has come; what the kernel has no
room for until the next one is lost, and devices send it again."""


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
        try:
            for bound in self._sockets:
                loop.add_reader(bound, _Endpoint(self._intake, bound).take_turn)
            await loop.create_future()
        finally:
            for bound in self._sockets:
                loop.remove_reader(bound)
                bound.close()


class _Endpoint:
    """One socket. It is read here, and not by the event loop: that reads on while there is more."""

    def __init__(self, intake: DatagramIntake, bound: socket.socket) -> None:
        self._intake = intake
        self._socket = bound

    def take_turn(self) -> None:
        """Take in what may be in one turn of the event loop; the rest waits in the kernel."""
        size = 0
        for _ in range(TURN_DATAGRAMS):
            try:
                data, address = self._socket.recvfrom(MAX_DATAGRAM_BYTES)
            except BlockingIOError:
                return
            except OSError:  # that an earlier answer could not be delivered
                self._intake.unanswered()
                continue
            self._intake.receive(data, self, address)
            size += len(data)
            if size >= TURN_BYTES:
                return

    def answer(self, answer: bytes, address: Address) -> None:
        """Send it, or count that it is lost: answers do not pile up in front of a full network.

        To port 0 for one: who sends a datagram names any address. Nothing is owed: a device whose
        answer is lost sends again.
        """
        try:
            self._socket.sendto(answer, address)
        except OSError:
            self._intake.unanswered()
