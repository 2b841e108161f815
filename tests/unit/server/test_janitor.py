"""Cleaning up after dead instances in a real Valkey, also when several do it at once."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
import redis
import redis.asyncio

from teltonika.server import janitor as janitor_module
from teltonika.server.background import background
from teltonika.server.command import CommandRef, Entry
from teltonika.server.command_ledger import GROUP, CommandLedger, Found
from teltonika.server.connection_registry import ConnectionRegistry
from teltonika.server.counters import Counters
from teltonika.server.deployment import deployment_of
from teltonika.server.embedded import EmbeddedValkey
from teltonika.server.janitor import Janitor
from teltonika.server.keys import Keys
from teltonika.server.redis_writer import RedisWriter
from teltonika.server.scripts import SCRIPTS

KEYS = Keys()
DEAD = "dead"
OUTBOUND = KEYS.outbound(DEAD)
IMEIS = ["356307042441013", "356307042441021", "356307042441039"]


class Someone:
    """A living instance: its janitor, its ledger, what it counted."""

    def __init__(self, writer: RedisWriter, name: str) -> None:
        self.counters = Counters()
        self.ledger = CommandLedger(writer, KEYS, name, remember_s=3_600, stream_maxlen=0)
        self.registry = ConnectionRegistry(writer, KEYS, name, f"{name}'s run")
        self.janitor = Janitor(
            writer, KEYS, self.registry, self.ledger, self.counters, interval_s=3_600.0
        )

    async def look_twice(self) -> None:
        for _ in range(2):
            await self.janitor.look()


@contextlib.asynccontextmanager
async def someone(valkey: EmbeddedValkey, name: str = "someone") -> AsyncIterator[Someone]:
    """With a connection of its own."""
    writer = RedisWriter(deployment_of(valkey.url), SCRIPTS)
    async with background(writer.run()):
        yield Someone(writer, name)


def connect(client: redis.Redis, instance_id: str, *imeis: str) -> None:
    """The devices of a run of an instance."""
    client.hset(KEYS.runs, instance_id, f"{instance_id}'s run")
    for imei in imeis:
        client.hset(KEYS.registry, imei, instance_id)
        client.hset(KEYS.connected_since, imei, 1)


def beat(client: redis.Redis, instance_id: str) -> None:
    client.set(KEYS.heartbeat(instance_id), "{}", ex=90)


def publish(client: redis.Redis, command_id: str, stream: str = OUTBOUND) -> CommandRef:
    fields = {"command_id": command_id, "imei": IMEIS[0], "payload": "getinfo"}
    entry_id = client.xadd(stream, fields)
    return CommandRef(Entry(stream, entry_id), command_id, IMEIS[0], "12")


def endings(client: redis.Redis) -> list[tuple[str, str, str, str]]:
    """Of every command, in order of the commands' ids."""
    return sorted(
        (fields["command_id"], fields["status"], fields["reason"], fields["instance_id"])
        for _, fields in client.xrange(KEYS.responses)
    )


def lost(*command_ids: str) -> list[tuple[str, str, str, str]]:
    return [(command_id, "failed", "instance_lost", DEAD) for command_id in command_ids]


