"""How many shards the telemetry on a Redis is in, as it is recorded there.

A device that changes its shard is a new one there: what it sent last is not known, and what it
sends again stands on two streams. So the number is the same for all servers, and changing it is a
step of its own: what is known of each device moves to its new shard before anybody writes there.
"""

from collections.abc import AsyncIterator
from typing import cast

import structlog

from teltonika.server.deployment import Deployment
from teltonika.server.errors import WrongShardsError
from teltonika.server.keys import Keys, ShardKeys
from teltonika.server.links import Links

log = structlog.get_logger()

PAGE = 500


async def recorded_keys(links: Links, keys: Keys) -> Keys:
    """The same keys, with the shards that are there. Raises WrongShardsError."""
    recorded = await links.execute("GET", keys.shards_recorded)
    return keys.with_recorded_shards(cast("bytes | None", recorded))


async def check_shards(redis: Deployment, keys: Keys, *, reshard: bool) -> None:
    """Record the number of shards where none is.

    Where another one is: carry over what is known of the devices if ``reshard``, else raise
    WrongShardsError. Raises RedisError or OSError.
    """
    links = Links(redis)
    try:
        recorded = await _recorded(links, keys)
        if recorded == keys.stream_shards:
            return
        if not reshard:
            raise WrongShardsError(
                f"--stream-shards {keys.stream_shards}: the telemetry on this Redis is in "
                f"{recorded}. Start with --stream-shards {recorded}; to change the number, "
                "let consumers know first, stop every server, and start one with --reshard"
            )
        await _check_nobody_lives(links, keys)
        before = keys.with_shards(recorded)
        carried = await _carry_over(links, before, keys)
        await links.execute("SET", keys.shards_recorded, keys.stream_shards)
        await _tidy(links, before, keys)
        log.warning("resharded", shards_before=recorded, shards=keys.stream_shards, devices=carried)
    finally:
        await links.close()


async def shards_there(links: Links, keys: Keys) -> int:
    """What is recorded, or what a server that starts records. Raises WrongShardsError."""
    recorded = await links.execute("GET", keys.shards_recorded)
    if recorded is None:
        return await _unrecorded(links, keys)
    return keys.with_recorded_shards(cast(bytes, recorded)).stream_shards


async def _unrecorded(links: Links, keys: Keys) -> int:
    """There may have been a server that recorded nothing."""
    has_one = await links.execute("EXISTS", keys.with_shards(1).shards[0].dedupe)
    return 1 if has_one else keys.stream_shards


async def _recorded(links: Links, keys: Keys) -> int:
    """What is recorded, by now at the latest."""
    recorded = await links.execute("GET", keys.shards_recorded)
    if recorded is None:
        number = await _unrecorded(links, keys)
        await links.execute("SET", keys.shards_recorded, number, "NX")
        recorded = await links.execute("GET", keys.shards_recorded)
    return keys.with_recorded_shards(cast(bytes, recorded)).stream_shards


async def _check_nobody_lives(links: Links, keys: Keys) -> None:
    for name in cast("list[bytes]", await links.execute("HKEYS", keys.runs)):
        instance_id = name.decode("utf-8", "backslashreplace")
        if await links.execute("EXISTS", keys.heartbeat(instance_id)):
            raise WrongShardsError(
                f"--reshard: the instance {instance_id} is alive and writes to the shards that "
                "there are: stop it first"
            )


async def _carry_over(links: Links, before: Keys, after: Keys) -> int:
    """Write what is known of each device into its new shard; how many devices there are.

    Only what stands where it belongs: the rest is left from an earlier change.
    """
    carried = 0
    for number, shard in enumerate(before.shards):
        async for page in _devices(links, shard):
            moved: dict[str, list[bytes]] = {}
            for imei, known in page:
                if before.shard_of(_text(imei)) == number:
                    target = after.shards[after.shard_of(_text(imei))]
                    moved.setdefault(target.dedupe, []).extend((imei, known))
                    carried += 1
            moved.pop(shard.dedupe, None)
            for dedupe, pairs in moved.items():
                await links.execute("HSET", dedupe, *pairs)
    return carried


async def _tidy(links: Links, before: Keys, after: Keys) -> None:
    """Forget what stands where it does not belong any more."""
    for shard in before.shards:
        async for page in _devices(links, shard):
            gone = [
                imei
                for imei, _ in page
                if after.shards[after.shard_of(_text(imei))].dedupe != shard.dedupe
            ]
            if gone:
                await links.execute("HDEL", shard.dedupe, *gone)


async def _devices(links: Links, shard: ShardKeys) -> AsyncIterator[list[tuple[bytes, bytes]]]:
    cursor = b"0"
    while True:
        reply = await links.execute("HSCAN", shard.dedupe, cursor, "COUNT", PAGE)
        cursor, found = cast("tuple[bytes, list[bytes]]", reply)
        yield list(zip(found[::2], found[1::2], strict=True))
        if cursor == b"0":
            return


def _text(imei: bytes) -> str:
    return imei.decode("ascii", "backslashreplace")
