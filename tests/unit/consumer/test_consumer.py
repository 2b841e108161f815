"""What a consumer of the telemetry stream gets, and when again."""

import asyncio
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis
from own_valkey import OwnValkey
from telemetry_writing import number_of, write

from teltonika.consumer import Batch, Begin, RedisUnavailableError, TelemetryConsumer
from teltonika.consumer.client import open_client
from teltonika.consumer.lag import read_lag
from teltonika.server.keys import Keys

IMEI, OTHER = "356307042441013", "356307042441021"
STREAM = Keys().shards[0].telemetry
GROUP = "test"
TESTS = Path(__file__).parents[2]


def consumer(valkey: OwnValkey, name: str = "a", **options: Any) -> TelemetryConsumer:
    options = {"max_wait_s": 0.0} | options
    return TelemetryConsumer(valkey.url, group=GROUP, consumer=name, **options)


def numbers(batch: Batch, imei: str = IMEI) -> list[int]:
    return [number_of(record.timestamp) for record in batch.records if record.imei == imei]


def pending(client: redis.Redis, stream: str = STREAM) -> int:
    return int(client.xpending(stream, GROUP)["pending"])


async def read_all(one: TelemetryConsumer, count: int) -> list[int]:
    """The numbers of so many records, each batch acknowledged."""
    found: list[int] = []
    while len(found) < count:
        batch = await anext(one)
        found += numbers(batch)
        await batch.ack()
    return found


async def test_a_record_has_what_the_device_sent(valkey: OwnValkey, client: redis.Redis) -> None:
    write(client, IMEI, [7])
    async with consumer(valkey) as one:
        batch = await anext(one)
    (record,) = batch.records
    assert (record.imei, record.timestamp, record.codec) == (IMEI, "2019-06-08T13:20:07.000Z", "8")
    assert (record.latitude, record.longitude) == (54.687155, 25.279187)
    assert (record.altitude, record.angle, record.satellites, record.speed) == (120, 90, 9, 50)
    assert (record.priority, record.event_io_id, record.generation_type) == (0, 239, None)
    assert record.attributes == {239: 1, 66: 12_345}
    assert [one.text for one in record.named()] == ["1 (Ignition On)", "12.345 V"]
    assert record.time is not None
    assert record.time.isoformat() == "2019-06-08T13:20:07+00:00"
    assert record.deliveries == 1
    assert client.xrange(STREAM)[0][0] == record.entry_id
    assert batch.stream == STREAM


async def test_what_is_acknowledged_is_not_delivered_again(
    valkey: OwnValkey, client: redis.Redis
) -> None:
    write(client, IMEI, range(5))
    async with consumer(valkey) as one:
        batch = await anext(one)
        await batch.ack()
        await batch.ack()
    write(client, IMEI, range(5, 8))
    async with consumer(valkey) as one:
        assert numbers(await anext(one)) == [5, 6, 7]


async def test_a_consumer_that_starts_again_gets_first_what_it_has_not_acknowledged(
    valkey: OwnValkey, client: redis.Redis
) -> None:
    write(client, IMEI, range(30))
    async with consumer(valkey, max_records=10) as one:
        first = await anext(one)
        await first.ack()
        await anext(one)  # and a third is on its way
    async with consumer(valkey, max_records=10) as one:
        again = await anext(one)
        assert numbers(again) == list(range(10, 20))
        assert [record.deliveries for record in again.records] == [2] * 10
        await again.ack()
        assert await read_all(one, 10) == list(range(20, 30))
    assert pending(client) == 0


async def test_two_consumers_of_a_group_share_the_records_and_each_comes_once(
    valkey: OwnValkey, client: redis.Redis
) -> None:
    write(client, IMEI, range(400))
    found: list[int] = []
    by: dict[str, int] = {}

    async def consume(name: str) -> None:
        async with consumer(valkey, name, max_records=10) as one:
            async for batch in one:
                found.extend(numbers(batch))
                await batch.ack()
                by[name] = by.get(name, 0) + len(batch)
                if len(found) == 400:
                    raise asyncio.CancelledError

    done, others = await asyncio.wait(
        [asyncio.create_task(consume(name)) for name in "ab"], return_when=asyncio.FIRST_COMPLETED
    )
    for task in others:
        task.cancel()
    await asyncio.wait(done | others)
    assert sorted(found) == list(range(400))
    assert by.keys() == {"a", "b"}
    assert pending(client) == 0


