"""All instances and their devices at a glance, from Redis alone; each look is bounded work."""

import contextlib
from collections import Counter
from collections.abc import Sequence
from typing import cast

import msgspec
from redis.exceptions import ResponseError

from teltonika.codecs.timestamps import format_timestamp
from teltonika.server.follow import newest_entries, redis_time_ms
from teltonika.server.heartbeat import Beat
from teltonika.server.keys import Keys
from teltonika.server.redis_link import RedisLink, Reply, pack_command
from teltonika.server.telemetry_sample import Ages, NoisyDevice, SlowDevice, TelemetrySamples

MAX_ENTRIES = 1_000
"""Of the telemetry stream, read at one look: of more that have come since the last the newest."""
MAX_REGISTERED = 10_000
"""Entries of the registry that are counted by instance; with more the counts are estimates."""
MAX_INSTANCES = 200
DEVICES = 8
"""Of the noisiest, and of the slowest."""
FIRST_SECONDS = 10
"""How far back the first look reads."""
PAGE = 1_000


class InstanceState(msgspec.Struct, frozen=True):
    """One instance, alive or not yet cleaned up."""

    instance_id: str
    alive: bool
    heartbeat_age_s: float | None
    """Seconds; None if it has none."""
    host: str | None
    port: int | None
    started_at: str | None
    connections: int
    """Devices that the registry has there."""
    commands: int
    """On its stream: waiting or with a device."""


class Overview(msgspec.Struct, frozen=True):
    """What one look at Redis shows."""

    ts: str
    """By the clock of Redis."""
    instances: list[InstanceState]
    connections: int
    connections_are_estimated: bool
    """By instance; the sum never is."""
    commands: int
    records_per_s: float
    stream_length: int
    sampled: float
    """Which part of the records since the last look was read: 1 is all of them."""
    ages: Ages | None
    noisiest: list[NoisyDevice]
    slowest: list[SlowDevice]


class _Stream(msgspec.Struct, frozen=True):
    length: int
    entries_added: int | None
    """Since it was made; None where Redis is older than version 7 and does not say."""


class _Look(msgspec.Struct, frozen=True):
    """What the next look goes on from."""

    now_ms: int
    entries_added: int | None
    seen: str


class OverviewReader:
    """`read` as often as you like: rates and ages are of what came between."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._samples = TelemetrySamples()
        self._last: _Look | None = None

    async def read(self, link: RedisLink) -> Overview:
        now_ms = await redis_time_ms(link)
        registered, counts, is_estimate = await self._registry(link)
        instances = await self._instances(link, counts)
        stream, records_per_s, sampled = await self._telemetry(link, now_ms)
        return Overview(
            ts=format_timestamp(now_ms),
            instances=instances,
            connections=registered,
            connections_are_estimated=is_estimate,
            commands=sum(instance.commands for instance in instances),
            records_per_s=records_per_s,
            stream_length=stream.length,
            sampled=sampled,
            ages=self._samples.ages(),
            noisiest=self._samples.noisiest(DEVICES),
            slowest=self._samples.slowest(DEVICES),
        )

    async def _registry(self, link: RedisLink) -> tuple[int, Counter[str], bool]:
        """How many devices are connected, and where."""
        registered = cast(int, await link.execute("HLEN", self._keys.registry))
        counts: Counter[str] = Counter()
        read, cursor = 0, b"0"
        while read < MAX_REGISTERED:
            reply = await link.execute("HSCAN", self._keys.registry, cursor, "COUNT", PAGE)
            cursor, page = cast("tuple[bytes, list[bytes]]", reply)
            counts.update(instance_id.decode() for instance_id in page[1::2])
            read += len(page) // 2
            if cursor == b"0":
                return registered, counts, False
        for instance_id, count in counts.items():
            counts[instance_id] = round(count * registered / read)
        return registered, counts, True

    async def _instances(self, link: RedisLink, counts: Counter[str]) -> list[InstanceState]:
        runs = cast("list[bytes]", await link.execute("HKEYS", self._keys.runs))
        known = sorted({run.decode() for run in runs} | counts.keys())[:MAX_INSTANCES]
        replies = await _execute_all(
            link,
            [
                command
                for instance_id in known
                for command in (
                    ("GET", self._keys.heartbeat(instance_id)),
                    ("PTTL", self._keys.heartbeat(instance_id)),
                    ("XLEN", self._keys.outbound(instance_id)),
                )
            ],
        )
        return [
            _instance(instance_id, counts[instance_id], *replies[3 * place : 3 * place + 3])
            for place, instance_id in enumerate(known)
        ]

    async def _telemetry(self, link: RedisLink, now_ms: int) -> tuple[_Stream, float, float]:
        """The stream, records a second, and which part of them was read."""
        stream = await self._stream(link)
        last = self._last
        since = f"({last.seen}" if last else f"{max(0, now_ms - 1000 * FIRST_SECONDS)}"
        entries = await newest_entries(link, self._keys.telemetry, since, MAX_ENTRIES)
        seconds = (now_ms - last.now_ms) / 1000 if last else float(FIRST_SECONDS)
        added = len(entries)
        if len(entries) == MAX_ENTRIES:
            before = None if last is None else last.entries_added
            if before is not None and stream.entries_added is not None:
                added = max(added, stream.entries_added - before)
            else:  # of the time before those that were read nothing is known
                seconds = now_ms / 1000 - int(entries[-1].entry_id.partition("-")[0]) / 1000
        seconds = max(seconds, 1e-3)
        self._samples.add(entries, added, seconds)
        seen = entries[0].entry_id if entries else last.seen if last else f"{now_ms}-0"
        self._last = _Look(now_ms, stream.entries_added, seen)
        return stream, round(added / seconds, 3), len(entries) / added if added else 1.0

    async def _stream(self, link: RedisLink) -> _Stream:
        try:
            reply = await link.execute("XINFO", "STREAM", self._keys.telemetry)
        except ResponseError as error:
            if "no such key" not in str(error):
                raise
            return _Stream(0, 0)
        pairs = cast("list[bytes | int]", reply)
        info = dict(zip(pairs[::2], pairs[1::2], strict=True))
        return _Stream(cast(int, info[b"length"]), cast("int | None", info.get(b"entries-added")))


def _instance(
    instance_id: str, connections: int, beat: Reply, left_ms: Reply, commands: Reply
) -> InstanceState:
    read: Beat | None = None
    with contextlib.suppress(msgspec.MsgspecError):
        read = None if beat is None else msgspec.json.decode(cast(bytes, beat), type=Beat)
    age_s = None
    if read is not None and read.ttl_s:
        age_s = max(0.0, round(read.ttl_s - cast(int, left_ms) / 1000, 3))
    return InstanceState(
        instance_id,
        beat is not None,
        age_s,
        None if read is None else read.host,
        None if read is None else read.port,
        None if read is None else read.started_at,
        connections,
        cast(int, commands),
    )


async def _execute_all(link: RedisLink, commands: Sequence[Sequence[str]]) -> list[Reply]:
    """All at once: a round trip, not one for each."""
    await link.write(b"".join(pack_command(*command) for command in commands))
    return [await link.read_reply() for _ in commands]
