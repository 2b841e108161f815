"""Devices in a process of their own that cost as little as can be: connected, and mostly silent.

A connection is an `asyncio.Protocol` on uvloop and nothing else, so that what is measured on the
other end is not kept waiting. They come from many addresses of the loopback, as one has too few
ports; none of them is over the server's default limit for an address.
"""

import asyncio
import multiprocessing
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import cast

from benchmarks.senders import imei_of
from teltonika.codecs import encode_imei
from teltonika.server.connection_limits import RESERVED_DESCRIPTORS, raise_descriptor_limit

ADDRESSES = 100
"""Of the loopback's: 127.0.0.1 and those that follow it."""
IMEI_ACCEPTED = b"\x01"
ACK_SIZE = 4


@dataclass(frozen=True)
class _Grow:
    devices: int
    at_a_time: int


@dataclass(frozen=True)
class _Send:
    packets: list[bytes]
    seconds: float


@dataclass(frozen=True)
class Grown:
    """More devices are connected; each one's IMEI was accepted."""

    handshakes: int
    seconds: float
    core_s: float
    """Processor time of the devices' own process."""


class Devices:
    """Those of one process: `running_devices` starts it. EOFError: it has failed, and says why."""

    def __init__(self, orders: Connection) -> None:
        self._orders = orders

    def grow(self, devices: int, at_a_time: int) -> Grown:
        """Until so many are connected in all, with so many handshakes under way at a time.

        SystemExit: the system does not allow so many.
        """
        possible = raise_descriptor_limit() - RESERVED_DESCRIPTORS
        if devices > possible:
            raise SystemExit(
                f"{devices:,} connections need more than the {possible:,} that the limit for open "
                "files (ulimit -Hn) allows"
            )
        self._orders.send(_Grow(devices, at_a_time))
        return cast(Grown, self._orders.recv())

    def send(self, packets: list[bytes], seconds: float) -> None:
        """Each packet from the next device, evenly spread over so long; until the last ACK."""
        self._orders.send(_Send(packets, seconds))
        self._orders.recv()


@contextmanager
def running_devices(port: int) -> Iterator[Devices]:
    """None is connected yet; in the end all are gone at once."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_run, args=(theirs, port), daemon=True)
    process.start()
    theirs.close()  # or nobody would see that the process has ended
    try:
        yield Devices(ours)
    finally:
        ours.close()
        process.kill()
        process.join()


class _Device(asyncio.Protocol):
    def __init__(self, imei: str) -> None:
        self._imei = imei
        self._due = len(IMEI_ACCEPTED)
        self.answer: asyncio.Future[None] | None = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(encode_imei(self._imei))

    def data_received(self, data: bytes) -> None:
        self._due -= len(data)
        if not self._due and self.answer is not None:
            self.answer.set_result(None)
            self.answer = None

    def connection_lost(self, exc: Exception | None) -> None:
        if self.answer is not None and not self.answer.done():
            self.answer.set_exception(ConnectionResetError("the server closed a connection"))

    def send(self, packet: bytes) -> asyncio.Future[None]:
        self._due = ACK_SIZE
        self.answer = asyncio.get_running_loop().create_future()
        self._transport.write(packet)
        return self.answer


class _Fleet:
    def __init__(self, port: int) -> None:
        self._port = port
        self._devices: list[_Device] = []
        self._next = 0

    async def grow(self, order: _Grow) -> Grown:
        before = len(self._devices)
        numbers = iter(range(before, order.devices))
        start, used = time.perf_counter(), time.process_time()
        async with asyncio.TaskGroup() as group:
            for _ in range(order.at_a_time):
                group.create_task(self._connect(numbers))
        seconds, core_s = time.perf_counter() - start, time.process_time() - used
        return Grown(len(self._devices) - before, seconds, core_s)

    async def _connect(self, numbers: Iterator[int]) -> None:
        loop = asyncio.get_running_loop()
        for number in numbers:
            device = _Device(imei_of(number))
            answer = device.answer
            assert answer is not None
            source = (f"127.0.0.{1 + number % ADDRESSES}", 0)
            await loop.create_connection(
                lambda one=device: one,  # type: ignore[misc]
                "127.0.0.1",
                self._port,
                local_addr=source,
            )
            await answer
            self._devices.append(device)

    async def send(self, order: _Send) -> None:
        loop = asyncio.get_running_loop()
        start = loop.time()
        answers = []
        for number, packet in enumerate(order.packets):
            device = self._devices[self._next % len(self._devices)]
            self._next += 1
            answers.append(device.send(packet))
            due = start + (number + 1) * order.seconds / len(order.packets)
            await asyncio.sleep(due - loop.time())
        await asyncio.gather(*answers)


def _run(orders: Connection, port: int) -> None:
    import uvloop  # noqa: PLC0415

    raise_descriptor_limit()

    async def obey() -> None:
        fleet = _Fleet(port)
        loop = asyncio.get_running_loop()
        while True:
            match await loop.run_in_executor(None, orders.recv):
                case _Grow() as order:
                    orders.send(await fleet.grow(order))
                case _Send() as order:
                    await fleet.send(order)
                    orders.send(None)

    uvloop.run(obey())
