"""How many shards there are: recorded once, the same for all, changed with what is known."""

import re

import pytest
import redis

from teltonika.server.deployment import deployment_of
from teltonika.server.embedded import EmbeddedValkey
from teltonika.server.keys import Keys
from teltonika.server.links import Links
from teltonika.server.shard_record import WrongShardsError, check_shards, recorded_keys

IMEIS = [f"3563070424{number:05}" for number in range(300)]
OF = {shards: Keys(stream_shards=shards) for shards in (1, 3, 4)}


async def start(valkey: EmbeddedValkey, shards: int, *, reshard: bool = False) -> None:
    await check_shards(deployment_of(valkey.url), OF[shards], reshard=reshard)


async def recorded(valkey: EmbeddedValkey) -> int:
    links = Links(deployment_of(valkey.url))
    try:
        return (await recorded_keys(links, Keys())).stream_shards
    finally:
        await links.close()


def fill(client: redis.Redis, shards: int) -> None:
    """What a fleet leaves there."""
    for imei in IMEIS:
        shard = OF[shards].shards[OF[shards].shard_of(imei)]
        client.hset(shard.dedupe, imei, f"digests of {imei}")


def known(client: redis.Redis, shards: int) -> dict[str, str]:
    """What is known of each device where it is looked for."""
    found = {}
    for imei in IMEIS:
        shard = OF[shards].shards[OF[shards].shard_of(imei)]
        if digests := client.hget(shard.dedupe, imei):
            found[imei] = str(digests)
    return found


ALL = {imei: f"digests of {imei}" for imei in IMEIS}


async def test_the_first_server_says_how_many_there_are(valkey: EmbeddedValkey) -> None:
    assert await recorded(valkey) == 1
    await start(valkey, 3)
    assert await recorded(valkey) == 3
    await start(valkey, 3)
    with pytest.raises(WrongShardsError, match=r"is in 3\. Start with --stream-shards 3"):
        await start(valkey, 1)
    assert await recorded(valkey) == 3


@pytest.mark.parametrize("value", ["abc", "", "0", "-3", "1.5", "1025", "9" * 5_000])
async def test_what_is_no_number_of_shards_is_said(
    value: str, valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    client.set(Keys().shards_recorded, value)
    for ask in (recorded(valkey), start(valkey, 1)):
        with pytest.raises(WrongShardsError, match="expected a number of shards, 1 to 1024, found"):
            await ask


async def test_where_nothing_is_recorded_and_devices_are_known_there_is_one(
    valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    fill(client, 1)
    with pytest.raises(WrongShardsError, match=r"is in 1\."):
        await start(valkey, 3)


async def test_when_the_number_changes_what_is_known_of_each_device_comes_along(
    valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    fill(client, 1)
    for before, after in ((1, 3), (3, 4), (4, 3), (3, 1)):
        await start(valkey, after, reshard=True)
        assert await recorded(valkey) == after
        assert known(client, after) == ALL
        kept = sum(client.hlen(shard.dedupe) for shard in OF[after].shards)
        assert kept == len(IMEIS), before


async def test_a_change_that_was_broken_off_can_be_done_again(
    valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    """Here what was carried over stands in both shards, and the record is the old one."""
    fill(client, 3)
    client.set(Keys().shards_recorded, 3)
    fill(client, 4)
    assert known(client, 3) == ALL
    await start(valkey, 4, reshard=True)
    assert known(client, 4) == ALL
    assert sum(client.hlen(shard.dedupe) for shard in OF[4].shards) == len(IMEIS)


async def test_what_an_earlier_change_left_behind_is_not_taken_for_new(
    valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    """The step that forgets it was not done: the next change back must not bring it back."""
    fill(client, 3)
    client.set(Keys().shards_recorded, 4)
    for imei in IMEIS:
        shard = OF[4].shards[OF[4].shard_of(imei)]
        client.hset(shard.dedupe, imei, f"newer of {imei}")
    await start(valkey, 3, reshard=True)
    assert known(client, 3) == {imei: f"newer of {imei}" for imei in IMEIS}


async def test_nothing_changes_while_an_instance_lives(
    valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    fill(client, 1)
    client.hset(Keys().runs, "gate", "run")
    client.set(Keys().heartbeat("gate"), "{}")
    with pytest.raises(WrongShardsError, match=re.escape("the instance gate is alive")):
        await start(valkey, 3, reshard=True)
    assert known(client, 1) == ALL
    assert await recorded(valkey) == 1
