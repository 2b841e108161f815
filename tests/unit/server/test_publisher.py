"""From many sessions to a real Valkey and back: order, confirmations, limits, failures."""

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import AsyncIterator, Callable

import pytest
import redis
import redis.asyncio

from teltonika.codecs import (
    AVL_CODECS,
    AvlPacket,
    AvlRecord,
    IoElement,
    IoElements,
    decode_packet,
    encode_packet,
)
from teltonika.codecs.timestamps import format_timestamp
from teltonika.server import publisher as publisher_module
from teltonika.server.background import background
from teltonika.server.counters import Counters
from teltonika.server.deployment import deployment_of
from teltonika.server.durability import SYNCED_ALWAYS, Durability, Promise
from teltonika.server.embedded import EmbeddedValkey
from teltonika.server.keys import Keys
from teltonika.server.publisher import Publisher
from teltonika.server.redis_link import pack_command
from teltonika.server.submissions import SubmissionQueue

STREAM = "telemetry:teltonika"
IMEIS = ("356307042441013", "356307042441021", "356307042441039")


def packet(number: int, records: int = 1) -> AvlPacket:
    """Its first record's timestamp is its number; no other number makes it as long."""
    io = IoElements.of([IoElement.variable(1, bytes(3 * number))])
    return as_it_comes(*(AvlRecord(number + n, 0, 0, 0, 0, 0, 0, 0, io=io) for n in range(records)))


def as_it_comes(*records: AvlRecord) -> AvlPacket:
    packet = decode_packet(encode_packet(AVL_CODECS.by_name("8E"), records))
    assert isinstance(packet, AvlPacket)
    return packet


class Session:
    """Who submits packets: it keeps what it was told, and looks at the stream when told."""

    def __init__(self, publisher: Publisher, imei: str = IMEIS[0]) -> None:
        self.imei = imei
        self.ended = False
        self.connection = b"a socket"
        self.is_current = asyncio.Event()
        self.was_superseded = asyncio.Event()
        self.read_at: list[float] = []
        self._numbers: dict[int, int] = {}
        self.when_confirmed: Callable[[], None] = lambda: None
        self._publisher = publisher
        self._confirmations: asyncio.Queue[tuple[int, int]] = asyncio.Queue()

    def submit(self, number: int, *, records: int = 1, read_at: float = 0.0) -> int:
        """A packet, known again by how much memory it takes, which is returned."""
        size = self._publisher.submit(self, self.imei, packet(number, records), read_at)
        self._numbers[size] = number
        return size

    def current(self) -> None:
        self.is_current.set()

    def superseded(self) -> None:
        self.was_superseded.set()

    def confirmed(self, record_count: int, size: int, read_at: float) -> None:
        self.when_confirmed()
        self.read_at.append(read_at)
        self._confirmations.put_nowait((record_count, self._numbers[size]))

    @property
    def confirmations_so_far(self) -> int:
        return self._confirmations.qsize()

    async def confirmations(self, count: int) -> list[tuple[int, int]]:
        """The next ones: records and number of each."""
        return [await self._confirmations.get() for _ in range(count)]

    async def confirmed_numbers(self, count: int) -> list[int]:
        return [number for _, number in await self.confirmations(count)]


class Limits:
    """Keeps the publisher's calls at its limits."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def full(self, _: Publisher) -> None:
        self.calls.append("full")

    def drained(self, _: Publisher) -> None:
        self.calls.append("drained")

    def confirmed(self) -> None:
        self.calls.append("confirmed")


def one_by_one() -> SubmissionQueue:
    """Each packet is a batch."""
    return SubmissionQueue(turn_bytes=1, batch_bytes=1, batch_bytes_of_much=1)


def publisher_for(
    valkey: EmbeddedValkey,
    *,
    maxlen: int = 0,
    max_unconfirmed_bytes: int = 10**9,
    counters: Counters | None = None,
    limits: Limits | None = None,
    promise: Promise = SYNCED_ALWAYS,
    pending: SubmissionQueue | None = None,
) -> Publisher:
    limits = limits or Limits()
    return Publisher(
        deployment_of(valkey.url),
        Keys().shards[0],
        maxlen,
        max_unconfirmed_bytes,
        promise,
        counters or Counters(),
        full=limits.full,
        drained=limits.drained,
        pending=pending,
    )


@contextlib.asynccontextmanager
async def running(publisher: Publisher) -> AsyncIterator[Session]:
    """The publisher at work, with an idle connection; and a session that it knows already."""
    async with background(publisher.run()):
        session = Session(publisher)
        session.submit(0)
        await session.confirmations(1)
        yield session


def hold_writes(client: redis.Redis) -> None:
    """Valkey takes commands, and executes none that writes until `release_writes`."""
    client.client_pause(600_000, all=False)


def release_writes(client: redis.Redis) -> None:
    client.client_unpause()


async def written() -> None:
    """What was submitted to an idle connection is written in the loop's next turn."""
    await asyncio.sleep(0)


