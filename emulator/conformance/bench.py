"""What a case works with: the server's address, an IMEI of its own, and sockets."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec

from teltonika.codecs import encode_imei, luhn_check_digit
from teltonika.emulator.conformance.datagrams import DatagramSocket
from teltonika.emulator.conformance.device_socket import DeviceSocket, Unexpected
from teltonika.emulator.conformance.patience import Patience
from teltonika.emulator.conformance.transcript import Transcript

FIRST_IMEI = "350000000000006"
"""Of no device: its type allocation code is all zeros behind the 35."""


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """The server, and what it is told of beyond its TCP port."""

    host: str
    port: int
    udp_port: int | None = None
    first_imei: str = FIRST_IMEI
    unknown_imei: str | None = None
    """An IMEI that the server must refuse."""
    patience: Patience = Patience()


def numbered_imei(first: str, number: int) -> str:
    """The IMEI that is ``number`` behind ``first``, with a right Luhn digit."""
    digits = f"{(int(first[:14]) + number) % 10**14:014d}"
    return f"{digits}{luhn_check_digit(digits)}"


class Bench:
    """One case's: nothing of it is shared with another case."""

    def __init__(self, target: Target, imei: str, neighbour_imei: str) -> None:
        self.target = target
        self.patience = target.patience
        self.imei = imei
        self.neighbour_imei = neighbour_imei
        """For a second device."""
        self.transcript = Transcript()

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[DeviceSocket]:
        """A connection on which nothing was said yet."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self.patience.answer_s):
                _, device = await loop.create_connection(
                    lambda: DeviceSocket(self.patience, self.transcript),
                    self.target.host,
                    self.target.port,
                )
        except TimeoutError:
            raise Unexpected(f"no connection in {self.patience.answer_s:g} s") from None
        except OSError as error:
            raise Unexpected(f"no connection: {error.strerror or error}") from None
        try:
            yield device
        finally:
            await device.leave()

    @asynccontextmanager
    async def accepted(self, imei: str | None = None) -> AsyncIterator[DeviceSocket]:
        """A connection whose IMEI, by default the case's own, the server accepted."""
        async with self.connected() as device:
            await device.send(encode_imei(imei or self.imei))
            await device.expect_accepted()
            yield device

    @asynccontextmanager
    async def datagrams(self) -> AsyncIterator[DatagramSocket]:
        """A UDP socket to the server's UDP port."""
        assert self.target.udp_port is not None
        loop = asyncio.get_running_loop()
        try:
            transport, datagrams = await loop.create_datagram_endpoint(
                lambda: DatagramSocket(self.patience, self.transcript),
                remote_addr=(self.target.host, self.target.udp_port),
            )
        except OSError as error:
            raise Unexpected(f"no UDP socket: {error.strerror or error}") from None
        try:
            yield datagrams
        finally:
            transport.close()
