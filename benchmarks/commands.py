"""Commands: how long from `XADD` to the answer on the stream, idle and beside telemetry.

The devices answer at once, and run in a process of their own. Beside the telemetry that is measured
without commands stands the same telemetry with them.
"""

import asyncio
import multiprocessing
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle
from statistics import median, quantiles
from typing import Any, cast

import msgspec
import redis

from benchmarks.figures import Figure
from benchmarks.ingest import KEYS, SHARD
from benchmarks.senders import imei_of
from benchmarks.workloads import WORKLOADS
from teltonika.codecs import (
    COMMAND_CODECS,
    CommandReceived,
    DeviceConnection,
    HandshakeAnswered,
    PacketAcknowledged,
    encode_message,
)
from teltonika.server import Listening

TELEMETRY = WORKLOADS[0]
COMMANDS_PER_SECOND = 50
"""Beside telemetry: to each of 100 devices one every two seconds."""


class Load(msgspec.Struct, frozen=True):
    """What the devices send."""

    devices: int
    packets: list[bytes] = []
    """None: they are idle."""
    interval_s: float = 0.0
    """Between a device's packets; 0: the next as soon as the last is acknowledged."""


class _Device(asyncio.Protocol):
    def __init__(self, imei: str, load: Load, accepted: asyncio.Semaphore) -> None:
        self._connection = DeviceConnection()
        self._connection.start(imei)
        self._packets = cycle(load.packets) if load.packets else None
        self._interval_s = load.interval_s
        self._accepted = accepted

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._connection.data_to_send())

    def data_received(self, data: bytes) -> None:
        for event in self._connection.receive_data(data):
            match event:
                case CommandReceived(message):
                    codec = COMMAND_CODECS.by_id(message.codec_id)
                    self._transport.write(encode_message(codec.answer(message, b"ok")))
                case PacketAcknowledged():
                    if not self._interval_s:
                        self._send()
                case HandshakeAnswered(accepted=True):
                    self._accepted.release()
                    self._send()

    def _send(self) -> None:
        if self._packets is None or self._transport.is_closing():
            return
        self._transport.write(next(self._packets))
        if self._interval_s:
            asyncio.get_running_loop().call_later(self._interval_s, self._send)


async def _run_devices(port: int, load: Load, connected: Any, stop: Any) -> None:
    loop = asyncio.get_running_loop()
    accepted = asyncio.Semaphore(0)
    for number in range(load.devices):
        await loop.create_connection(
            lambda n=number: _Device(imei_of(n), load, accepted),  # type: ignore[misc]
            "127.0.0.1",
            port,
        )
        if load.interval_s:  # they do not beat together
            await asyncio.sleep(load.interval_s / load.devices)
    for _ in range(load.devices):
        await accepted.acquire()
    connected.set()
    await loop.run_in_executor(None, stop.wait)


def _devices(port: int, load: Load, connected: Any, stop: Any) -> None:
    import uvloop  # noqa: PLC0415

    uvloop.run(_run_devices(port, load, connected, stop))


@contextmanager
def running_devices(port: int, load: Load) -> Iterator[None]:
    """A process of devices, all of them connected."""
    context = multiprocessing.get_context("spawn")
    connected, stop = context.Event(), context.Event()
    process = context.Process(target=_devices, args=(port, load, connected, stop))
    process.start()
    connected.wait()
    try:
        yield
    finally:
        stop.set()
        process.join()


