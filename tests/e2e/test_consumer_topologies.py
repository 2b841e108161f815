"""A consumer behind Sentinels and on a Redis Cluster, a primary killed in the middle."""

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
import redis
from cluster import Cluster
from redis.exceptions import RedisClusterException
from sentinels import Sentinels
from serving import run_teltonika
from telemetry_writing import number_of, write
from topology import Topology
from valkey_node import Node

from teltonika.consumer import TelemetryConsumer
from teltonika.server.keys import Keys

IMEIS = ("356307042441013", "356307042441021")


def primary_of(topology: Topology, stream: str) -> Node:
    if isinstance(topology, Cluster):
        return topology.primary_of(stream)
    assert isinstance(topology, Sentinels)
    return topology.primary


async def write_when_it_takes_it(
    client: "redis.Redis | redis.RedisCluster", imei: str, numbers: Iterable[int], keys: Keys
) -> None:
    """Nothing is written twice: what was written is known by the stream's own memory."""
    numbers = list(numbers)
    while True:
        with contextlib.suppress(redis.RedisError, RedisClusterException, AssertionError):
            await asyncio.to_thread(write, client, imei, numbers, keys)
        with contextlib.suppress(redis.RedisError, RedisClusterException):
            shard = keys.shards[keys.shard_of(imei)]
            entries = await asyncio.to_thread(client.xrange, shard.telemetry)
            if {number_of(e["ts"]) for _, e in entries if e["device_id"] == imei} >= set(numbers):
                return


@pytest.mark.parametrize(
    ("start", "shards"), [(Sentinels, 1), (Cluster, 2)], ids=["sentinels", "cluster"]
)
async def test_a_consumer_reads_on_when_a_primary_is_killed(
    start: Callable[[Path], Topology], shards: int, tmp_path: Path
) -> None:
    keys = Keys(stream_shards=shards)
    found: dict[str, set[int]] = {imei: set() for imei in IMEIS}
    with start(tmp_path / "redis") as topology, topology.client() as client:
        client.set(keys.shards_recorded, shards)
        for imei in IMEIS:
            write(client, imei, range(50), keys)
        async with TelemetryConsumer(
            topology.url, group="test", consumer="a", max_records=20, claim_idle_s=1.0
        ) as consumer:

            async def read_until(count: int) -> None:
                while min(map(len, found.values())) < count:
                    batch = await anext(consumer)
                    for record in batch.records:
                        found[record.imei].add(number_of(record.timestamp))
                    await batch.ack()

            await read_until(30)
            primary_of(topology, keys.shards[0].telemetry).kill()
            for imei in IMEIS:
                await write_when_it_takes_it(client, imei, range(50, 100), keys)
            await read_until(100)
        told = run_teltonika("lag", "--redis", topology.url, "--max-lag", "0")
        assert (told.returncode, told.stderr) == (0, "")
        assert told.stdout.count("telemetry:teltonika") == shards
    assert found == {imei: set(range(100)) for imei in IMEIS}
