"""What a hundred honest devices lose while others attack the same server.

Each kind of attack has a server of its own. On it the honest devices first send alone: in a closed
loop, and then half as much at moments of their own; then both again with one hostile connection,
and with fifty. A device waits for each ACK before it sends on; what an ACK took counts from the
moment at which its packet was due, and one that has not come when a phase ends with its age.
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import count
from statistics import quantiles
from typing import cast
from urllib.parse import urlsplit

import msgspec
import redis

from benchmarks.figures import Figure
from benchmarks.hostile_clients import ONE, attacking, kinds
from benchmarks.senders import imei_of
from benchmarks.servers import running_server
from teltonika.cli.event_loop import run
from teltonika.codecs import encode_imei
from teltonika.server import Listening
from teltonika.server.background import background
from teltonika.server.keys import Keys

DEVICES = 100
HOSTILE = (1, 50)
"""Connections at a time."""
CLOSED_LOOP_S, PACED_S = 1.0, 1.5
LATE_S = 10.0
"""So long an answer is waited for after the phase; then it counts with its age."""
LOOK_INTERVAL_S = 0.1
HEARTBEAT_INTERVAL_S = 1
HEARTBEAT_TTL_S = 90
OPTIONS = {
    "TELTONIKA_METRICS": "127.0.0.1:0",
    "TELTONIKA_HEARTBEAT_INTERVAL": str(HEARTBEAT_INTERVAL_S),
    "TELTONIKA_HEARTBEAT_TTL": str(HEARTBEAT_TTL_S),
}
CONNECTED = "hostile devices"
STORMS = "connection storms"
GROUPS = {
    CONNECTED: [kind.name for kind in kinds() if kind.says_imei],
    STORMS: [kind.name for kind in kinds() if not kind.says_imei],
}
"""Those that stay connected, and those that the server closes at once and that come again."""
NICENESS = 19
"""Of the attackers: on machines of their own they would take no processor from the others. Not in a
quick run, which other work may keep them from coming to their turn at all."""
ALONE = "alone"
HEALTH, HEARTBEAT = "/healthz, longest", "heartbeat, oldest"


def among(hostile: int) -> str:
    return f"with {hostile}"


def name_of(kind: str, where: str, what: str) -> str:
    """The figure's: ``where`` is `ALONE` or as `among` says it."""
    return f"{kind}, {where}, {what}"


class Felt(msgspec.Struct, frozen=True):
    """What the honest devices, and who watches the server, had of two phases."""

    packets_per_second: float
    p99_s: float
    health_s: float
    heartbeat_age_s: float


def measure(seed: int, part: int) -> Iterator[Figure]:
    """One round; everything is shorter by ``part``, and then only some kinds are measured."""
    packets = ONE.packets(2_000, seed)
    all_felt: dict[str, list[Felt]] = {}
    for name in (name for names in GROUPS.values() for name in (names if part == 1 else names[:1])):
        with running_server(OPTIONS) as server:
            all_felt[name] = run(_measure_kind(server, name, packets, part))
    for name, felt in all_felt.items():
        for where, one in zip((ALONE, *map(among, HOSTILE)), felt, strict=True):
            figures = (
                ("packets", one.packets_per_second, "packets/s"),
                ("p99", 1000 * one.p99_s, "ms"),
            )
            for what, value, unit in figures:
                beside = () if where == ALONE else (name_of(name, ALONE, what),)
                yield Figure(name_of(name, where, what), value, unit, beside)
            yield Figure(name_of(name, where, "/healthz"), 1000 * one.health_s, "ms")
            yield Figure(name_of(name, where, "heartbeat"), one.heartbeat_age_s, "s")
    every = [one for felt in all_felt.values() for one in felt]
    yield Figure(HEALTH, 1000 * max(one.health_s for one in every), "ms")
    yield Figure(HEARTBEAT, max(one.heartbeat_age_s for one in every), "s")


async def _measure_kind(
    server: Listening, name: str, packets: Sequence[bytes], part: int
) -> list[Felt]:
    """Alone, and among each number of hostile ones."""
    loop = asyncio.get_running_loop()
    devices = [_Honest(encode_imei(imei_of(number)), packets) for number in range(DEVICES)]
    for one in devices:
        await loop.create_connection(lambda d=one: d, "127.0.0.1", server.port)
    await asyncio.gather(*(one.accepted for one in devices))
    closed_s, paced_s = max(0.2, CLOSED_LOOP_S / part), max(0.2, PACED_S / part)
    alone = await _felt(server, devices, closed_s, paced_s)
    felt = [alone]
    half = alone.packets_per_second / 2
    for hostile in HOSTILE:
        attack = attacking(server.port, [name], hostile, NICENESS if part == 1 else 0)
        await asyncio.to_thread(attack.__enter__)
        try:
            felt.append(await _felt(server, devices, closed_s, paced_s, half))
        finally:
            await asyncio.to_thread(attack.__exit__, None, None, None)
        await _settled(devices)
    for one in devices:
        one.transport.close()
    return felt


async def _felt(
    server: Listening,
    devices: Sequence["_Honest"],
    closed_s: float,
    paced_s: float,
    half: float | None = None,
) -> Felt:
    """Of both phases; ``half`` a load is half of what the first gives, where it is not said."""
    looks = _Looks(server)
    async with background(looks.run()):
        rate = await _closed_loop(devices, closed_s)
        p99_s = await _paced(devices, half or rate / 2, paced_s)
    return Felt(rate, p99_s, looks.health_s(), looks.heartbeat_age_s)


