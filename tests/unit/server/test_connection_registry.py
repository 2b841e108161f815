"""Which instance holds which device, in a real Valkey: nobody touches another's entries."""

import time

import pytest
import redis
import redis.asyncio

from teltonika.server import connection_registry as connection_registry_module
from teltonika.server.background import background
from teltonika.server.connection_registry import ConnectionRegistry
from teltonika.server.deployment import deployment_of
from teltonika.server.embedded import EmbeddedValkey
from teltonika.server.keys import Keys
from teltonika.server.redis_writer import RedisWriter
from teltonika.server.scripts import SCRIPTS

IMEI = "356307042441013"
OTHER_IMEI = "356307042441021"
MOVED_IMEI = "356307042441039"
KEYS = Keys()


def registry_for(
    writer: RedisWriter, instance_id: str = "here", run: str = "run-1"
) -> ConnectionRegistry:
    return ConnectionRegistry(writer, KEYS, instance_id, run)


def entries(client: redis.Redis) -> dict[str, str]:
    """IMEIs and instances; each has a time, and no other IMEI has one."""
    registry: dict[str, str] = client.hgetall(KEYS.registry)
    assert registry.keys() == set(client.hkeys(KEYS.connected_since))
    return registry


def put(client: redis.Redis, imei: str, instance_id: str, since_ms: int = 0) -> None:
    """An entry as another instance would write it."""
    client.hset(KEYS.registry, imei, instance_id)
    client.hset(KEYS.connected_since, imei, since_ms)


