"""All instances and their devices at a glance, from Redis alone; each look is bounded work."""

from collections import Counter
from collections.abc import Awaitable, Sequence
from itertools import chain
from typing import TypeVar, cast

import msgspec
from redis.exceptions import ResponseError

from teltonika.codecs.timestamps import format_timestamp
from teltonika.server.errors import WrongShardsError
from teltonika.server.follow import StreamEntry, newest_entries, redis_time_ms
from teltonika.server.heartbeat import Beat
from teltonika.server.keys import Keys
from teltonika.server.links import Links
from teltonika.server.redis_link import RedisLink, Reply, pack_command
from teltonika.server.refusals import complaint_about
from teltonika.server.shard_record import recorded_keys
from teltonika.server.telemetry_sample import Ages, NoisyDevice, SlowDevice, TelemetrySamples

MAX_ENTRIES = 1_000
"""Of the telemetry streams, read at one look: of more that have come since the last the newest."""
MAX_REGISTERED = 10_000
"""Entries of the registry that are counted by instance; with more the counts are estimates."""
MAX_INSTANCES = 200
DEVICES = 8
"""Of the noisiest, and of the slowest."""
FIRST_SECONDS = 10
"""How far back the first look reads."""
PAGE = 1_000
NO_KEY = -2
"""What PTTL answers then."""

FoundT = TypeVar("FoundT")


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
    short_of: list[str] = []
    """``memory``, ``disk``: too little is left, and it stores nothing."""


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
    complaints: list[str] = []
    """What could not be read, a sentence with the key each: the rest is shown all the same."""


class _Look(msgspec.Struct, frozen=True):
    """One look at one stream, which the next goes on from."""

    now_ms: int
    length: int
    entries: list[StreamEntry]
    """Of those that were added the newest, the newest first."""
    added: int
    seconds: float
    """In which they were added."""
    entries_added: int | None
    """Since the stream was made; None if that is not known."""
    seen: str
    """The newest entry's id."""


