"""Thousands of devices in one process: each a socket, an IMEI, and a small packet now and then."""

import asyncio
import socket
import struct
from collections import Counter
from random import Random

from teltonika.codecs import AVL_CODECS, AvlRecord, encode_imei, encode_packet, luhn_check_digit

CODEC = AVL_CODECS.by_name("8")
ADDRESSES = 50
"""Of the loopback's, that devices come from: one has too few ports for all the connections."""
ANSWER_WITHIN_S = 60.0
RESET_ON_CLOSE = struct.pack("ii", 1, 0)
WAYS_TO_LEAVE = ("reset", "close", "forget")


class Wire(asyncio.Protocol):
    """One connection: asks, and waits for the answer."""

    def __init__(self) -> None:
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._answer: asyncio.Future[bytes] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set_result(None)
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionResetError("no answer, and no connection"))

    async def ask(self, data: bytes) -> bytes:
        """Send, and wait. Raises OSError where there is no answer."""
        if self.lost.done():
            raise ConnectionResetError("no connection")
        self._answer = asyncio.get_running_loop().create_future()
        self.transport.write(data)
        async with asyncio.timeout(ANSWER_WITHIN_S):
            return await self._answer

    def reset(self) -> None:
        sock = self.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        self.transport.abort()


class LoadDevice:
    """One device; `counts` are those of all together."""

    def __init__(
        self, number: int, port: int, counts: Counter[str], interval_s: float, pause_s: float
    ) -> None:
        digits = f"35630704{number:06d}"
        self._imei = f"{digits}{luhn_check_digit(digits)}"
        self._source = f"127.0.0.{1 + number % ADDRESSES}"
        self._port = port
        self._counts = counts
        self._interval_s = interval_s
        self._pause_s = pause_s
        self._rng = Random(number)
        self._records = 0

    async def connect(self) -> None:
        """For the first time."""
        self._wire = await self._connect()

    async def hold(self) -> None:
        """Send now and then."""
        await asyncio.sleep(self._rng.uniform(0, self._interval_s))
        while True:
            await self._send()
            await asyncio.sleep(self._interval_s)

    async def reconnect(self) -> None:
        """Send, leave, connect, again and again."""
        while True:
            await self._send()
            await asyncio.sleep(self._rng.uniform(0, 2 * self._pause_s))
            way = self._rng.choice(WAYS_TO_LEAVE)
            old = self._wire
            if way == "reset":
                old.reset()
            elif way == "close":
                old.transport.close()
            self._wire = await self._connect()
            async with asyncio.timeout(ANSWER_WITHIN_S):
                await old.lost  # one that was forgotten is closed by the server
            self._counts["taken over"] += way == "forget"
            self._counts["reconnects"] += 1

    async def _connect(self) -> Wire:
        _, wire = await asyncio.get_running_loop().create_connection(
            Wire, "127.0.0.1", self._port, local_addr=(self._source, 0)
        )
        answer = await wire.ask(encode_imei(self._imei))
        assert answer == b"\x01", answer
        self._counts["held"] += 1
        wire.lost.add_done_callback(lambda _: self._counts.subtract(["held"]))
        return wire

    async def _send(self) -> None:
        self._records += 1
        record = AvlRecord(1_760_000_000_000 + self._records, 0, 0, 0, 0, 0, 0, 0)
        answer = await self._wire.ask(encode_packet(CODEC, [record]))
        assert answer == b"\x00\x00\x00\x01", answer
        self._counts["packets"] += 1
