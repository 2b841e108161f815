"""A stream's bytes, and room that is short, on a real Valkey."""

import asyncio
import os
from pathlib import Path

import pytest
import redis
from redis.crc import key_slot
from structlog.testing import capture_logs

from teltonika.server import ServerSettings, storage_watch
from teltonika.server.background import background
from teltonika.server.counters import Counters
from teltonika.server.deployment import Deployment, OneServer, Place, deployment_of
from teltonika.server.durability import CONFIRMED
from teltonika.server.embedded import EmbeddedValkey
from teltonika.server.keys import Keys, turn_of
from teltonika.server.publishers import Publishers
from teltonika.server.redis_url import parse_redis_url
from teltonika.server.scripts import TRIM_OLDEST
from teltonika.server.storage_watch import (
    MIB,
    PENDING_BYTES,
    StorageWatch,
    least_free_disk,
    memory_room,
    stream_parts,
)

STREAM = "telemetry:teltonika"
MESSAGES = Keys().messages
LARGE = 80_000


def size_of(client: redis.Redis) -> int:
    return int(client.memory_usage(STREAM, samples=0))


def fill(client: redis.Redis, count: int, size: int) -> None:
    pipe = client.pipeline(transaction=False)
    for _ in range(count):
        pipe.xadd(STREAM, {"payload": "x" * size})
    pipe.execute()


def trim_once(client: redis.Redis, most: int, wanted: int) -> list[int]:
    return client.eval(TRIM_OLDEST.source.decode(), 1, STREAM, most, wanted, PENDING_BYTES)


def trim(client: redis.Redis, wanted: int) -> tuple[int, int]:
    """Until so many bytes are free, as often as it takes; entries and bytes."""
    entries = freed = 0
    left = max(0, size_of(client) - wanted)
    while True:
        _, went, bytes_freed, *_ = trim_once(client, left, left)
        entries, freed = entries + went, freed + bytes_freed
        if not went:
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
    assert 2.9 * MIB <= freed <= 4.5 * MIB
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
    size, went, *_ = trim_once(client, 0, 0)
    assert abs(size - size_of(client)) < MIB // 4
    assert 5_000 < went <= 64 * 128 + 100


def test_the_newest_entry_stays_however_large_it_is(client: redis.Redis) -> None:
    fill(client, 3, LARGE)
    assert trim(client, 1 << 40)[0] == 2
    assert client.xlen(STREAM) == 1


def test_what_fits_stays_and_what_does_not_makes_some_more_room(client: redis.Redis) -> None:
    fill(client, 1_000, 10_000)
    size = size_of(client)
    assert trim_once(client, size, 0)[:3] == [size, 0, 0]
    left, went, *_ = trim_once(client, size - 1, size - MIB)
    assert 50 < went < 150
    assert size - 1.5 * MIB < left <= size - MIB


def leave_pending(client: redis.Redis, group: str, count: int) -> None:
    client.xgroup_create(STREAM, group, id="0")
    client.xreadgroup(group, "consumer", {STREAM: ">"}, count=count)


def test_what_groups_have_pending_costs_no_entry(client: redis.Redis) -> None:
    fill(client, 30_000, 10)
    leave_pending(client, "few", 10)
    leave_pending(client, "dead", 30_000)
    client.xtrim(STREAM, maxlen=2_000)
    of_entries = 2_000 * 100
    assert size_of(client) > 5 * of_entries
    _, went, _, pending, group, size = trim_once(client, of_entries, 0)
    assert (went, pending, group) == (0, 30_000, "dead")
    assert size == 30_010 * PENDING_BYTES


class Watch:
    """A `StorageWatch` as one of several instances or workers has it, and its publisher."""

    def __init__(self, redis: Deployment, stream_max_bytes: int = 8 * MIB) -> None:
        settings = ServerSettings(redis_url="redis://named", stream_max_bytes=stream_max_bytes)
        self.held_back = asyncio.Event()
        publishers = Publishers(
            redis,
            settings.keys,
            *(0, 10**9, CONFIRMED, Counters()),
            full=lambda _: self.held_back.set(),
            drained=lambda _: self.held_back.clear(),
        )
        self._storage = StorageWatch(redis, settings, publishers, Counters())
        self.run = self._storage.run


@pytest.fixture
def looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage_watch, "LOOK_PERIOD_S", 0.01)


PART = 6 * MIB
"""Of 8 MiB."""


async def looks(client: redis.Redis, count: int = 20) -> None:
    """Until Redis was asked so often how much memory it uses."""
    own, begun = 0, calls_of(client, "info")
    while calls_of(client, "info") - begun - own < count:
        own += 1
        await asyncio.sleep(0)


