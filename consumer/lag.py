"""How far the groups that read the telemetry stream are behind."""

import msgspec
from redis.exceptions import ResponseError

from teltonika.consumer.client import answer_to
from teltonika.server.clients import AsyncClient
from teltonika.server.keys import Keys


class ConsumerState(msgspec.Struct, frozen=True):
    """One consumer, on one shard."""

    name: str
    pending: int
    """Delivered to it, and not acknowledged."""
    idle_s: float
    """Since it last asked for anything."""


class ShardLag(msgspec.Struct, frozen=True):
    """One group, on one shard."""

    stream: str
    lag: int | None
    """Entries not delivered yet; None where Redis cannot say, after entries were deleted."""
    lag_at_most: int
    """No more than that, in any case."""
    pending: int
    """Delivered, and not acknowledged."""
    oldest_age_s: float | None
    """Of the oldest entry that is not done with, since Redis took it; None if there is none."""
    consumers: list[ConsumerState]


class GroupLag(msgspec.Struct, frozen=True):
    """One group, on all shards that it has come to."""

    group: str
    lag: int | None
    """Of all shards; None where it is not known of one."""
    lag_at_most: int
    pending: int
    oldest_age_s: float | None
    shards: list[ShardLag]


class _Group(msgspec.Struct, frozen=True):
    name: bytes
    last_delivered: str
    lag: int | None
    """As Redis says."""


async def read_lag(client: AsyncClient, keys: Keys) -> list[GroupLag]:
    """By name; none where nobody has read anything. ``client``: as `open_client` makes it.

    Raises what redis-py raises.
    """
    found: dict[str, list[ShardLag]] = {}
    for shard in keys.shards:
        for group in await _groups(client, shard.telemetry):
            state = await _shard_lag(client, shard.telemetry, group)
            found.setdefault(_text(group.name), []).append(state)
    return [_together(name, shards) for name, shards in sorted(found.items())]


async def _groups(client: AsyncClient, stream: str) -> list[_Group]:
    try:
        rows = await answer_to(client.xinfo_groups(stream))
    except ResponseError as error:
        if "no such key" not in str(error):
            raise type(error)(f"{stream}: {error}") from None
        return []
    return [_Group(row["name"], _text(row["last-delivered-id"]), row.get("lag")) for row in rows]


async def _shard_lag(client: AsyncClient, stream: str, group: _Group) -> ShardLag:
    length = await answer_to(client.xlen(stream))
    first = _ids(await answer_to(client.xrange(stream, "-", "+", 1)))
    undelivered = _ids(await answer_to(client.xrange(stream, f"({group.last_delivered}", "+", 1)))
    pending = await answer_to(client.xpending(stream, group.name))
    consumers = await answer_to(client.xinfo_consumers(stream, group.name))
    lag: int | None
    if not undelivered:
        lag = 0
    elif undelivered == first:  # as Redis cannot say of a stream that was trimmed under its reader
        lag = length
    else:
        lag = group.lag if group.lag is None else min(group.lag, length)
    oldest = undelivered + ([_text(pending["min"])] if pending["min"] is not None else [])
    now_s = await _now_s(client)
    ages_s = [now_s - int(one.partition("-")[0]) / 1000 for one in oldest]
    return ShardLag(
        stream=stream,
        lag=lag,
        lag_at_most=length if lag is None else lag,
        pending=pending["pending"],
        oldest_age_s=round(max(0.0, *ages_s), 3) if ages_s else None,
        consumers=[
            ConsumerState(_text(row["name"]), row["pending"], row["idle"] / 1000)
            for row in consumers
        ],
    )


async def _now_s(client: AsyncClient) -> float:
    """By the clock that makes the ids of entries; of a cluster's the one that is ahead."""
    said = await answer_to(client.time())
    times: list[tuple[int, int]] = list(said.values()) if isinstance(said, dict) else [said]
    return max(seconds + microseconds / 1e6 for seconds, microseconds in times)


def _together(name: str, shards: list[ShardLag]) -> GroupLag:
    known = [shard.lag for shard in shards if shard.lag is not None]
    ages_s = [shard.oldest_age_s for shard in shards if shard.oldest_age_s is not None]
    return GroupLag(
        group=name,
        lag=sum(known) if len(known) == len(shards) else None,
        lag_at_most=sum(shard.lag_at_most for shard in shards),
        pending=sum(shard.pending for shard in shards),
        oldest_age_s=max(ages_s, default=None),
        shards=shards,
    )


def _ids(entries: list[tuple[bytes, dict[bytes, bytes]]]) -> list[str]:
    return [_text(entry_id) for entry_id, _ in entries]


def _text(name: bytes) -> str:
    return name.decode("utf-8", "replace")