async def kill(valkey: EmbeddedValkey, client: redis.Redis) -> None:
    os.kill(client.info("server")["process_id"], signal.SIGKILL)
    await valkey.stop()


def numbers(client: redis.Redis, imei: str | None = None) -> list[int]:
    """The numbers on the stream, in its order; of one device if asked."""
    entries = [fields for _, fields in client.xrange(STREAM)]
    numbers_of = {format_timestamp(number): number for number in range(10_000)}
    return [numbers_of[e["ts"]] for e in entries if imei in {None, e["device_id"]}]


async def test_an_entry_has_the_contracts_fields(
    valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    publisher = publisher_for(valkey)
    async with background(publisher.run()):
        session = Session(publisher)
        session.submit(7, records=2)
        assert await session.confirmations(1) == [(2, 7)]
    (_, first), (_, second) = client.xrange(STREAM)
    assert first.keys() == {"ts", "device_id", "codec", "payload"}
    assert (first["ts"], second["ts"]) == ("1970-01-01T00:00:00.007Z", "1970-01-01T00:00:00.008Z")
    assert (first["device_id"], first["codec"]) == (IMEIS[0], "8E")
    assert json.loads(first["payload"])["timestamp"] == first["ts"]


async def test_held_back_for_two_reasons_it_writes_when_both_are_gone(
    valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    limits = Limits()
    publisher = publisher_for(valkey, limits=limits)
    async with running(publisher) as session:
        publisher.hold_back("memory")
        publisher.hold_back("disk")
        for number in range(1, 4):
            session.submit(number)
        publisher.go_on("memory")
        for _ in range(10):
            await written()
        assert (publisher.waiting, publisher.in_flight) == (3, 0)
        assert limits.calls == ["full"]  # nothing more is read
        publisher.go_on("disk")
        assert limits.calls == ["full", "drained"]
        assert await session.confirmed_numbers(3) == [1, 2, 3]
    assert numbers(client) == [0, 1, 2, 3]


async def test_devices_that_come_and_go_while_it_is_held_back_leave_nothing(
    valkey: EmbeddedValkey,
) -> None:
    publisher = publisher_for(valkey)
    publisher.hold_back("memory")
    one = Session(publisher)
    one.submit(1)
    of_one = publisher.unconfirmed_bytes
    for _ in range(10_000):
        session = Session(publisher)
        publisher.open(session, session.imei, 0.0)
        session.ended = True
    assert publisher.waiting < publisher_module.CROWDED
    assert publisher.unconfirmed_bytes < publisher_module.CROWDED * of_one
    async with background(publisher.run()):
        publisher.go_on("memory")
        assert await one.confirmed_numbers(1) == [1]


async def test_each_devices_order_is_kept_over_many_batches(
    valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    pending = SubmissionQueue(
        large_bytes=2_000, turn_bytes=1_000, batch_bytes=3_000, batch_bytes_of_much=2_000
    )
    publisher = publisher_for(valkey, pending=pending)
    async with background(publisher.run()):
        sessions = [Session(publisher, imei) for imei in IMEIS]
        for number in range(200):
            for session in sessions:
                session.submit(number)
        for session in sessions:
            assert await session.confirmed_numbers(200) == list(range(200))
    for imei in IMEIS:
        assert numbers(client, imei) == list(range(200))


async def test_a_packet_is_confirmed_after_its_entries_exist_and_not_before(
    valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    seen: list[int] = []
    async with running(publisher_for(valkey)) as session:
        session.when_confirmed = lambda: seen.append(client.xlen(STREAM))
        hold_writes(client)
        session.submit(1, records=3)
        await written()
        assert session.confirmations_so_far == 0
        release_writes(client)
        assert await session.confirmations(1) == [(3, 1)]
    assert seen == [4]


async def test_nothing_is_written_twice_and_nothing_is_left(
    valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    counters = Counters()
    publisher = publisher_for(valkey, counters=counters)
    async with running(publisher) as session:
        for number in range(1, 50):
            session.submit(number, records=2)
        assert publisher.unconfirmed_packets == 49
        await session.confirmations(49)
        assert publisher.unconfirmed_packets == 0
    assert client.xlen(STREAM) == 99
    assert (counters.records_stored, counters.redis_failures) == (99, 0)


async def test_what_waits_longest_is_known_and_batches_are_measured(
    valkey: EmbeddedValkey,
) -> None:
    counters = Counters()
    publisher = publisher_for(valkey, counters=counters)
    async with running(publisher) as session:
        before = counters.batch_packets.observations
        assert publisher.oldest_read_at is None
        session.submit(1, read_at=7.0)
        session.submit(2, read_at=8.0)
        assert publisher.oldest_read_at == 7.0
        assert (publisher.waiting, publisher.in_flight) == (2, 0)
        await session.confirmations(2)
        assert session.read_at[-2:] == [7.0, 8.0]
        assert (publisher.waiting, publisher.unconfirmed_bytes) == (0, 0)
        session.submit(3)
        await session.confirmations(1)
    assert counters.batch_packets.observations == before + 2
    assert counters.redis_round_trip_s.observations >= before + 1
    assert 0 < counters.redis_round_trip_s.total < 30


async def test_values_that_repeated_ids_replaced_are_counted(valkey: EmbeddedValkey) -> None:
    counters = Counters()
    publisher = publisher_for(valkey, counters=counters)
    io = IoElements.of([IoElement(1, 1, 1), IoElement(1, 2, 2)])
    record = AvlRecord(0, 0, 0, 0, 0, 0, 0, 0, io=io)
    publisher.submit(Session(publisher), IMEIS[0], as_it_comes(record, record), 0.0)
    assert counters.repeated_io_ids == 2


async def test_it_is_full_above_its_limit_and_drained_at_a_quarter_of_it(
    valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    limits = Limits()
    size = size_of_one(valkey)
    publisher = publisher_for(valkey, max_unconfirmed_bytes=4 * size, limits=limits)
    async with running(publisher) as session:
        session.when_confirmed = limits.confirmed
        hold_writes(client)
        for _ in range(4):
            session.submit(1)
        assert not publisher.is_full
        for _ in range(2):
            session.submit(1)
        assert publisher.is_full
        assert limits.calls == ["full"]
        release_writes(client)
        await session.confirmations(6)
        assert not publisher.is_full
    above = ["confirmed"] * 4  # more than one is left
    assert limits.calls == ["full", *above, "drained", *["confirmed"] * 2]


def size_of_one(valkey: EmbeddedValkey) -> int:
    """The memory that packet 1 takes."""
    publisher = publisher_for(valkey)
    return Session(publisher).submit(1)


async def test_its_limit_counts_memory_not_what_came_on_the_wire(valkey: EmbeddedValkey) -> None:
    publisher = publisher_for(valkey, max_unconfirmed_bytes=100_000)
    session = Session(publisher)
    for _ in range(1000):  # 15 bytes each on the wire
        publisher.submit(session, session.imei, as_it_comes(), 0.0)
    assert publisher.is_full


async def test_it_can_be_full_more_than_once(valkey: EmbeddedValkey) -> None:
    limits = Limits()
    async with running(publisher_for(valkey, max_unconfirmed_bytes=1, limits=limits)) as session:
        for _ in range(2):
            session.submit(1)
            await session.confirmations(1)
    assert limits.calls == ["full", "drained"] * 3  # `running` brought one, too


async def test_what_a_killed_valkey_had_not_stored_is_written_to_the_next_in_order(
    valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    """Some of it was on its way to the first, some was still waiting, some came in between."""
    in_flight = publisher_module.BATCHES_IN_FLIGHT
    counters = Counters()
    async with running(publisher_for(valkey, counters=counters, pending=one_by_one())) as session:
        hold_writes(client)
        for number in range(1, in_flight + 4):
            session.submit(number)
        await written()
        await kill(valkey, client)
        session.submit(in_flight + 4)
        assert session.confirmations_so_far == 0
        await valkey.start()
        expected = list(range(1, in_flight + 5))
        assert await session.confirmed_numbers(in_flight + 4) == expected
        session.submit(in_flight + 5)
        await session.confirmations(1)
    assert numbers(client) == [0, *expected, in_flight + 5]
    assert counters.records_stored == in_flight + 6
    assert counters.redis_failures >= 1


async def test_of_a_session_that_ended_what_was_on_its_way_is_not_written_again(
    valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    limits = Limits()
    size = size_of_one(valkey)
    publisher = publisher_for(valkey, max_unconfirmed_bytes=2 * size, limits=limits)
    async with running(publisher) as session:
        gone = Session(publisher, IMEIS[1])
        hold_writes(client)
        gone.submit(1)
        session.submit(2)
        gone.submit(3)
        await written()
        gone.ended = True
        await kill(valkey, client)
        await valkey.start()
        assert await session.confirmed_numbers(1) == [2]
        assert publisher.unconfirmed_packets == 0
        assert limits.calls == ["full", "drained"]
    assert gone.confirmations_so_far == 0
    assert numbers(client) == [0, 2]


async def test_of_a_session_that_ended_what_still_waits_is_not_written(
    valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    publisher = publisher_for(valkey)
    gone = Session(publisher, IMEIS[1])
    gone.submit(1)
    gone.ended = True
    async with running(publisher) as session:
        session.submit(2)
        assert await session.confirmed_numbers(1) == [2]
    assert publisher.unconfirmed_packets == 0
    assert gone.confirmations_so_far == 0
    assert numbers(client) == [0, 2]


async def test_a_redis_that_does_not_answer_is_left_for_a_new_connection(
    valkey: EmbeddedValkey, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        running(publisher_for(valkey)) as session,
        redis.asyncio.Redis.from_url(valkey.url) as other,
        other.monitor() as monitor,
    ):
        hold_writes(client)
        monkeypatch.setattr(publisher_module, "REPLY_TIMEOUT_S", 0.05)
        session.submit(1)
        while not (await monitor.next_command())["command"].startswith("SCRIPT LOAD"):
            pass
        monkeypatch.undo()
        release_writes(client)
        assert await session.confirmed_numbers(1) == [1]
    assert set(numbers(client)) == {0, 1}  # the old connection's may have come through as well


async def test_a_flushed_script_is_loaded_again(
    valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    async with running(publisher_for(valkey)) as session:
        client.script_flush()
        for number in (1, 2):
            session.submit(number)
        assert await session.confirmed_numbers(2) == [1, 2]
    assert numbers(client) == [0, 1, 2]


async def test_a_packet_stored_behind_a_refused_one_is_not_confirmed_before_it(
    valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    """While the refusal is on its way its cause goes away, and the next packet is stored."""
    publisher = publisher_for(valkey)
    async with running(publisher) as session:
        other = Session(publisher, IMEIS[1])
        client.set(STREAM, "no stream")
        with client.monitor() as monitor:
            session.submit(1)
            await written()
            assert monitor.next_command()["command"].startswith("EVALSHA")
        client.delete(STREAM)
        session.submit(2)
        other.submit(3)
        assert await session.confirmed_numbers(2) == [1, 2]
        assert await other.confirmed_numbers(1) == [3]
        assert publisher.unconfirmed_packets == 0
    assert numbers(client, IMEIS[0]) == [1, 2]
    assert numbers(client, IMEIS[1]) == [3]


async def test_what_was_stored_and_not_durable_enough_in_time_is_not_stored_again(
    valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    """More of one device than its digests are kept of: it does not wait for acknowledgements."""
    in_time = iter([True, False])
    promise = Promise(Durability.FSYNC, pack_command("PING"), is_kept=lambda _: next(in_time, True))
    async with running(publisher_for(valkey, promise=promise)) as session:
        for number in range(1, 101):
            session.submit(number)
        assert await session.confirmed_numbers(100) == list(range(1, 101))
    assert numbers(client) == list(range(101))


async def test_after_redis_lost_everything_its_packets_are_taken_again(
    valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    async with running(publisher_for(valkey)) as session:
        session.submit(1)
        await session.confirmations(1)
        client.flushall()
        for number in (2, 3):
            session.submit(number)
        assert await session.confirmed_numbers(2) == [2, 3]
    assert numbers(client) == [2, 3]


async def test_nothing_waits_for_a_confirmed_packet_that_redis_has_lost(
    valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    """The second was submitted behind the first, and comes again when Redis has neither."""
    kept = iter([lambda: True, lambda: True, lambda: not client.flushall()])
    promise = Promise(
        Durability.FSYNC, pack_command("PING"), is_kept=lambda _: next(kept, lambda: True)()
    )
    publisher = publisher_for(valkey, promise=promise, pending=one_by_one())
    async with running(publisher) as session:
        session.submit(1)
        await written()  # the second is not in the same batch
        session.submit(2)
        assert await session.confirmed_numbers(2) == [1, 2]
    assert numbers(client) == [2]


@pytest.mark.parametrize(("maxlen", "left"), [(0, 100), (20, 20)])
async def test_the_stream_is_trimmed_to_maxlen_and_never_at_zero(
    maxlen: int, left: int, valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    client.config_set("stream-node-max-entries", 1)  # what is roughly 20 is exactly 20 then
    async with running(publisher_for(valkey, maxlen=maxlen)) as session:
        for number in range(1, 100, 3):
            session.submit(number, records=3)
        await session.confirmations(33)
    assert numbers(client) == list(range(100))[-left:]


async def test_an_older_connection_is_told_that_there_is_a_newer(
    valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    publisher = publisher_for(valkey)
    async with running(publisher) as older:
        newer = Session(publisher)
        newer.connection = b"the next"
        publisher.open(newer, newer.imei, 0.0)
        older.submit(1)
        newer.submit(2)
        await newer.is_current.wait()
        await older.was_superseded.wait()
        assert not older.is_current.is_set()
        assert await newer.confirmed_numbers(1) == [2]
        assert older.confirmations_so_far == 0
        assert publisher.unconfirmed_packets == 0
    assert numbers(client) == [0, 2]
