"""What connections cost the server: memory for each, handshakes, processor time.

Each function is one round on a `teltonika serve` of its own. The devices run in a process of their
own, and Valkey does in any case: neither counts in what the server takes.
"""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from benchmarks.figures import Figure
from benchmarks.measured_server import Used, measured_server
from benchmarks.servers import resident_bytes
from benchmarks.workloads import WORKLOADS

MEMORY_SIZES = (1_000, 5_000, 10_000)
HANDSHAKES = 10_000
AT_A_TIME = 100
"""Handshakes under way: with few the server waits for each sync to the disk; with hundreds it is
bound by its one core."""
PROCESSOR_SIZE = 10_000
WINDOW_S = 6.0
PACKET_INTERVAL_S = 60.0
"""Between two packets of a device."""
WORKLOAD = next(workload for workload in WORKLOADS if workload.records_per_packet == 1)

SILENT_PART = 0.5
"""Of the window: a silent server does the same every second."""
UPKEEP_PART = 0.3
NO_UPKEEP = {
    "TELTONIKA_HEARTBEAT_INTERVAL": "3600",
    "TELTONIKA_HEARTBEAT_TTL": "7200",
    "TELTONIKA_JANITOR_INTERVAL": "3600",
}
MINUTE_OF_UPKEEP_A_SECOND = {
    "TELTONIKA_HEARTBEAT_INTERVAL": "0.5",
    "TELTONIKA_JANITOR_INTERVAL": "1",
}
"""Two heartbeats and a janitor's look are what the defaults do in a minute: too rare to be caught
in a window of seconds, or to be the same in each."""


@dataclass(frozen=True)
class Resident:
    """The server's memory with so many silent connections."""

    connections: int
    resident_bytes: int
    bytes_each: float
    """What it has grown by since its start, by the connections."""


@dataclass(frozen=True)
class Memory:
    start_bytes: int
    """Resident before the first connection."""
    growth: tuple[Resident, ...]

    @property
    def bytes_each_more(self) -> float:
        """From the first size to the last: without what the first connections bring once."""
        first, last = self.growth[0], self.growth[-1]
        if first is last:
            return last.bytes_each
        grown = last.resident_bytes - first.resident_bytes
        return grown / (last.connections - first.connections)


@dataclass(frozen=True)
class Handshakes:
    """From `connect` to the byte that lets a device send."""

    count: int
    at_a_time: int
    seconds: float
    registered_s: float
    """Until the registry had every device: it is written behind the answers."""
    core_s: Used
    devices_core_s: float
    """Of the devices' process: with the two others it makes out what the rate is bound by."""
    limit_s: float
    """For the same commands to Valkey, from a bare client that has as many on their way."""

    @property
    def rate(self) -> float:
        """Handshakes a second."""
        return self.count / self.seconds

    @property
    def of_limit(self) -> float:
        """The rate, by what Valkey and its disk allow."""
        return self.limit_s / self.seconds

    @property
    def server_us(self) -> float:
        """Processor time that the server takes for one."""
        return 1e6 * self.core_s.server / self.count


@dataclass(frozen=True)
class Processor:
    """Shares of one core, with so many connections."""

    connections: int
    silent: Used
    """Nobody says anything; heartbeats and registry included, at their default intervals."""
    upkeep: Used
    """The part of these that heartbeats and the janitor are."""
    sending: Used
    """Each device sends its packet a minute; upkeep included."""
    packets_per_second: float

    @property
    def server_us_a_packet(self) -> float:
        """What sending adds to being connected."""
        return 1e6 * (self.sending.server - self.silent.server) / self.packets_per_second


@dataclass(frozen=True)
class ProcessorGrowth:
    growth: tuple[Processor, ...]


def measure(seed: int, part: int) -> Iterator[Figure]:
    """One round; everything is smaller by ``part``."""
    for resident in memory(tuple(size // part for size in MEMORY_SIZES)).growth:
        name = memory_name(resident.connections * part)
        yield Figure(name, resident.bytes_each / 1024, "KiB")
    opened = handshakes(HANDSHAKES // part)
    bare = "handshakes, Valkey alone"
    under_way = f"handshakes, {opened.at_a_time:,} under way"
    yield Figure(under_way, opened.rate, "handshakes/s", (bare,))
    yield Figure(bare, opened.count / opened.limit_s, "handshakes/s")
    yield Figure("handshakes, of the server each", opened.server_us, "µs")
    (used,) = processor((PROCESSOR_SIZE // part,), max(1.0, WINDOW_S / part), seed).growth
    devices = f"{PROCESSOR_SIZE:,}"
    for what, shares in (("silent", used.silent), ("a packet a minute each", used.sending)):
        yield Figure(f"{devices}, {what}, server", shares.server, "cores")
        yield Figure(f"{devices}, {what}, Valkey", shares.valkey, "cores")


def memory_name(connections: int) -> str:
    return f"{connections:,} idle, memory for each"


def memory(sizes: tuple[int, ...], at_a_time: int = AT_A_TIME) -> Memory:
    """One server, growing from size to size; all its connections have said their IMEI."""
    with measured_server() as server:
        start = resident_bytes(server.pid)
        growth = []
        for size in sizes:
            server.grow(size, at_a_time)
            resident = resident_bytes(server.pid)
            growth.append(Resident(size, resident, (resident - start) / size))
        return Memory(start, tuple(growth))


def handshakes(count: int, at_a_time: int = AT_A_TIME) -> Handshakes:
    """So many, each a connection that stays; ``at_a_time`` are under way."""
    with measured_server() as server:
        server.grow(1, 1)  # what comes with the first is not what is measured
        before, start = server.used(), time.perf_counter()
        grown = server.grow(1 + count, at_a_time)
        registered_s, core_s = time.perf_counter() - start, server.used() - before
        limit_s = server.open_connections(count, at_a_time)
        return Handshakes(
            count, at_a_time, grown.seconds, registered_s, core_s, grown.core_s, limit_s
        )


def processor(
    sizes: tuple[int, ...],
    window_s: float,
    seed: int,
    at_a_time: int = AT_A_TIME,
) -> ProcessorGrowth:
    """One server that grows, silent and sending at each size; another one for the upkeep alone."""
    assert window_s <= PACKET_INTERVAL_S
    silent, sending, often = [], [], []
    counts = [math.ceil(size * window_s / PACKET_INTERVAL_S) for size in sizes]
    with measured_server(NO_UPKEEP) as server:
        for size, count in zip(sizes, counts, strict=True):
            packets = WORKLOAD.packets(count, seed)
            server.grow(size, at_a_time)
            silent.append(server.share(partial(time.sleep, SILENT_PART * window_s)))
            sending.append(server.share(partial(server.send, packets, window_s)))
    with measured_server(MINUTE_OF_UPKEEP_A_SECOND) as server:
        for size in sizes:
            server.grow(size, at_a_time)
            often.append(server.share(partial(time.sleep, UPKEEP_PART * window_s)))
    growth = []
    for size, count, alone, loaded, kept_up in zip(
        sizes, counts, silent, sending, often, strict=True
    ):
        minute = kept_up - alone
        upkeep = Used(minute.server / 60, minute.valkey / 60)
        growth.append(Processor(size, alone + upkeep, upkeep, loaded + upkeep, count / window_s))
    return ProcessorGrowth(tuple(growth))