async def _closed_loop(devices: Sequence["_Honest"], seconds: float) -> float:
    """Packets a second that were acknowledged, each device sending when the last one was."""
    start = time.perf_counter()
    for one in devices:
        one.send_when_acknowledged()
    await asyncio.sleep(seconds)
    took_s = time.perf_counter() - start
    acknowledged = sum(len(one.take()) for one in devices)
    for one in devices:
        one.is_closed_loop = False
    await _settled(devices)
    for one in devices:
        one.take()
    return max(acknowledged, 1) / took_s


async def _paced(devices: Sequence["_Honest"], packets_per_second: float, seconds: float) -> float:
    """The 99th percentile of what an ACK took, in seconds."""
    interval_s = len(devices) / packets_per_second
    start = time.perf_counter()
    packets = max(len(devices), round(seconds * packets_per_second))
    for number in range(packets):
        due = start + number * interval_s / len(devices)
        delay_s = due - time.perf_counter()
        if delay_s > 0.001:
            await asyncio.sleep(delay_s)
        devices[number % len(devices)].send()
    await _settled(devices)
    taken = [latency for one in devices for latency in one.take(with_waiting=True)]
    return quantiles(taken, n=100, method="inclusive")[98]


async def _settled(devices: Sequence["_Honest"]) -> None:
    """Until every packet is acknowledged, or for as long as is waited at most."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LATE_S):
            await asyncio.gather(*(one.settled() for one in devices))


class _Honest(asyncio.Protocol):
    """One that sends what it is told to, and knows how long each ACK took."""

    def __init__(self, imei: bytes, packets: Sequence[bytes]) -> None:
        loop = asyncio.get_running_loop()
        self._imei = imei
        self._packets = packets
        self._next = count()
        self._due: deque[float] = deque()
        """When each packet was to be sent that is not acknowledged; the first of them is sent."""
        self._latencies_s: list[float] = []
        self._pending = b""
        self._settled = asyncio.Event()
        self._settled.set()
        self.is_closed_loop = False
        self.accepted: asyncio.Future[None] = loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.write(self._imei)

    def data_received(self, data: bytes) -> None:
        if not self.accepted.done():
            self.accepted.set_result(None)
            return
        now = time.perf_counter()
        self._pending += data
        if len(self._pending) < 4:
            return
        self._pending = self._pending[4:]
        self._latencies_s.append(now - self._due.popleft())
        if self.is_closed_loop:
            self._due.append(now)
        if self._due:
            self._write()
        else:
            self._settled.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """The server has closed it, as it should not: what waits for an ACK waits for ever."""
        self._settled.set()
        if not self.accepted.done():
            self.accepted.set_exception(exc or ConnectionError("the server closed the connection"))

    def send_when_acknowledged(self) -> None:
        self.is_closed_loop = True
        self.send()

    def send(self) -> None:
        """At once, or when all before are acknowledged: as the protocol wants it."""
        self._settled.clear()
        self._due.append(time.perf_counter())
        if len(self._due) == 1:
            self._write()

    def _write(self) -> None:
        self.transport.write(self._packets[next(self._next) % len(self._packets)])

    async def settled(self) -> None:
        """Return once nothing waits for its ACK."""
        await self._settled.wait()

    def take(self, *, with_waiting: bool = False) -> list[float]:
        """What ACKs took since the last time, from when their packets were due; with the ages of
        those that are waited for."""
        taken, self._latencies_s = self._latencies_s, []
        now = time.perf_counter()
        return taken + ([now - due for due in self._due] if with_waiting else [])


class _Looks:
    """Asks for /healthz and for the heartbeat's age, again and again."""

    def __init__(self, server: Listening) -> None:
        assert isinstance(server.metrics, str)
        host, _, port = server.metrics.rpartition(":")
        self._address = host, int(port)
        self._redis = redis.Redis(unix_socket_path=urlsplit(server.redis).path)
        self._heartbeat = Keys().heartbeat(server.instance_id)
        self._longest_s = 0.0
        self._asked_at: float | None = None
        self.heartbeat_age_s = 0.0

    async def run(self) -> None:
        """Until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._ask_health())
                group.create_task(self._look_at_heartbeat())
        finally:
            self._redis.close()

    def health_s(self) -> float:
        """The longest answer; one that is waited for counts with its age."""
        waits_s = 0.0 if self._asked_at is None else time.perf_counter() - self._asked_at
        return max(self._longest_s, waits_s)

    async def _ask_health(self) -> None:
        while True:
            self._asked_at = asked_at = time.perf_counter()
            reader, writer = await asyncio.open_connection(*self._address)
            try:
                writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
                await reader.readuntil(b"\r\n")
            finally:
                writer.close()
            self._longest_s = max(self._longest_s, time.perf_counter() - asked_at)
            self._asked_at = None
            await asyncio.sleep(LOOK_INTERVAL_S)

    async def _look_at_heartbeat(self) -> None:
        while True:
            left_ms = cast(int, await asyncio.to_thread(self._redis.pttl, self._heartbeat))
            self.heartbeat_age_s = max(self.heartbeat_age_s, HEARTBEAT_TTL_S - left_ms / 1000)
            await asyncio.sleep(LOOK_INTERVAL_S)