async def test_a_connected_device_has_an_entry_and_the_time_it_came(
    valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    writer = RedisWriter(deployment_of(valkey.url), SCRIPTS)
    registry = registry_for(writer)
    async with background(writer.run()):
        before_ms = time.time_ns() // 1_000_000
        registry.connected(IMEI)
        after_ms = time.time_ns() // 1_000_000
        await registry.flush()
    assert entries(client) == {IMEI: "here"}
    assert before_ms <= int(client.hget(KEYS.connected_since, IMEI)) <= after_ms
    assert client.hgetall(KEYS.runs) == {"here": "run-1"}


async def test_changes_are_written_as_they_come(
    valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    writer = RedisWriter(deployment_of(valkey.url), SCRIPTS)
    registry = registry_for(writer)
    async with (
        redis.asyncio.Redis.from_url(valkey.url) as other,
        other.monitor() as monitor,
        background(writer.run(), registry.run()),
    ):
        for happens, expected in (
            (registry.connected, {IMEI: "here"}),
            (registry.disconnected, {}),
        ):
            happens(IMEI)
            while not (await monitor.next_command())["command"].startswith("EVALSHA"):
                pass
            assert entries(client) == expected


async def test_a_devices_last_change_is_what_counts(
    valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    writer = RedisWriter(deployment_of(valkey.url), SCRIPTS)
    registry = registry_for(writer)
    registry.connected(IMEI)
    registry.disconnected(IMEI)
    registry.connected(IMEI)
    registry.connected(OTHER_IMEI)
    registry.disconnected(OTHER_IMEI)
    async with background(writer.run()):
        await registry.flush()
    assert entries(client) == {IMEI: "here"}


async def test_a_device_that_comes_from_another_instance_is_this_ones(
    valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    put(client, IMEI, "there", since_ms=1)
    writer = RedisWriter(deployment_of(valkey.url), SCRIPTS)
    registry = registry_for(writer)
    async with background(writer.run()):
        registry.connected(IMEI)
        await registry.flush()
    assert entries(client) == {IMEI: "here"}
    assert int(client.hget(KEYS.connected_since, IMEI)) > 1


async def test_an_old_connections_end_leaves_another_instances_entry(
    valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    writer = RedisWriter(deployment_of(valkey.url), SCRIPTS)
    here, there = registry_for(writer), registry_for(writer, "there", "run-2")
    async with background(writer.run()):
        for imei in (IMEI, OTHER_IMEI):
            here.connected(imei)
        await here.flush()
        there.connected(IMEI)
        await there.flush()
        since = client.hget(KEYS.connected_since, IMEI)
        for imei in (IMEI, OTHER_IMEI):
            here.disconnected(imei)
        await here.flush()
    assert entries(client) == {IMEI: "there"}
    assert client.hget(KEYS.connected_since, IMEI) == since


async def test_an_entry_that_is_gone_is_nothing_to_remove(
    valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    writer = RedisWriter(deployment_of(valkey.url), SCRIPTS)
    registry = registry_for(writer)
    async with background(writer.run()):
        registry.connected(IMEI)
        await registry.flush()
        client.flushall()
        registry.disconnected(IMEI)
        await registry.flush()
    assert entries(client) == {}


async def test_restoring_fills_in_what_is_missing_and_nothing_else(
    valkey: EmbeddedValkey, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_registry_module, "PAGE", 2)
    imeis = [f"{number:015}" for number in range(7)]
    writer = RedisWriter(deployment_of(valkey.url), SCRIPTS)
    registry = registry_for(writer)
    for imei in imeis:
        registry.connected(imei)
    async with background(writer.run()):
        await registry.flush()
        since = client.hgetall(KEYS.connected_since)
        assert since.keys() == set(imeis)
        client.flushall()
        put(client, imeis[3], "there", since_ms=1)
        put(client, OTHER_IMEI, "there", since_ms=2)
        await registry.restore()
    expected = dict.fromkeys(imeis, "here") | {imeis[3]: "there", OTHER_IMEI: "there"}
    assert entries(client) == expected
    assert client.hgetall(KEYS.connected_since) == since | {imeis[3]: "1", OTHER_IMEI: "2"}


async def test_restoring_brings_back_no_device_that_is_gone(
    valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    writer = RedisWriter(deployment_of(valkey.url), SCRIPTS)
    registry = registry_for(writer)
    async with background(writer.run()):
        for imei in (IMEI, OTHER_IMEI):
            registry.connected(imei)
        await registry.flush()
        client.flushall()
        registry.disconnected(IMEI)
        await registry.restore()
    assert entries(client) == {OTHER_IMEI: "here"}


async def test_restoring_writes_what_has_just_changed_first(
    valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    put(client, IMEI, "there")
    writer = RedisWriter(deployment_of(valkey.url), SCRIPTS)
    registry = registry_for(writer)
    async with background(writer.run()):
        registry.connected(IMEI)
        await registry.restore()
    assert entries(client) == {IMEI: "here"}


async def test_a_run_that_was_superseded_writes_nothing(
    valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    writer = RedisWriter(deployment_of(valkey.url), SCRIPTS)
    registry = registry_for(writer)
    async with background(writer.run()):
        registry.connected(IMEI)
        await registry.flush()
        client.hset(KEYS.runs, "here", "run-2")
        registry.disconnected(IMEI)
        registry.connected(OTHER_IMEI)
        await registry.restore()
    assert entries(client) == {IMEI: "here"}
    assert client.hgetall(KEYS.runs) == {"here": "run-2"}


async def test_an_entry_that_names_this_instance_goes_if_the_device_is_not_here(
    valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    """A run that was killed left one; the other is here, the third somewhere else by now."""
    writer = RedisWriter(deployment_of(valkey.url), SCRIPTS)
    registry = registry_for(writer)
    for imei in (IMEI, OTHER_IMEI, MOVED_IMEI):
        put(client, imei, "here")
    async with background(writer.run()):
        registry.connected(OTHER_IMEI)
        await registry.flush()
        for imei in entries(client):
            registry.found(imei)
        assert registry.waiting == 2
        put(client, MOVED_IMEI, "elsewhere")
        await registry.flush()
    assert entries(client) == {OTHER_IMEI: "here", MOVED_IMEI: "elsewhere"}
