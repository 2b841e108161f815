"""What emulated devices cost: processor time at one packet a second, memory; their greatest rate.

The other end is a sink: a process that accepts every IMEI and acknowledges every packet without
looking into it, as fast as it can. It is no limit to speak of; the ingest table has the server's.
"""

import asyncio
import multiprocessing
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from typing import cast

import msgspec
import psutil

from benchmarks.figures import Figure
from benchmarks.servers import running_protocol
from teltonika.cli.event_loop import run
from teltonika.codecs import consecutive_imeis
from teltonika.emulator import EmulatorSettings, Fleet

IMEI_SIZE, HEADER_SIZE, CRC_SIZE = 17, 8, 4
FIRST_IMEI = "356307042441000"


class Measured(msgspec.Struct):
    """Of one process."""

    core_share: float
    """Of one core, at one packet a second from each device."""
    kib_a_device: float
    flat_out: float
    """Packets of one record a second."""


class _Sink(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._buffer = b""
        self._is_open = False

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer + data
        if not self._is_open and len(buffer) >= IMEI_SIZE:
            self._is_open = True
            buffer = buffer[IMEI_SIZE:]
            self._transport.write(b"\x01")
        while self._is_open and len(buffer) > HEADER_SIZE + 1:
            size = HEADER_SIZE + int.from_bytes(buffer[4:8]) + CRC_SIZE
            if len(buffer) < size:
                break
            self._transport.write(bytes((0, 0, 0, buffer[9])))
            buffer = buffer[size:]
        self._buffer = buffer


def measure(devices: int, seconds: float) -> Iterator[Figure]:
    """``devices`` for so long; then 50 of them without pauses."""
    measured = measure_apart(devices, seconds)
    yield Figure(f"{devices:,} devices, one packet a second each", measured.core_share, "cores")
    yield Figure("memory for each device", measured.kib_a_device, "KiB")
    yield Figure("flat out, 50 devices in one process", measured.flat_out, "packets/s")


def measure_apart(devices: int, seconds: float) -> Measured:
    """In a process of their own."""
    context = multiprocessing.get_context("spawn")  # a forked one has what its parent has freed
    ours, theirs = context.Pipe()
    with running_protocol(_Sink) as port:
        process = context.Process(target=_measure, args=(theirs, port, devices, seconds))
        process.start()
        measured: Measured = ours.recv()
        process.join()
    return measured


def _measure(told: Connection, port: int, devices: int, seconds: float) -> None:
    process = psutil.Process()

    async def paced() -> tuple[float, float]:
        settings = EmulatorSettings(port=port, records=0, interval_s=1.0)
        before = process.memory_info().rss
        ramp = devices / min(2.0, seconds)
        fleet = Fleet(consecutive_imeis(FIRST_IMEI, devices), settings, ramp=ramp)
        async with asyncio.TaskGroup() as group:
            group.create_task(fleet.run())
            while fleet.counts().connected < devices:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
            start, used = time.perf_counter(), sum(process.cpu_times()[:2])
            await asyncio.sleep(seconds)
            share = (sum(process.cpu_times()[:2]) - used) / (time.perf_counter() - start)
            memory = process.memory_info().rss - before
            fleet.stop()
        return share, memory / devices / 1024

    async def flat_out() -> float:
        settings = EmulatorSettings(port=port, records=0, interval_s=0.0)
        fleet = Fleet(consecutive_imeis(FIRST_IMEI, 50), settings)
        async with asyncio.TaskGroup() as group:
            group.create_task(fleet.run())
            await asyncio.sleep(0.2)
            start, before = time.perf_counter(), fleet.counts().packets_acknowledged
            await asyncio.sleep(seconds / 2)
            rate = (fleet.counts().packets_acknowledged - before) / (time.perf_counter() - start)
            fleet.stop()
        return rate

    rate = run(flat_out())  # before: what the first devices bring once is none of the others'
    share, kib = run(paced())
    told.send(Measured(share, kib, rate))