class Business:
    """Who sends commands, and reads what became of them."""

    def __init__(self, server: Listening, seed: int) -> None:
        self._redis = redis.Redis.from_url(
            server.redis, decode_responses=True, socket_timeout=None, protocol=2
        )
        self._stream = KEYS.outbound(server.instance_id)
        self._after = "0"
        self._sent = 0
        self._rng = random.Random(seed)

    def burst(self, devices: int) -> float:
        """Seconds until each of the devices has answered one command."""
        start = time.perf_counter()
        pipeline = self._redis.pipeline(transaction=False)
        for number in range(devices):
            pipeline.xadd(self._stream, self._command(number))
        pipeline.execute()
        self._wait(devices)
        return time.perf_counter() - start

    def latencies_ms(self, devices: int, count: int) -> list[float]:
        """Of commands one after another, each to any device, from XADD to `responded`."""
        latencies = []
        for _ in range(count):
            command = self._command(self._rng.randrange(devices))
            start = time.perf_counter()
            self._redis.xadd(self._stream, command)
            self._wait(1)
            latencies.append((time.perf_counter() - start) * 1000)
        return latencies

    def wait_for_telemetry(self) -> None:
        """Until a first record has landed: connected devices need not have sent one yet."""
        reply = self._redis.xread({SHARD.telemetry: "0"}, count=1, block=10_000)
        assert reply, "no telemetry landed in ten seconds"

    def records_per_second(self, seconds: float, devices: int, *, commands: bool) -> float:
        """How fast telemetry lands meanwhile, with or without commands beside it.

        It takes longer where nothing lands: what has no rate is beside nothing.
        """
        start, before = time.perf_counter(), self._records()
        until = start + seconds
        while (now := time.perf_counter()) < until or self._records() == before:
            if commands:
                self._redis.xadd(self._stream, self._command(self._rng.randrange(devices)))
                self._wait(1)
            pause = now + 1 / COMMANDS_PER_SECOND - time.perf_counter()
            time.sleep(max(0.0, pause if commands else until - now))
        return (self._records() - before) / (time.perf_counter() - start)

    def _records(self) -> int:
        info = cast("dict[str, Any]", self._redis.xinfo_stream(SHARD.telemetry))
        return int(info["entries-added"])

    def _command(self, number: int) -> dict[Any, Any]:
        self._sent += 1
        return {"command_id": f"c{self._sent}", "imei": imei_of(number), "payload": "getver"}

    def _wait(self, count: int) -> None:
        """Until so many commands more have been answered."""
        while count:
            stream = {KEYS.responses: self._after}
            reply = cast("list[Any]", self._redis.xread(stream, block=10_000))
            assert reply, "a command was not answered in ten seconds"
            for entry_id, status in reply[0][1]:
                self._after = entry_id
                assert status["status"] in ("delivered", "responded"), status
                count -= status["status"] == "responded"


def measure(
    server: Listening,
    *,
    seed: int,
    devices: int,
    senders: int,
    count: int,
    seconds: float,
) -> Iterator[Figure]:
    """One round; ``count`` latencies, ``seconds`` of telemetry (W1) with and without commands."""
    business = Business(server, seed)
    packets = TELEMETRY.packets(50, seed)
    with running_devices(server.port, Load(devices)):
        burst_s = business.burst(devices)
        yield Figure(f"one to each of {devices:,} devices", devices / burst_s, "commands/s")
        yield from _percentiles("idle", business.latencies_ms(devices, count))
    with running_devices(server.port, Load(senders, packets)):
        business.wait_for_telemetry()
        # without, with, with, without: a stream that fills up slows both down alike
        rates = [
            business.records_per_second(seconds, senders, commands=commands)
            for commands in (False, True, True, False)
        ]
    alone = (rates[0] + rates[3]) / 2
    interval_s = senders * TELEMETRY.records_per_packet / (alone / 2)
    with running_devices(server.port, Load(senders, packets, interval_s)):
        yield from _percentiles("telemetry at half", business.latencies_ms(senders, count))
    beside = f"telemetry with {COMMANDS_PER_SECOND} commands a second"
    yield Figure("telemetry alone", alone, "records/s")
    yield Figure(beside, (rates[1] + rates[2]) / 2, "records/s", ("telemetry alone",))


def _percentiles(when: str, latencies_ms: list[float]) -> Iterator[Figure]:
    yield Figure(f"{when}, median", median(latencies_ms), "ms")
    yield Figure(f"{when}, p99", quantiles(latencies_ms, n=100, method="inclusive")[98], "ms")