async def test_every_group_gets_all(valkey: OwnValkey, client: redis.Redis) -> None:
    write(client, IMEI, range(3))
    for group in ("billing", "map"):
        async with TelemetryConsumer(valkey.url, group=group, consumer="a") as one:
            assert numbers(await anext(one)) == [0, 1, 2]


async def test_a_new_group_can_begin_with_what_comes_from_now_on(
    valkey: OwnValkey, client: redis.Redis
) -> None:
    write(client, IMEI, range(3))
    async with consumer(valkey, begin=Begin.NEWEST) as one:
        write(client, IMEI, [3, 4])
        assert numbers(await anext(one)) == [3, 4]


@contextmanager
def consuming(valkey: OwnValkey, name: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, str(TESTS / "consuming.py"), valkey.url, name]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def next_batch(process: subprocess.Popen[str]) -> list[tuple[str, int, int]]:
    assert process.stdout is not None
    lines = iter(process.stdout.readline, "end\n")
    return [(imei, int(number), int(count)) for imei, number, count in map(str.split, lines)]


def acknowledge(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


async def test_what_a_killed_consumer_left_is_taken_over_and_nothing_else(
    valkey: OwnValkey, client: redis.Redis
) -> None:
    write(client, IMEI, range(50))
    with consuming(valkey, "dead") as dead:
        done = next_batch(dead)
        acknowledge(dead)
        left = next_batch(dead)  # and one more has been read
        dead.send_signal(signal.SIGKILL)
    assert [number for _, number, _ in done + left] == list(range(20))
    counts: dict[int, int] = {}
    async with consumer(valkey, "heir", claim_idle_s=0.5) as heir:
        while len(counts) < 40:
            batch = await anext(heir)
            for record in batch.records:
                number = number_of(record.timestamp)
                assert number not in counts
                counts[number] = record.deliveries
            await batch.ack()
    assert counts.keys() == set(range(10, 50))
    assert {counts[number] for number in range(10, 20)} == {2}
    assert {counts[number] for number in range(30, 50)} == {1}
    assert pending(client) == 0


async def test_a_batch_nobody_acknowledges_comes_again_and_says_how_often(
    valkey: OwnValkey, client: redis.Redis
) -> None:
    write(client, IMEI, [1])
    async with consumer(valkey, claim_idle_s=0.05) as one:
        counts = [(await anext(one)).records[0].deliveries for _ in range(3)]
    assert counts == sorted(set(counts))  # a poisoned one is seen


async def test_each_devices_records_come_in_order_from_all_shards(
    valkey: OwnValkey, client: redis.Redis
) -> None:
    keys = Keys(stream_shards=4)
    client.set(keys.shards_recorded, 4)
    imeis = [f"35630704{number:07}" for number in range(0, 120_000, 10_007)]
    assert {keys.shard_of(imei) for imei in imeis} == {0, 1, 2, 3}
    for start in range(0, 60, 20):
        for imei in imeis:
            write(client, imei, range(start, start + 20), keys)
    found: dict[str, list[int]] = {imei: [] for imei in imeis}
    streams = set()
    async with consumer(valkey, max_records=25) as one:
        while sum(map(len, found.values())) < 12 * 60:
            batch = await anext(one)
            streams.add(batch.stream)
            for record in batch.records:
                found[record.imei].append(number_of(record.timestamp))
            await batch.ack()
    assert found == {imei: list(range(60)) for imei in imeis}
    assert streams == {shard.telemetry for shard in keys.shards}


async def test_a_consumer_reads_only_the_shards_it_is_told(
    valkey: OwnValkey, client: redis.Redis
) -> None:
    keys = Keys(stream_shards=2)
    imeis = [IMEI, OTHER]
    shards = [keys.shard_of(imei) for imei in imeis]
    assert sorted(shards) == [0, 1]
    for imei in imeis:
        write(client, imei, range(3), keys)
    async with consumer(valkey, stream_shards=2, shards=[shards[0]]) as one:
        batch = await anext(one)
        assert {record.imei for record in batch.records} == {IMEI}
        await batch.ack()
        write(client, IMEI, [3], keys)
        assert numbers(await anext(one)) == [3]
    with pytest.raises(ValueError, match="expected some of 0 to 1"):
        await consumer(valkey, stream_shards=2, shards=[2]).__aenter__()


async def test_no_more_is_read_than_a_slow_user_holds_and_a_batch_more(
    valkey: OwnValkey, client: redis.Redis
) -> None:
    write(client, IMEI, range(1000))
    async with consumer(valkey, max_records=10) as one:
        for taken in range(1, 5):
            await anext(one)
            while pending(client) < 10 * (taken + 1):
                await asyncio.sleep(0)
            assert pending(client) == 10 * (taken + 1)
        for _ in range(300):  # however long the user takes
            await asyncio.sleep(0)
            assert pending(client) == 50


async def test_a_batch_is_waited_for_to_be_full_but_not_for_ever(
    valkey: OwnValkey, client: redis.Redis
) -> None:
    async with consumer(valkey, max_records=3, max_wait_s=30.0) as one:
        coming = asyncio.ensure_future(anext(one))
        for number in range(3):
            write(client, IMEI, [number])
            while pending(client) <= number:
                await asyncio.sleep(0)
        assert numbers(await coming) == [0, 1, 2]
    async with consumer(valkey, "b", max_records=3, max_wait_s=0.05) as one:
        write(client, IMEI, [3])
        assert numbers(await anext(one)) == [3]


async def test_where_redis_is_killed_and_started_nothing_is_lost_and_order_holds(
    valkey: OwnValkey, client: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    write(client, IMEI, range(100))
    async with consumer(valkey, max_records=10) as one:
        found = await read_all(one, 30)
        held = await anext(one)
        found += numbers(held)
        valkey.kill()
        acknowledging = asyncio.ensure_future(held.ack())
        while "Redis is away" not in caplog.text:
            await asyncio.sleep(0)
        await asyncio.to_thread(valkey.start)
        await acknowledging
        assert found + await read_all(one, 60) == list(range(100))
        coming = asyncio.ensure_future(anext(one))
        while not client.info("clients")["blocked_clients"]:
            await asyncio.sleep(0)
        valkey.kill()  # while it waits for more
        write(await asyncio.to_thread(valkey.start), IMEI, [100])
        assert numbers(await coming) == [100]
    assert pending(client) == 1
    assert caplog.text.count("Redis is away") == caplog.text.count("Redis is back") == 2


async def test_what_a_lost_reply_had_comes_before_what_is_new(
    valkey: OwnValkey, client: redis.Redis
) -> None:
    write(client, IMEI, range(3))
    (_, zero), (_, one), (_, two) = client.xrange(STREAM)
    client.delete(STREAM)
    async with consumer(valkey) as reader:
        held = await first_batch(reader, client, zero)
        with client.pipeline() as pipeline:  # Redis has given it, and the connection is broken
            pipeline.client_kill_filter(_type="normal", skipme=True)
            pipeline.xadd(STREAM, one)
            pipeline.xreadgroup(GROUP, "a", {STREAM: ">"})
            pipeline.xadd(STREAM, two)
            pipeline.execute()
        assert await read_all(reader, 2) == [1, 2]
        assert numbers(held) == [0]


async def first_batch(one: TelemetryConsumer, client: redis.Redis, fields: dict[str, str]) -> Batch:
    """Of an entry with these fields; returned when the consumer waits for more."""
    client.xadd(STREAM, fields)
    batch = await anext(one)
    while not client.info("clients")["blocked_clients"]:
        await asyncio.sleep(0)
    return batch


async def test_a_stream_that_was_deleted_is_read_from_its_beginning(
    valkey: OwnValkey, client: redis.Redis
) -> None:
    write(client, IMEI, range(3))
    async with consumer(valkey, begin=Begin.NEWEST) as one:
        client.flushall()
        write(client, IMEI, range(3, 6))
        assert await read_all(one, 3) == [3, 4, 5]


async def test_what_was_trimmed_before_it_was_acknowledged_is_told(
    valkey: OwnValkey, client: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    write(client, IMEI, range(20))
    async with consumer(valkey, max_records=10) as one:
        await anext(one)
        while pending(client) < 20:
            await asyncio.sleep(0)
    ids = [entry_id for entry_id, _ in client.xrange(STREAM)]
    client.xtrim(STREAM, maxlen=15, approximate=False)
    lost: list[str] = []
    async with consumer(valkey, on_lost=lambda _, gone: lost.extend(gone)) as one:
        assert numbers(await anext(one)) == list(range(5, 20))
    assert lost == ids[:5]
    assert pending(client) == 15
    client.xtrim(STREAM, maxlen=12, approximate=False)
    async with consumer(valkey, "heir", claim_idle_s=0.001) as one:
        assert numbers(await anext(one)) == list(range(8, 20))
    assert "3 entries were trimmed before they were acknowledged" in caplog.text
    assert pending(client) == 12


async def test_what_is_no_telemetry_is_handed_out_as_such_and_ends_nothing(
    valkey: OwnValkey, client: redis.Redis
) -> None:
    write(client, IMEI, [1])
    client.xadd(STREAM, {"payload": "{"})
    client.xadd(STREAM, {"who": "me"})
    write(client, IMEI, [2])
    async with consumer(valkey) as one:
        batch = await anext(one)
        assert numbers(batch) == [1, 2]
        first, second = batch.rejected
        assert first.reason.startswith("payload: ")
        assert second.fields == {b"who": b"me"}
        await batch.ack()
    assert pending(client) == 0


async def test_a_cancelled_user_has_acknowledged_nothing(
    valkey: OwnValkey, client: redis.Redis
) -> None:
    write(client, IMEI, range(10))
    took = asyncio.Event()

    async def use() -> None:
        async with consumer(valkey) as one:
            async for _ in one:
                took.set()
                await asyncio.Event().wait()

    user = asyncio.create_task(use())
    await took.wait()
    user.cancel()
    with pytest.raises(asyncio.CancelledError):
        await user
    assert pending(client) == 10


async def test_the_users_own_error_comes_out_as_it_is(
    valkey: OwnValkey, client: redis.Redis
) -> None:
    write(client, IMEI, [1])
    with pytest.raises(ZeroDivisionError):
        async with consumer(valkey) as one:
            async for _ in one:
                raise ZeroDivisionError


def rights() -> list[str]:
    """Of the user in docs/consumers.md."""
    page = (TESTS.parent / "docs" / "consumers.md").read_text()
    (line,) = [line for line in page.splitlines() if line.startswith("ACL SETUSER ")]
    return line.split()


async def test_the_rights_that_are_written_down_are_enough(
    valkey: OwnValkey, client: redis.Redis
) -> None:
    write(client, IMEI, range(3))
    client.execute_command(*rights())
    url = f"{valkey.url}?username=reader&password=PASSWORD"
    for _ in range(2):  # the second takes up what the first has left
        async with TelemetryConsumer(url, group=GROUP, consumer="a") as one:
            batch = await anext(one)
            assert numbers(batch) == [0, 1, 2]
    lagging = open_client(url)
    assert [group.pending for group in await read_lag(lagging, Keys())] == [3]
    await lagging.aclose()
    async with TelemetryConsumer(url, group=GROUP, consumer="b", claim_idle_s=0.001) as one:
        await (await anext(one)).ack()
    assert pending(client) == 0


async def test_where_no_redis_is_it_says_so(tmp_path: Path) -> None:
    nobody = TelemetryConsumer(f"unix://{tmp_path}/none", group=GROUP, consumer="a")
    with pytest.raises(RedisUnavailableError, match="Redis: "):
        await nobody.__aenter__()


async def test_a_key_of_another_type_is_told_to_whoever_iterates(
    valkey: OwnValkey, client: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    async with consumer(valkey) as one:
        client.delete(STREAM)
        client.set(STREAM, "text")
        for _ in range(2):  # who goes on all the same does not wait for ever
            with pytest.raises(RedisUnavailableError, match=f"{STREAM}: WRONGTYPE"):
                async with asyncio.timeout(10):
                    await anext(one)
    assert [line for line in caplog.records if line.levelno >= logging.ERROR] == []
