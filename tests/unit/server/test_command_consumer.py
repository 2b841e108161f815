"""From a real Valkey's stream to the devices' queues: each command is handed on once."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator

import pytest
import redis
import redis.asyncio

from teltonika.server import command_consumer as command_consumer_module
from teltonika.server.background import background
from teltonika.server.command import Command
from teltonika.server.command_consumer import CommandConsumer
from teltonika.server.command_dispatcher import CommandDispatcher
from teltonika.server.command_ledger import GROUP, CommandLedger
from teltonika.server.command_queue import Reason
from teltonika.server.config import ServerSettings
from teltonika.server.counters import Counters
from teltonika.server.deployment import deployment_of
from teltonika.server.embedded import EmbeddedValkey
from teltonika.server.keys import Keys
from teltonika.server.peer_log import PeerLog
from teltonika.server.redis_writer import RedisWriter
from teltonika.server.scripts import SCRIPTS

IMEI = "356307042441013"
KEYS = Keys()
OUTBOUND = KEYS.outbound("here")


class Devices(CommandDispatcher):
    """Takes what the consumer hands on, and does nothing about it."""

    def __init__(self, ledger: CommandLedger, counters: Counters) -> None:
        super().__init__({}, ledger, ServerSettings(), "here", PeerLog(0, counters), counters)
        self.held: dict[str, Command] = {}
        self._added: asyncio.Queue[tuple[Command, bool]] = asyncio.Queue()

    def holds(self, entry_id: str) -> bool:
        return entry_id in self.held

    def add(self, command: Command, *, wait_for_device: bool) -> None:
        self.held[command.ref.entry.id] = command
        self._added.put_nowait((command, wait_for_device))

    async def next(self) -> Command:
        return (await self._added.get())[0]

    async def next_waits(self) -> bool:
        """Whether the next one may wait for its device."""
        return (await self._added.get())[1]

    async def next_ids(self, count: int) -> list[str]:
        return [(await self.next()).ref.command_id for _ in range(count)]

    @property
    def idle(self) -> bool:
        """Whether nothing was handed on that the test has not taken."""
        return self._added.empty()


class Consumer:
    """A run of the instance ``here``."""

    def __init__(self, valkey: EmbeddedValkey, run_id: str, rescan_s: float) -> None:
        self.counters = Counters()
        self.writer = RedisWriter(deployment_of(valkey.url), SCRIPTS)
        self.ledger = CommandLedger(self.writer, KEYS, run_id, remember_s=3_600, stream_maxlen=0)
        self.devices = Devices(self.ledger, self.counters)
        self.consumer = CommandConsumer(
            deployment_of(valkey.url),
            OUTBOUND,
            "here",
            self.ledger,
            self.devices,
            30.0,
            rescan_s,
            self.counters,
        )

    async def ended(self, command: Command) -> None:
        """The command comes to its end."""
        done = asyncio.Event()
        self.ledger.fail(command.ref, "here", Reason.TIMEOUT, "", done.set)
        await done.wait()
        del self.devices.held[command.ref.entry.id]


@contextlib.asynccontextmanager
async def consuming(
    valkey: EmbeddedValkey,
    *,
    run_id: str = "this run",
    started_ms: int = 0,
    rescan_s: float = 3_600.0,
) -> AsyncIterator[Consumer]:
    one = Consumer(valkey, run_id, rescan_s)
    async with background(one.writer.run()):
        async with background(one.consumer.run(started_ms)):
            yield one
        await one.writer.idle()


def publish(client: redis.Redis, command_id: str = "c1", **fields: str) -> str:
    """Its entry's id."""
    entry = {"command_id": command_id, "imei": IMEI, "payload": "getinfo"} | fields
    return str(client.xadd(OUTBOUND, entry))


def read(client: redis.Redis) -> None:
    """An earlier run has read all there is, and came no further."""
    client.xgroup_create(OUTBOUND, GROUP, "0", mkstream=True)
    client.xreadgroup(GROUP, "here", {OUTBOUND: ">"})


def statuses(client: redis.Redis) -> list[tuple[str, str, str | None]]:
    return [
        (fields["command_id"], fields["status"], fields.get("reason"))
        for _, fields in client.xrange(KEYS.responses)
    ]


