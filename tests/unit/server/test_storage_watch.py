"""A stream's bytes, and room that is short, on a real Valkey."""

import os

import pytest
import redis

from teltonika.server import ServerSettings
from teltonika.server.keys import Keys
from teltonika.server.scripts import TRIM_OLDEST
from teltonika.server.storage_watch import (
    MIB,
    least_free_disk,
    memory_room,
    stream_parts,
)

STREAM = "telemetry:teltonika"
LARGE = 80_000


def size_of(client: redis.Redis) -> int:
    return int(client.memory_usage(STREAM, samples=0))


def fill(client: redis.Redis, count: int, size: int) -> None:
    pipe = client.pipeline(transaction=False)
    for _ in range(count):
        pipe.xadd(STREAM, {"payload": "x" * size})
    pipe.execute()


def trim(client: redis.Redis, wanted: int) -> tuple[int, int]:
    """Entries and bytes, as often as it takes."""
    entries = freed = 0
    while freed < wanted:
        went, bytes_freed = client.eval(TRIM_OLDEST.source.decode(), 1, STREAM, wanted - freed)
        entries, freed = entries + went, freed + bytes_freed
        if not went:
            break
    return entries, freed


@pytest.mark.parametrize(
    ("old", "new"),
    [((20_000, 300), (0, 0)), ((20_000, 300), (100, LARGE)), ((100, LARGE), (20_000, 300))],
)
def test_the_oldest_entries_go_until_so_many_bytes_are_free_and_few_more(
    old: tuple[int, int], new: tuple[int, int], client: redis.Redis
) -> None:
    fill(client, *old)
    fill(client, *new)
    before, (newest, _) = size_of(client), client.xrevrange(STREAM, count=1)[0]
    entries, freed = trim(client, 3 * MIB)
    assert entries + client.xlen(STREAM) == old[0] + new[0]
    assert 3 * MIB <= freed <= 4.5 * MIB
    assert abs(before - size_of(client) - freed) < MIB // 4
    assert client.xrevrange(STREAM, count=1)[0][0] == newest


def test_it_is_trimmed_while_redis_is_out_of_memory(client: redis.Redis) -> None:
    fill(client, 100, LARGE)
    client.config_set("maxmemory", 1)
    with pytest.raises(redis.exceptions.OutOfMemoryError):
        client.xadd(STREAM, {"payload": ""})
    assert trim(client, 4 * MIB)[1] >= 4 * MIB


def test_one_call_takes_a_bounded_number_of_entries(client: redis.Redis) -> None:
    fill(client, 20_000, 300)
    went, _ = client.eval(TRIM_OLDEST.source.decode(), 1, STREAM, 1 << 40)
    assert 5_000 < went <= 64 * 128 + 100


def test_the_newest_entry_stays_however_large_it_is(client: redis.Redis) -> None:
    fill(client, 3, LARGE)
    assert trim(client, 1 << 40)[0] == 2
    assert client.xlen(STREAM) == 1


def test_telemetry_has_three_quarters_and_its_shards_share_them() -> None:
    keys = Keys(stream_shards=4)
    parts = stream_parts(keys, 1_024 * MIB)
    assert {parts[shard.telemetry] for shard in keys.shards} == {192 * MIB}
    assert parts[keys.messages] == parts[keys.responses] == 128 * MIB
    assert sum(parts.values()) == 1_024 * MIB
    assert not any(stream_parts(keys, 0).values())


def test_by_default_only_an_embedded_valkey_has_a_bound() -> None:
    physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert 0 < ServerSettings().stored_bytes <= physical // 4
    assert ServerSettings(redis_url="redis://somewhere").stored_bytes == 0
    assert ServerSettings(stream_max_bytes=5).stored_bytes == 5
    assert ServerSettings(stream_max_bytes=0).stored_bytes == 0


def test_a_small_disk_and_a_small_redis_need_less_room() -> None:
    assert least_free_disk(None, 1 << 40) == 512 * MIB
    assert least_free_disk(None, 100 * MIB) == 5 * MIB
    assert least_free_disk(7, 1 << 40) == 7
    assert memory_room(1 << 40) == 64 * MIB
    assert memory_room(160 * MIB) == 10 * MIB
