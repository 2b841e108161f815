"""Devices not seen for long are forgotten; those seen since are not."""

import redis

from teltonika.server.background import background
from teltonika.server.dedupe_sweeper import DedupeSweeper
from teltonika.server.deployment import deployment_of
from teltonika.server.embedded import EmbeddedValkey
from teltonika.server.keys import Keys
from teltonika.server.redis_writer import RedisWriter
from teltonika.server.scripts import FORGET_DEVICES, SCRIPTS

KEYS = Keys().shards[0]


def value(day: int) -> bytes:
    return day.to_bytes(4) + b"12345678"


async def test_a_sweep_forgets_the_old_and_keeps_the_rest(
    valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    days = {f"{number:015d}": number for number in range(19_000, 20_300)}
    client.hset(KEYS.dedupe, mapping={imei: value(day) for imei, day in days.items()})
    writer = RedisWriter(deployment_of(valkey.url), SCRIPTS)
    async with background(writer.run()):
        forgotten = await DedupeSweeper(deployment_of(valkey.url), writer, KEYS, days=30).sweep(
            20_000
        )
    kept = {imei for imei, day in days.items() if day >= 19_970}
    assert forgotten == len(days) - len(kept)
    assert {imei.decode() for imei in redis.Redis.from_url(valkey.url).hkeys(KEYS.dedupe)} == kept


async def test_more_are_forgotten_while_they_take_too_much_memory(
    valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    days = {f"{number:015d}": 20_000 - number % 20 for number in range(4_000)}
    client.hset(KEYS.dedupe, mapping={imei: value(day) for imei, day in days.items()})
    half = client.memory_usage(KEYS.dedupe, samples=0) // 2
    writer = RedisWriter(deployment_of(valkey.url), SCRIPTS)
    async with background(writer.run()):
        await DedupeSweeper(deployment_of(valkey.url), writer, KEYS, days=16).fit(20_000)
        assert client.hlen(KEYS.dedupe) == 4_000  # no limit
        await DedupeSweeper(deployment_of(valkey.url), writer, KEYS, 16, max_bytes=half).fit(20_000)
        left = {
            redis_imei.decode()
            for redis_imei in redis.Redis.from_url(valkey.url).hkeys(KEYS.dedupe)
        }
        assert left == {imei for imei, day in days.items() if day >= 19_996}
        await DedupeSweeper(deployment_of(valkey.url), writer, KEYS, 16, max_bytes=1).fit(20_000)
        assert client.hlen(KEYS.dedupe) == 400  # today and yesterday


async def test_a_device_that_came_back_meanwhile_is_kept(
    valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    client.hset(KEYS.dedupe, "356307042441013", value(20_000))
    script = FORGET_DEVICES.source.decode()
    assert client.eval(script, 1, KEYS.dedupe, 20_000, "356307042441013") == 0
    assert client.eval(script, 1, KEYS.dedupe, 20_001, "356307042441013", "none") == 1


async def test_one_instance_measures_for_all(valkey: EmbeddedValkey, client: redis.Redis) -> None:
    writer = RedisWriter(deployment_of(valkey.url), SCRIPTS)
    swept = [
        DedupeSweeper(deployment_of(valkey.url), writer, KEYS, days=30, max_bytes=1)
        for _ in range(4)
    ]
    client.config_resetstat()
    async with background(writer.run(), *(sweeper.run() for sweeper in swept)):
        stats: dict[str, dict[str, int]] = {}
        while stats.get("cmdstat_memory|usage", {"calls": 0})["calls"] == 0 or stats["cmdstat_set"][
            "calls"
        ] < 2 * len(swept):
            await writer.call("PING", at="key")
            stats = client.info("commandstats")
    assert stats["cmdstat_memory|usage"]["calls"] == 1


async def test_it_is_done_once_a_day_by_whoever_comes_first(
    valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    old = "356307042441013"
    writer = RedisWriter(deployment_of(valkey.url), SCRIPTS)
    client.hset(KEYS.dedupe, old, value(1))
    with client.monitor() as monitor:
        async with background(
            writer.run(),
            *(
                DedupeSweeper(deployment_of(valkey.url), writer, KEYS, days=30).run()
                for _ in range(2)
            ),
        ):
            await writer.call("PING", at="key")
            while client.hexists(KEYS.dedupe, old):
                await writer.call("PING", at="key")
            await writer.call("ECHO", "end")
        commands = []
        while not commands or commands[-1] != "ECHO":
            commands.append(monitor.next_command()["command"].split()[0])
    assert commands.count("HSCAN") == 1