def calls_of(client: redis.Redis, command: str) -> int:
    return int(client.info("commandstats").get(f"cmdstat_{command}", {"calls": 0})["calls"])


@pytest.mark.usefixtures("looks_often")
async def test_a_group_that_never_acknowledges_is_reported_and_costs_no_entry(
    valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    fill(client, 60_000, 10)
    leave_pending(client, "dead", 60_000)
    client.xtrim(STREAM, maxlen=2_000)
    left = client.xlen(STREAM)
    assert size_of(client) > PART
    with capture_logs() as lines:
        async with background(Watch(deployment_of(valkey.url)).run()):
            await looks(client)
    assert client.xlen(STREAM) == left
    (line,) = [line for line in lines if line["event"] == "entries_pending"]
    assert (line["stream"], line["group"], line["pending"]) == (STREAM, "dead", 60_000)


@pytest.mark.usefixtures("looks_often")
async def test_several_watches_remove_no_more_than_one(
    valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    fill(client, 800, 8_000)
    assert size_of(client) > PART
    watches = [Watch(deployment_of(valkey.url)).run() for _ in range(8)]
    async with background(*watches):
        while size_of(client) > PART:
            await asyncio.sleep(0)
        await looks(client, 100)
    assert size_of(client) > 0.93 * PART


@pytest.mark.usefixtures("looks_often")
async def test_while_one_has_its_turn_the_others_do_not_measure(
    valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    client.set(turn_of(STREAM), "another")
    fill(client, 1_000, 8_000)
    before = size_of(client)
    client.config_resetstat()
    async with background(Watch(deployment_of(valkey.url)).run()):
        await looks(client)
        assert calls_of(client, "memory|usage") == 0
        client.delete(turn_of(STREAM))
        fill(client, 100, 8_000)
        while size_of(client) > PART:
            await asyncio.sleep(0)
    assert size_of(client) < before


@pytest.mark.usefixtures("looks_often")
async def test_a_stream_that_cannot_be_measured_leaves_the_others_bounded_and_redis_full(
    valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    client.set(MESSAGES, "x" * 2 * MIB)
    client.set("commands:responses", "x")
    fill(client, 1_000, 8_000)
    client.config_set("maxmemory", 1)
    watch = Watch(deployment_of(valkey.url))
    with capture_logs() as lines:
        async with background(watch.run()):
            await watch.held_back.wait()
            while size_of(client) > PART:
                await asyncio.sleep(0)
            await looks(client)
            assert watch.held_back.is_set()
            client.config_set("maxmemory", 0)
            while watch.held_back.is_set():
                await asyncio.sleep(0)
    refused = [line for line in lines if line["event"] == "storage_not_watched"]
    assert {line["stream"] for line in refused} == {MESSAGES, "commands:responses"}
    assert len(refused) == 2


@pytest.mark.usefixtures("looks_often")
async def test_a_connection_that_broke_does_not_make_a_full_redis_an_empty_one(
    valkey: EmbeddedValkey, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.config_set("maxmemory", 1)
    watch = Watch(deployment_of(valkey.url), 0)
    with capture_logs() as lines:
        async with background(watch.run()):
            await watch.held_back.wait()
            client.client_kill_filter(_type="normal", skipme=True)
            await looks(client)
            assert "storage_free_again" not in {line["event"] for line in lines}
            monkeypatch.setattr(storage_watch, "UNKNOWN_S", 0.0)
            client.client_kill_filter(_type="normal", skipme=True)
            while "storage_free_again" not in {line["event"] for line in lines}:
                await asyncio.sleep(0)
    assert "storage_not_watched" in {line["event"] for line in lines}


class TwoServers(OneServer):
    """As a cluster has them: the messages are on the other one."""

    def __init__(self, url: str, url_of_messages: str) -> None:
        super().__init__(parse_redis_url(url))
        self._of_messages = Place(url_of_messages)

    async def locate(self, key: str) -> Place:
        return self._of_messages if key == MESSAGES else await super().locate(key)

    def lane(self, key: str) -> int:
        return key_slot(key.encode())


async def test_without_room_for_the_messages_nothing_is_stored(
    valkey: EmbeddedValkey, tmp_path: Path
) -> None:
    """Texts would pile up; the log, and all who ask, say that nothing is stored."""
    (tmp_path / "other").mkdir()
    other = EmbeddedValkey(tmp_path / "other")
    await other.start()
    with redis.Redis.from_url(other.url) as of_messages:
        of_messages.config_set("maxmemory", 1)
    watch = Watch(TwoServers(valkey.url, other.url), 0)
    async with background(watch.run()):
        await watch.held_back.wait()
    await other.stop()


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