async def test_a_dead_instances_devices_and_commands_are_gone_after_two_looks(
    valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    connect(client, DEAD, *IMEIS)
    refs = [publish(client, command_id) for command_id in ("c1", "c2")]
    async with someone(valkey) as one:
        await one.janitor.look()
        assert client.hlen(KEYS.registry) == 3
        assert client.xlen(OUTBOUND) == len(refs)
        assert endings(client) == []
        await one.janitor.look()
        assert endings(client) == lost("c1", "c2")
        for key in (KEYS.registry, KEYS.connected_since, KEYS.runs, OUTBOUND):
            assert not client.exists(key)
        await one.look_twice()
    assert (one.counters.janitor_evictions, one.counters.janitor_commands_ended) == (3, 2)
    assert endings(client) == lost("c1", "c2")


async def test_a_stream_of_a_wrong_type_keeps_no_other_instance_from_being_cleaned_up_after(
    valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    connect(client, "another", IMEIS[0])
    connect(client, DEAD, IMEIS[1])
    connect(client, "last", IMEIS[2])
    client.set(OUTBOUND, "what somebody else has written")
    async with someone(valkey) as one:
        await one.look_twice()
    assert client.hkeys(KEYS.runs) == [DEAD]
    assert not client.exists(KEYS.registry)


async def test_pages_of_devices_and_commands(
    valkey: EmbeddedValkey, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(janitor_module, "PAGE", 2)
    client.config_set("hash-max-listpack-entries", 1)  # HSCAN of a short hash has one page
    imeis = [f"{number:015}" for number in range(50)]
    connect(client, DEAD, *imeis)
    command_ids = [f"c{number}" for number in range(1, 8)]
    for command_id in command_ids:
        publish(client, command_id)
    async with someone(valkey) as one:
        await one.look_twice()
    assert not client.exists(KEYS.registry)
    assert endings(client) == lost(*command_ids)
    assert (one.counters.janitor_evictions, one.counters.janitor_commands_ended) == (50, 7)


async def test_a_command_that_cannot_be_claimed_holds_up_no_other(
    valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    connect(client, DEAD, *IMEIS)
    for command_id in ("c1", "c2", "c3"):
        publish(client, command_id)
    client.set(KEYS.command("c1"), "no hash")
    async with someone(valkey) as one:
        await one.look_twice()
        assert endings(client) == lost("c2", "c3")
        assert client.xlen(OUTBOUND) == 1
        client.delete(KEYS.command("c1"))
        await one.janitor.look()
    assert endings(client) == lost("c1", "c2", "c3")
    assert not client.exists(OUTBOUND)


async def test_living_instances_are_left_alone(valkey: EmbeddedValkey, client: redis.Redis) -> None:
    connect(client, "alive", IMEIS[0])
    connect(client, DEAD, IMEIS[1])
    beat(client, "alive")
    publish(client, "c1", KEYS.outbound("alive"))
    async with someone(valkey) as one:
        await one.look_twice()
    assert client.hgetall(KEYS.registry) == {IMEIS[0]: "alive"}
    assert client.hkeys(KEYS.connected_since) == [IMEIS[0]]
    assert client.hkeys(KEYS.runs) == ["alive"]
    assert client.xlen(KEYS.outbound("alive")) == 1
    assert endings(client) == []


async def test_an_instance_that_has_a_heartbeat_again_at_the_second_look_is_left_alone(
    valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    connect(client, DEAD, *IMEIS)
    publish(client, "c1")
    async with someone(valkey) as one:
        await one.janitor.look()
        beat(client, DEAD)
        await one.janitor.look()
        client.delete(KEYS.heartbeat(DEAD))
        await one.janitor.look()
    assert client.hlen(KEYS.registry) == 3
    assert endings(client) == []


async def test_an_instance_that_was_started_anew_between_two_looks_is_left_alone(
    valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    connect(client, DEAD, *IMEIS)
    publish(client, "c1")
    async with someone(valkey) as one:
        await one.janitor.look()
        client.hset(KEYS.runs, DEAD, "another run")  # its first heartbeat comes right after
        await one.janitor.look()
    assert client.hlen(KEYS.registry) == 3
    assert endings(client) == []


class BetweenLookAndDeed(RedisWriter):
    """Something happens after the look, before the first entry is removed."""

    def __init__(self, valkey: EmbeddedValkey, happens: object) -> None:
        super().__init__(deployment_of(valkey.url), SCRIPTS)
        self._happens = happens

    async def call_script(self, script: object, keys: object, *arguments: object) -> object:
        self._happens()
        return await super().call_script(script, keys, *arguments)


async def test_a_device_that_has_just_moved_keeps_its_new_entry(
    valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    connect(client, DEAD, *IMEIS)
    beat(client, "alive")
    writer = BetweenLookAndDeed(valkey, lambda: connect(client, "alive", IMEIS[1]))
    async with background(writer.run()):
        one = Someone(writer, "someone")
        await one.look_twice()
    assert client.hgetall(KEYS.registry) == {IMEIS[1]: "alive"}
    assert client.hkeys(KEYS.connected_since) == [IMEIS[1]]
    assert one.counters.janitor_evictions == 2


async def test_an_instance_that_comes_back_during_the_clean_up_keeps_everything(
    valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    connect(client, DEAD, *IMEIS)
    publish(client, "c1")

    def come_back() -> None:
        client.hset(KEYS.runs, DEAD, "another run")
        beat(client, DEAD)

    writer = BetweenLookAndDeed(valkey, come_back)
    async with background(writer.run()):
        one = Someone(writer, "someone")
        await one.look_twice()
    assert client.hgetall(KEYS.registry) == dict.fromkeys(IMEIS, DEAD)
    assert client.hgetall(KEYS.runs) == {DEAD: "another run"}
    assert client.xlen(OUTBOUND) == 1
    assert endings(client) == []
    assert one.counters == Counters()


async def test_a_run_that_was_only_silent_for_long_keeps_its_commands_and_is_not_forgotten(
    valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    connect(client, DEAD, *IMEIS)
    publish(client, "c1")
    writer = BetweenLookAndDeed(valkey, lambda: beat(client, DEAD))
    async with background(writer.run()):
        await Someone(writer, "someone").look_twice()
    assert client.hgetall(KEYS.runs) == {DEAD: "dead's run"}
    assert client.xlen(OUTBOUND) == 1
    assert endings(client) == []


async def test_entries_of_an_instance_of_which_nothing_else_is_known_go_too(
    valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    connect(client, DEAD, *IMEIS)
    client.delete(KEYS.runs)
    async with someone(valkey) as one:
        await one.look_twice()
    assert not client.exists(KEYS.registry)


async def test_a_run_that_no_instance_wrote_ends_no_janitor_and_is_forgotten(
    valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    client.hset(KEYS.runs, "foreign", b"\xff\xfe")
    async with someone(valkey) as one:
        await one.look_twice()
    assert not client.exists(KEYS.runs)


async def test_a_stream_of_an_instance_that_never_started_is_left_alone(
    valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    publish(client, "c1", KEYS.outbound("not yet started"))
    connect(client, DEAD)
    async with someone(valkey) as one:
        await one.look_twice()
    assert client.xlen(KEYS.outbound("not yet started")) == 1
    assert endings(client) == []


async def test_a_stream_is_deleted_only_if_it_is_empty(
    valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    """Somebody published after the last command was ended."""
    connect(client, DEAD, IMEIS[0])
    client.xgroup_create(OUTBOUND, GROUP, "0", mkstream=True)
    published = []

    def once() -> None:
        if not published:
            published.append(publish(client, "late"))

    class BeforeDeleting(RedisWriter):
        async def call_script(self, script: object, keys: tuple, *arguments: object) -> object:
            if keys == (OUTBOUND,):
                once()
            return await super().call_script(script, keys, *arguments)

    writer = BeforeDeleting(deployment_of(valkey.url), SCRIPTS)
    async with background(writer.run()):
        await Someone(writer, "someone").look_twice()
    assert client.xlen(OUTBOUND) == 1
    assert endings(client) == []


@pytest.mark.parametrize("state", list(Found)[:4])
async def test_a_command_ends_once_whatever_it_had_come_to(
    state: Found, valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    connect(client, DEAD)
    ref = publish(client, "c1")
    async with someone(valkey) as one:
        assert await one.ledger.claim(ref) is Found.QUEUED
        client.hset(KEYS.command("c1"), mapping={"state": state, "owner": "dead's run"})
        await one.look_twice()
    assert endings(client) == (lost("c1") if state is not Found.ENDED else [])
    assert not client.exists(OUTBOUND)


async def test_a_duplicate_gets_no_ending(valkey: EmbeddedValkey, client: redis.Redis) -> None:
    connect(client, DEAD)
    publish(client, "c1")
    publish(client, "c1")
    async with someone(valkey) as one:
        await one.look_twice()
    assert endings(client) == lost("c1")
    assert one.counters.janitor_commands_ended == 1
    assert not client.exists(OUTBOUND)


async def test_an_entry_that_is_no_command_ends_too(
    valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    connect(client, DEAD)
    client.xadd(OUTBOUND, {"anything": b"\xff"})
    async with someone(valkey) as one:
        await one.look_twice()
    assert endings(client) == lost("")
    assert not client.exists(OUTBOUND)


async def test_many_janitors_at_once_end_each_command_once(
    valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    connect(client, DEAD, *IMEIS)
    command_ids = [f"c{number:02}" for number in range(30)]
    for command_id in command_ids:
        publish(client, command_id)
    async with someone(valkey, "one") as one, someone(valkey, "two") as two:
        for _ in range(2):
            await asyncio.gather(one.janitor.look(), two.janitor.look())
        assert endings(client) == lost(*command_ids)
        assert one.counters.janitor_evictions + two.counters.janitor_evictions == 3
    for key in (KEYS.registry, KEYS.connected_since, KEYS.runs, OUTBOUND):
        assert not client.exists(key)


async def test_a_failover_that_lost_a_move_leaves_no_device_at_its_old_instance(
    valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    """The promoted replica does not know that the device went from one living instance to another:
    the old one lets go of it, and the one that holds it is told at its next beat."""
    connect(client, "old")
    async with someone(valkey, "old") as old, someone(valkey, "new") as new:
        beat(client, "old")
        beat(client, "new")
        new.registry.connected(IMEIS[0])
        await new.registry.flush()
        connect(client, "old", IMEIS[0])
        await new.registry.restore()
        assert client.hget(KEYS.registry, IMEIS[0]) == "old"
        await new.janitor.look()
        await old.janitor.look()
        await old.registry.flush()
        await new.registry.restore()
    assert client.hgetall(KEYS.registry) == {IMEIS[0]: "new"}
    assert client.hkeys(KEYS.connected_since) == [IMEIS[0]]


async def test_it_looks_again_and_again(valkey: EmbeddedValkey, client: redis.Redis) -> None:
    connect(client, DEAD, *IMEIS)
    writer = RedisWriter(deployment_of(valkey.url), SCRIPTS)
    ledger = CommandLedger(writer, KEYS, "someone", remember_s=3_600, stream_maxlen=0)
    registry = ConnectionRegistry(writer, KEYS, "someone", "run")
    janitor = Janitor(writer, KEYS, registry, ledger, Counters(), interval_s=0.0)
    async with (
        redis.asyncio.Redis.from_url(valkey.url, decode_responses=True) as other,
        other.pubsub() as changes,
    ):
        client.config_set("notify-keyspace-events", "Kg")
        await changes.subscribe(f"__keyspace@0__:{KEYS.runs}")
        async with background(writer.run(), janitor.run()):
            while (await changes.get_message(timeout=None))["data"] != "del":
                pass
    assert not client.exists(KEYS.registry)
