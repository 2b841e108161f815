"""What a fleet costs, as a formula: fitted to a few measured sizes.

Each cost is a sum: something at the start, for each connection, for each packet a second and for
each record a second. The factors are those that fit best what was measured, by least squares of the
relative errors; none is negative.
"""

from collections.abc import Mapping, Sequence
from functools import partial

import msgspec
import numpy as np
import redis

from benchmarks.ingest import SHARD
from benchmarks.measured_server import measured_server
from benchmarks.servers import resident_bytes
from benchmarks.workloads import WORKLOADS, Workload

AT_A_TIME = 100
"""Handshakes under way."""
SHAPE = WORKLOADS[0]
"""Of all records: codec 8, 12 IO elements each."""
TERMS = ("at the start", "a connection", "a packet a second", "a record a second")


class Load(msgspec.Struct, frozen=True):
    """A fleet: so many devices that together send so much."""

    devices: int
    packets_per_s: float
    records_per_packet: int

    @property
    def terms(self) -> tuple[float, ...]:
        """What the factors of `TERMS` are multiplied with."""
        records_per_s = self.packets_per_s * self.records_per_packet
        return 1.0, float(self.devices), self.packets_per_s, records_per_s

    def __str__(self) -> str:
        return (
            f"{self.devices:,} devices, {self.packets_per_s:,.0f} packets a second, "
            f"{self.records_per_packet} records each"
        )


class Cost(msgspec.Struct, frozen=True):
    """What a load takes."""

    server_cores: float
    redis_cores: float
    server_mib: float
    """Resident, all of the process."""
    redis_commands_per_s: float
    """With those that scripts give."""
    redis_kib_per_s: float
    """Memory that is written, most of it on the stream, until it is trimmed."""


COSTS = Cost.__struct_fields__


class Model(msgspec.Struct, frozen=True):
    """Of each cost the factors of `TERMS`."""

    factors: Mapping[str, tuple[float, ...]]

    def predict(self, load: Load) -> Cost:
        return Cost(
            **{
                cost: sum(factor * term for factor, term in zip(factors, load.terms, strict=True))
                for cost, factors in self.factors.items()
            }
        )


def measure(load: Load, seconds: float, seed: int) -> Cost:
    """One server of its own, with the load on it for so long, evenly."""
    workload = Workload(str(load), SHAPE.codec, load.records_per_packet, SHAPE.widths)
    count = round(load.packets_per_s * seconds)
    warm = count // 4
    packets = workload.packets(warm + count, seed)
    with measured_server() as server:
        server.grow(load.devices, AT_A_TIME)
        server.send(packets[:warm], seconds / 4)
        commands, memory = _commands(server.redis.info("commandstats")), _memory(server.redis)
        used = server.share(partial(server.send, packets[warm:], seconds))
        commands = _commands(server.redis.info("commandstats")) - commands
        memory = _memory(server.redis) - memory
        assert server.redis.xlen(SHARD.telemetry) == (warm + count) * load.records_per_packet
        return Cost(
            server_cores=used.server,
            redis_cores=used.valkey,
            server_mib=resident_bytes(server.pid) / 2**20,
            redis_commands_per_s=commands / seconds,
            redis_kib_per_s=memory / 1024 / seconds,
        )


def fit(measured: Sequence[tuple[Load, Cost]]) -> Model:
    """Raises ValueError if there are fewer sizes than terms."""
    if len(measured) < len(TERMS):
        raise ValueError(f"{len(measured)} sizes cannot tell {len(TERMS)} terms apart")
    return Model({cost: _factors(cost, measured) for cost in COSTS})


def _factors(cost: str, measured: Sequence[tuple[Load, Cost]]) -> tuple[float, ...]:
    values = np.array([getattr(found, cost) for _, found in measured])
    rows = np.array([load.terms for load, _ in measured]) / values[:, None]
    used = list(range(len(TERMS)))
    while True:
        found, *_ = np.linalg.lstsq(rows[:, used], np.ones(len(values)), rcond=None)
        if (found >= 0).all():
            break
        used.pop(int(found.argmin()))  # it costs nothing that could be seen
    factors = dict(zip(used, map(float, found), strict=True))
    return tuple(factors.get(place, 0.0) for place in range(len(TERMS)))


def _commands(stats: Mapping[str, Mapping[str, int]]) -> int:
    return sum(one["calls"] for one in stats.values())


def _memory(client: redis.Redis) -> int:
    return int(client.info("memory")["used_memory"])
