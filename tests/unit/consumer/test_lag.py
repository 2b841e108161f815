"""How far groups are behind, against streams counted by hand."""

import pytest
import redis
from own_valkey import OwnValkey
from telemetry_writing import write

from teltonika.consumer.client import open_client
from teltonika.consumer.lag import GroupLag, read_lag
from teltonika.server.keys import Keys

IMEI, OTHER = "356307042441013", "356307042441021"
STREAM = Keys().shards[0].telemetry


async def look(valkey: OwnValkey, keys: Keys | None = None) -> list[GroupLag]:
    client = open_client(valkey.url)
    try:
        return await read_lag(client, keys or Keys())
    finally:
        await client.aclose()


async def test_where_no_stream_is_no_group_is(valkey: OwnValkey) -> None:
    assert await look(valkey) == []


async def test_what_was_not_delivered_and_what_was_not_acknowledged_are_counted(
    valkey: OwnValkey, client: redis.Redis
) -> None:
    write(client, IMEI, range(10))
    client.xgroup_create(STREAM, "billing", "0")
    client.xgroup_create(STREAM, "map", "$")
    ids = [entry_id for entry_id, _ in client.xrange(STREAM)]
    client.xreadgroup("billing", "a", {STREAM: ">"}, count=4)
    client.xreadgroup("billing", "b", {STREAM: ">"}, count=2)
    client.xack(STREAM, "billing", *ids[:3])
    billing, on_map = await look(valkey)
    assert (billing.group, billing.lag, billing.lag_at_most, billing.pending) == (
        *("billing", 4, 4, 3),
    )
    (shard,) = billing.shards
    assert [(one.name, one.pending) for one in shard.consumers] == [("a", 1), ("b", 2)]
    seconds, microseconds = client.time()
    age_s = seconds + microseconds / 1e6 - int(ids[3].partition("-")[0]) / 1000
    assert billing.oldest_age_s == pytest.approx(age_s, abs=5)
    assert (on_map.group, on_map.lag, on_map.pending, on_map.oldest_age_s) == ("map", 0, 0, None)


async def test_of_all_shards_together(valkey: OwnValkey, client: redis.Redis) -> None:
    keys = Keys(stream_shards=2)
    for imei, count in ((IMEI, 3), (OTHER, 5)):
        write(client, imei, range(count), keys)
    for shard in keys.shards:
        client.xgroup_create(shard.telemetry, "billing", "0")
    client.xreadgroup("billing", "a", {keys.shards[0].telemetry: ">"}, count=1)
    (billing,) = await look(valkey, keys)
    assert (billing.lag, billing.pending, len(billing.shards)) == (7, 1, 2)


async def test_of_a_stream_trimmed_under_its_reader_what_is_left_is_counted(
    valkey: OwnValkey, client: redis.Redis
) -> None:
    write(client, IMEI, range(10))
    client.xgroup_create(STREAM, "billing", "0")
    client.xreadgroup("billing", "a", {STREAM: ">"}, count=2)
    client.xtrim(STREAM, maxlen=5, approximate=False)
    (billing,) = await look(valkey)
    assert (billing.lag, billing.pending) == (5, 2)


async def test_of_a_group_that_has_read_nothing_all_that_is_there_is_counted(
    valkey: OwnValkey, client: redis.Redis
) -> None:
    write(client, IMEI, range(10))
    ids = [entry_id for entry_id, _ in client.xrange(STREAM)]
    client.xgroup_create(STREAM, "billing", ids[2])
    client.xdel(STREAM, ids[6])
    client.xtrim(STREAM, minid=ids[3], approximate=False)
    assert client.xinfo_groups(STREAM)[0]["lag"] is None
    (billing,) = await look(valkey)
    assert billing.lag == 6


async def test_where_redis_cannot_say_it_is_unknown_and_no_more_than_the_stream_has(
    valkey: OwnValkey, client: redis.Redis
) -> None:
    write(client, IMEI, range(10))
    client.xgroup_create(STREAM, "billing", "0")
    ids = [entry_id for entry_id, _ in client.xrange(STREAM)]
    client.xreadgroup("billing", "a", {STREAM: ">"}, count=2)
    client.xdel(STREAM, ids[6])
    assert client.xinfo_groups(STREAM)[0]["lag"] is None
    (billing,) = await look(valkey)
    assert (billing.lag, billing.lag_at_most) == (None, 9)
    client.xreadgroup("billing", "a", {STREAM: ">"}, count=7)
    (billing,) = await look(valkey)
    assert (billing.lag, billing.lag_at_most) == (0, 0)
