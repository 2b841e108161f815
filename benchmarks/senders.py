"""Devices that do nothing but send: uvloop protocols in the benchmark's own process."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import TypeVar, cast

from teltonika.cli.event_loop import run
from teltonika.codecs import encode_imei, luhn_check_digit

CONNECTING = 500
"""So many connect at a time."""


def imei_of(number: int) -> str:
    digits = f"35630704{number:06d}"
    return f"{digits}{luhn_check_digit(digits)}"


class _Device(asyncio.Protocol):
    """Says its IMEI; what comes then are answers of one size."""

    def __init__(self, imei: bytes, imei_answer_size: int) -> None:
        self._imei = imei
        self._due = imei_answer_size
        self.accepted = asyncio.get_running_loop().create_future()
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.write(self._imei)

    def connection_lost(self, exc: Exception | None) -> None:
        for awaited in (self.accepted, self.done):
            if not awaited.done():
                awaited.set_exception(exc or ConnectionError("the server closed the connection"))


class OneByOne(_Device):
    """Sends each packet once the one before is answered."""

    def __init__(self, imei: bytes, imei_answer_size: int, packets: Sequence[bytes], echo: bool):
        super().__init__(imei, imei_answer_size)
        self._packets = iter(packets)
        self._echo = echo

    def data_received(self, data: bytes) -> None:
        self._due -= len(data)
        if self._due:
            return
        if self.accepted.done():
            self.send()
        else:
            self.accepted.set_result(None)

    def send(self) -> None:
        packet = next(self._packets, None)
        if packet is None:
            self.done.set_result(None)
            return
        self._due = len(packet) if self._echo else 4
        self.transport.write(packet)


class Paced(_Device):
    """Sends at moments of its own, answered or not, and keeps how long each answer took."""

    def __init__(self, imei: bytes, packets: Sequence[bytes], first_s: float, interval_s: float):
        super().__init__(imei, 1)
        self._packets = iter(packets)
        self._first_s, self._interval_s = first_s, interval_s
        self._sent: deque[float] = deque()
        self._loop = asyncio.get_running_loop()
        self._pending = b""
        self._is_sending = True
        self.latencies_s: list[float] = []

    def data_received(self, data: bytes) -> None:
        if not self.accepted.done():
            self.accepted.set_result(None)
            return
        now = time.perf_counter()
        self._pending += data
        answers, rest = divmod(len(self._pending), 4)
        self._pending = self._pending[-rest:] if rest else b""
        for _ in range(answers):
            self.latencies_s.append(now - self._sent.popleft())
        self._end()

    def send(self) -> None:
        self._due_at = self._loop.time() + self._first_s
        self._loop.call_at(self._due_at, self._send)

    def _send(self) -> None:
        packet = next(self._packets, None)
        if packet is None:
            self._is_sending = False
            self._end()
            return
        self._sent.append(time.perf_counter())
        self.transport.write(packet)
        self._due_at += self._interval_s
        self._loop.call_at(self._due_at, self._send)

    def _end(self) -> None:
        if not (self._is_sending or self._sent or self.done.done()):
            self.done.set_result(None)


D = TypeVar("D", OneByOne, Paced)


def sending(port: int, count: int, device: Callable[[int], D]) -> tuple[float, list[D]]:
    """``count`` devices connect; then all of them send. Seconds from the first packet to the last
    answer, and the devices."""
    return run(_sending(port, count, device))


async def _sending(port: int, count: int, device: Callable[[int], D]) -> tuple[float, list[D]]:
    loop = asyncio.get_running_loop()
    devices: list[D] = []
    for begin in range(0, count, CONNECTING):
        numbers = range(begin, min(begin + CONNECTING, count))
        new = [device(number) for number in numbers]
        await asyncio.gather(
            *(loop.create_connection(lambda d=one: d, "127.0.0.1", port) for one in new)
        )
        await asyncio.gather(*(one.accepted for one in new))
        devices += new
    start = time.perf_counter()
    for one in devices:
        one.send()
    await asyncio.gather(*(one.done for one in devices))
    seconds = time.perf_counter() - start
    for one in devices:
        one.transport.close()
    return seconds, devices


def one_by_one(port: int, connections: int, packets: Sequence[bytes], *, echo: bool) -> float:
    """Seconds in which ``connections`` devices send all of ``packets`` each."""

    def device(number: int) -> OneByOne:
        imei = encode_imei(imei_of(number))
        return OneByOne(imei, len(imei) if echo else 1, packets, echo)

    return sending(port, connections, device)[0]


def latencies_s(
    port: int, connections: int, packets: Sequence[bytes], packets_per_second: float
) -> list[float]:
    """Of every packet's ACK; ``connections`` devices share the rate evenly."""
    interval_s = connections / packets_per_second

    def device(number: int) -> Paced:
        first_s = interval_s * number / connections
        return Paced(encode_imei(imei_of(number)), packets, first_s, interval_s)

    _, devices = sending(port, connections, device)
    return [latency for one in devices for latency in one.latencies_s]