class OverviewReader:
    """`read` as often as you like: rates and ages are of what came between."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._samples = TelemetrySamples()
        self._last: dict[str, _Look] = {}
        self._complaints: list[str] = []

    async def read(self, links: Links) -> Overview:
        self._complaints = []
        keys = await self._keys_there(links)
        now_ms = await redis_time_ms(await links.at(keys.shards[0].telemetry))
        registered, counts, is_estimate = await self._or(
            (0, Counter(), False), self._keys.registry, self._registry(links)
        )
        instances = await self._instances(links, counts)
        length, records_per_s, sampled = await self._telemetry(links, keys, now_ms)
        return Overview(
            ts=format_timestamp(now_ms),
            instances=instances,
            connections=registered,
            connections_are_estimated=is_estimate,
            commands=sum(instance.commands for instance in instances),
            records_per_s=records_per_s,
            stream_length=length,
            sampled=sampled,
            ages=self._samples.ages(),
            noisiest=self._samples.noisiest(DEVICES),
            slowest=self._samples.slowest(DEVICES),
            complaints=self._complaints,
        )

    async def _keys_there(self, links: Links) -> Keys:
        try:
            found = await self._or(
                self._keys, self._keys.shards_recorded, recorded_keys(links, self._keys)
            )
        except WrongShardsError as error:
            self._complaints.append(str(error))
            return self._keys
        return found

    async def _or(self, instead: FoundT, key: str, asked: Awaitable[FoundT]) -> FoundT:
        """What Redis says of a key; ``instead`` if it will not until somebody mends that key."""
        try:
            return await asked
        except ResponseError as error:
            self._complaints.append(complaint_about(key, error))
            return instead

    async def _registry(self, links: Links) -> tuple[int, Counter[str], bool]:
        """How many devices are connected, and where."""
        registered = cast(int, await links.execute("HLEN", self._keys.registry))
        counts: Counter[str] = Counter()
        read, cursor = 0, b"0"
        while read < MAX_REGISTERED:
            reply = await links.execute("HSCAN", self._keys.registry, cursor, "COUNT", PAGE)
            cursor, page = cast("tuple[bytes, list[bytes]]", reply)
            counts.update(map(_text, page[1::2]))
            read += len(page) // 2
            if cursor == b"0":
                return registered, counts, False
        for instance_id, count in counts.items():
            counts[instance_id] = round(count * registered / read)
        return registered, counts, True

    async def _instances(self, links: Links, counts: Counter[str]) -> list[InstanceState]:
        asked = links.execute("HKEYS", self._keys.runs)
        runs = cast("list[bytes]", await self._or([], self._keys.runs, asked))
        known = sorted(set(map(_text, runs)) | counts.keys())[:MAX_INSTANCES]
        replies = await self._execute_all(
            links,
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
            self._instance(instance_id, counts[instance_id], *replies[3 * place : 3 * place + 3])
            for place, instance_id in enumerate(known)
        ]

    def _instance(
        self, instance_id: str, connections: int, beat: Reply, left_ms: Reply, commands: Reply
    ) -> InstanceState:
        read: Beat | None = None
        if beat is not None:
            try:
                read = msgspec.json.decode(cast(bytes, beat), type=Beat)
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                key = self._keys.heartbeat(instance_id)
                self._complaints.append(f"{key}: not what an instance writes: {error}")
        age_s = None
        if read is not None and read.ttl_s:
            age_s = max(0.0, round(read.ttl_s - cast(int, left_ms) / 1000, 3))
        return InstanceState(
            instance_id,
            left_ms != NO_KEY,
            age_s,
            None if read is None else read.host,
            None if read is None else read.port,
            None if read is None else read.started_at,
            connections,
            cast(int, commands or 0),
            [] if read is None else read.short_of,
        )

    async def _execute_all(self, links: Links, commands: Sequence[tuple[str, str]]) -> list[Reply]:
        """All at once: for each server a round trip, not one for each command.

        None for what a key of another type does not answer.
        """
        replies: dict[tuple[str, str], Reply] = {}
        by_link: dict[RedisLink, list[tuple[str, str]]] = {}
        for command in commands:
            by_link.setdefault(await links.at(command[1]), []).append(command)
        for link, those in by_link.items():
            await link.write([pack_command(*command) for command in those])
            for command in those:
                replies[command] = await self._or(None, command[1], link.read_reply())
        return [replies[command] for command in commands]

    async def _telemetry(self, links: Links, keys: Keys, now_ms: int) -> tuple[int, float, float]:
        """Entries on all streams, records a second, and which part of them was read."""
        most = MAX_ENTRIES // len(keys.shards)
        looks = [
            await self._or(
                _Look(now_ms, 0, [], 0, float(FIRST_SECONDS), None, "0-0"),
                shard.telemetry,
                self._shard(links, shard.telemetry, now_ms, most),
            )
            for shard in keys.shards
        ]
        entries = sorted(
            chain.from_iterable(look.entries for look in looks),
            key=lambda entry: entry.at_ms,
            reverse=True,
        )
        added = sum(look.added for look in looks)
        self._samples.add(entries, added, max(look.seconds for look in looks))
        records_per_s = round(sum(look.added / look.seconds for look in looks), 3)
        length = sum(look.length for look in looks)
        return length, records_per_s, len(entries) / added if added else 1.0

    async def _shard(self, links: Links, stream: str, now_ms: int, most: int) -> "_Look":
        length, entries_added = await self._stream(links, stream)
        last = self._last.get(stream)
        since = f"({last.seen}" if last else f"{max(0, now_ms - 1000 * FIRST_SECONDS)}"
        entries = await newest_entries(await links.at(stream), stream, since, most)
        seconds = (now_ms - last.now_ms) / 1000 if last else float(FIRST_SECONDS)
        added = len(entries)
        if len(entries) == most:
            before = None if last is None else last.entries_added
            if before is not None and entries_added is not None:
                added = max(added, entries_added - before)
            else:  # of the time before those that were read nothing is known
                seconds = (now_ms - entries[-1].at_ms) / 1000
        seen = entries[0].entry_id if entries else last.seen if last else f"{now_ms}-0"
        look = _Look(now_ms, length, entries, added, max(seconds, 1e-3), entries_added, seen)
        self._last[stream] = look
        return look

    async def _stream(self, links: Links, stream: str) -> tuple[int, int | None]:
        """Its length, and how many entries were added since it was made.

        None where Redis is older than version 7 and does not say.
        """
        link = await links.at(stream)
        try:
            reply = await link.execute("XINFO", "STREAM", stream)
        except ResponseError as error:
            if "no such key" not in str(error):
                raise
            return 0, 0
        pairs = cast("list[bytes | int]", reply)
        info = dict(zip(pairs[::2], pairs[1::2], strict=True))
        return cast(int, info[b"length"]), cast("int | None", info.get(b"entries-added"))


def _text(name: bytes) -> str:
    """What is not UTF-8 was not written by an instance, and is shown all the same."""
    return name.decode("utf-8", "backslashreplace")