def unacknowledged(client: redis.Redis) -> list[str]:
    return [entry["message_id"] for entry in client.xpending_range(OUTBOUND, GROUP, "-", "+", 1000)]


async def test_a_command_is_handed_on_and_stays_until_it_has_ended(
    valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    async with consuming(valkey) as one:
        entry_id = publish(client, codec="14", timeout_s="5")
        command = await one.devices.next()
        assert (command.ref.command_id, command.ref.imei) == ("c1", IMEI)
        assert (command.text, command.ref.codec, command.timeout_s) == ("getinfo", "14", 5.0)
        assert unacknowledged(client) == [entry_id]
        await one.ended(command)
        assert unacknowledged(client) == []
        assert client.xlen(OUTBOUND) == 0
    assert one.counters == Counters(commands_received=1)
    assert statuses(client) == [("c1", "failed", "timeout")]


async def test_the_stream_and_its_group_are_there_before_the_first_command(
    valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    async with (
        redis.asyncio.Redis.from_url(valkey.url) as other,
        other.monitor() as monitor,
        consuming(valkey),
    ):
        while not (await monitor.next_command())["command"].startswith("XREADGROUP"):
            pass
        assert [group["name"] for group in client.xinfo_groups(OUTBOUND)] == [GROUP]


async def test_a_command_from_before_the_first_start_is_not_lost(
    valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    publish(client)
    async with consuming(valkey) as one:
        assert (await one.devices.next()).timeout_s == 30.0


async def test_only_a_command_from_before_the_start_may_wait_for_its_device(
    valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    published_ms = int(publish(client).partition("-")[0])
    async with consuming(valkey, started_ms=published_ms) as one:
        assert not await one.devices.next_waits()
    async with consuming(valkey, started_ms=published_ms + 1) as one:
        assert await one.devices.next_waits()


async def test_what_an_earlier_run_had_read_comes_first_in_its_order(
    valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    for command_id in ("c1", "c2"):
        publish(client, command_id)
    read(client)
    for command_id in ("c3", "c4"):
        publish(client, command_id)
    async with consuming(valkey) as one:
        assert await one.devices.next_ids(4) == ["c1", "c2", "c3", "c4"]


async def test_what_an_earlier_run_had_read_may_fill_many_pages(
    valkey: EmbeddedValkey, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command_consumer_module, "PAGE", 2)
    before, after = [f"c{number}" for number in range(5)], [f"c{number}" for number in range(5, 10)]
    for command_id in before:
        publish(client, command_id)
    read(client)
    for command_id in after:
        publish(client, command_id)
    async with consuming(valkey) as one:
        assert await one.devices.next_ids(10) == before + after
        assert one.devices.idle


async def test_what_may_have_been_written_is_not_handed_on_but_ends(
    valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    async with consuming(valkey, run_id="earlier run") as earlier:
        for command_id in ("queued", "writing", "delivered", "ended"):
            publish(client, command_id)
        queued, writing, delivered, ended = [await earlier.devices.next() for _ in range(4)]
        for command in (writing, delivered, ended):
            earlier.ledger.prepare(command.ref, lambda _: None)
        for command in (delivered, ended):
            earlier.ledger.deliver(command.ref, "here")
        await earlier.writer.idle()
        client.hset(KEYS.command("ended"), "state", "ended")  # and killed before letting go
    client.delete(KEYS.responses)
    async with consuming(valkey) as one:
        assert (await one.devices.next()).ref == queued.ref
    assert statuses(client) == [
        ("writing", "failed", "instance_lost"),
        ("delivered", "failed", "instance_lost"),
    ]
    assert unacknowledged(client) == [queued.ref.entry.id]
    assert one.counters == Counters(
        commands_received=1, commands_failed=Counter({Reason.INSTANCE_LOST: 2})
    )


async def test_a_second_command_with_the_same_id_is_dropped_and_counted(
    valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    async with consuming(valkey) as one:
        first = publish(client, payload="getver")
        publish(client, payload="cpureset")
        publish(client, "c2")
        assert (await one.devices.next()).text == "getver"
        publish(client, payload="cpureset")
        last = publish(client, "c3")
        assert await one.devices.next_ids(2) == ["c2", "c3"]
    assert one.counters == Counters(commands_received=3, commands_duplicate=2)
    assert statuses(client) == []
    assert {first, last} < set(unacknowledged(client))
    assert client.xlen(OUTBOUND) == len(unacknowledged(client)) == 3


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"imei": "1"}, "imei"),
        ({"payload": ""}, "payload"),
        ({"codec": "13"}, "codec"),
        ({"expires_at": "soon"}, "expires_at"),
        ({"timeout_s": "0"}, "timeout_s"),
        ({"command_id": ""}, "command_id"),
    ],
)
async def test_an_invalid_command_fails_and_its_field_is_named(
    fields: dict[str, str], named: str, valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    async with consuming(valkey) as one:
        client.xadd(OUTBOUND, {"command_id": "bad", "imei": IMEI, "payload": "x"} | fields)
        good = publish(client, "good")
        assert await one.devices.next_ids(1) == ["good"]
    ((_, status),) = client.xrange(KEYS.responses)
    assert (status["status"], status["reason"]) == ("failed", "invalid")
    assert status["command_id"] == fields.get("command_id", "bad")
    assert status["detail"].startswith(f"{named}: ")
    assert unacknowledged(client) == [good]
    assert client.xlen(OUTBOUND) == 1
    assert one.counters == Counters(
        commands_received=2, commands_failed=Counter({Reason.INVALID: 1})
    )


async def test_an_entry_that_holds_anything_at_all_is_invalid(
    valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    async with consuming(valkey) as one:
        client.xadd(OUTBOUND, {b"\xff": b"\x00"})
        publish(client)
        await one.devices.next()
    assert statuses(client) == [("", "failed", "invalid")]


async def test_an_entry_that_was_deleted_before_it_was_taken_up_is_acknowledged(
    valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    entries = [publish(client, command_id) for command_id in ("c1", "c2", "c3")]
    read(client)
    client.xdel(OUTBOUND, entries[0], entries[2])
    async with consuming(valkey) as one:
        assert await one.devices.next_ids(1) == ["c2"]
    assert unacknowledged(client) == [entries[1]]
    assert statuses(client) == []


async def test_a_stream_that_was_deleted_is_made_again(
    valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    async with consuming(valkey) as one:
        for command_id in ("c1", "c2"):
            publish(client, command_id)
            assert await one.devices.next_ids(1) == [command_id]
            client.delete(OUTBOUND)


async def test_a_group_that_was_deleted_is_made_again(
    valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    async with consuming(valkey) as one:
        publish(client, "c1")
        await one.devices.next()
        client.xgroup_destroy(OUTBOUND, GROUP)
        publish(client, "c2")
        assert await one.devices.next_ids(1) == ["c2"]  # c1 is read again, and known
        assert one.devices.idle


async def test_commands_come_through_after_redis_was_killed(
    valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    async with consuming(valkey) as one:
        publish(client, "c1")
        assert await one.devices.next_ids(1) == ["c1"]
        with contextlib.suppress(redis.ConnectionError):
            client.execute_command("SHUTDOWN", "NOSAVE", "NOW", "FORCE")
        await valkey.stop()
        await valkey.start()
        publish(client, "c2")
        assert await one.devices.next_ids(1) == ["c2"]
        assert one.devices.idle


async def test_what_a_device_still_has_is_not_handed_on_again_and_what_none_has_is(
    valkey: EmbeddedValkey, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The consumer looks now and then for what was read and did not end."""
    monkeypatch.setattr(command_consumer_module, "BLOCK_MS", 1)
    async with (
        redis.asyncio.Redis.from_url(valkey.url) as other,
        other.monitor() as monitor,
        consuming(valkey, rescan_s=0.001) as one,
    ):
        publish(client, "held")
        forgotten = publish(client, "forgotten")
        assert await one.devices.next_ids(2) == ["held", "forgotten"]
        for _ in range(2):  # the first may have begun before
            while f"STREAMS {OUTBOUND} 0" not in (await monitor.next_command())["command"]:
                pass
        assert one.devices.idle
        del one.devices.held[forgotten]
        assert await one.devices.next_ids(1) == ["forgotten"]
        assert one.devices.idle
