"""What is stored has bounds: streams in bytes, Redis in memory, our own Valkey on its disk.

A stream is trimmed by its length with each entry; that costs nothing, and says nothing about bytes,
where an entry can have from 200 to 90,000. So the memory that Redis uses is looked at twice a
second. As long as all of it fits into a stream's part of ``--stream-max-bytes`` there is nothing to
do. After that the stream is measured whenever Redis has grown by as much as the stream may still
grow, a 32nd of its part at least, and once a minute. If its entries take more than the part, the
oldest ones go until they take a 32nd less. So a stream can be larger than its part by what comes in
half a second, or as long as it takes to measure, or a rest after that. Redis answers nobody while
it measures, so a key that expires (``:turn``) lets one instance or worker do it at a time, and all
of them together for a 50th of the time. Without memory Redis does not take that key: then each
measures, and one that comes after another finds nothing left to remove.

What consumer groups have pending is not counted, for trimming does not free it. A group that never
acknowledges is reported by its name; nothing else can be done about it here.

Telemetry has three quarters of the bytes, in equal parts for its shards; the messages and the
responses, which devices can fill as well, have an eighth each.

Short of memory is a Redis that evicts nothing and has nearly reached its maxmemory; of disk, our
own Valkey with less than ``--min-free-disk`` free. Then publishers write nothing, and no socket is
read, for devices send texts as well, which go another way: nothing is acknowledged, and devices
keep their records. What else an instance writes, as its heartbeat, is little and goes on in the
room that is left.
When there is room again, and a quarter of it more, publishers go on by themselves.

Not handled: what else fills Redis, as the hash by which repeated records are known. Nothing of it
can be given up without harm; past the marks nothing is acknowledged until somebody makes room.
"""

import asyncio
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn, cast

import structlog
from redis.exceptions import NoPermissionError, OutOfMemoryError, ResponseError

from teltonika.server.config import ServerSettings
from teltonika.server.counters import Counters, Shortage
from teltonika.server.deployment import Deployment
from teltonika.server.durability import parse_info
from teltonika.server.keys import Keys, turn_of
from teltonika.server.publisher import Publisher
from teltonika.server.publishers import Publishers
from teltonika.server.reconnecting import Reconnecting
from teltonika.server.redis_link import REPLY_TIMEOUT_S, RedisLink
from teltonika.server.refusals import can_change, in_words
from teltonika.server.scripts import TRIM_OLDEST

log = structlog.get_logger()

LOOK_PERIOD_S = 0.5
MEASURE_PERIOD_S = 60.0
"""At least so often a stream is measured that could be too large."""
SPARE = 32
"""A stream that is too large is brought to this part below what it may have."""
MEASURING_SHARE = 50
"""After a measurement there is a rest of so many times what it took."""
PENDING_BYTES = 768
"""A pending entry takes at most this of MEMORY USAGE: about 600 in Redis 7.2, 144 in Valkey 9."""
PENDING_SHARE = 4
"""Groups that have pending what takes this part of a stream's bytes are reported."""
LOGGED_AGAIN_S = 60.0
"""As long as there is too little room, or a stream is trimmed, the log says so this often."""
UNKNOWN_S = 60.0
"""After so long without an answer about its memory a Redis is not held to be full any more."""
MIB = 1 << 20
USUAL_FREE_DISK = 512 * MIB
USUAL_FREE_DISK_SHARE = 20
"""Or this part of the disk, if that is less."""
MEMORY_ROOM = 64 * MIB
MEMORY_ROOM_SHARE = 16
"""Or this part of maxmemory, if that is less."""


def stream_parts(keys: Keys, max_bytes: int) -> dict[str, int]:
    """How many bytes each stream may have that devices can fill; 0 is no limit."""
    eighth, shards = max_bytes // 8, keys.shards
    telemetry = (max_bytes - 2 * eighth) // len(shards)
    parts = {shard.telemetry: telemetry for shard in shards}
    return parts | {keys.messages: eighth, keys.responses: eighth}


def least_free_disk(wanted: int | None, total: int) -> int:
    """Bytes that must be free on a disk of ``total`` bytes; ``wanted`` None: the usual."""
    usual = min(USUAL_FREE_DISK, total // USUAL_FREE_DISK_SHARE)
    return usual if wanted is None else wanted


def memory_room(maxmemory: int) -> int:
    """Bytes below maxmemory from which nothing more is stored."""
    return min(MEMORY_ROOM, maxmemory // MEMORY_ROOM_SHARE)


class _Mark:
    """Whether there is room; publishers are held back while there is not."""

    def __init__(
        self, shortage: Shortage, publishers: Sequence[Publisher], counters: Counters, where: str
    ) -> None:
        self.shortage = shortage
        self._publishers = publishers
        self._counters = counters
        self._where = where
        self._logged_at = 0.0
        self.complaint = ""
        """Empty if there is room."""

    def judge(self, room: int, needed: int) -> None:
        """``room`` bytes are left, and ``needed`` ones must be."""
        if room >= (needed + needed // 4 if self.complaint else needed):
            self.lift()
            return
        now = asyncio.get_running_loop().time()
        if not self.complaint:
            self._counters.storage_shortages[self.shortage] += 1
            for publisher in self._publishers:
                publisher.hold_back(self.shortage)
        elif now - self._logged_at < LOGGED_AGAIN_S:
            return
        self._logged_at = now
        self.complaint = (
            f"nothing is stored or acknowledged: {max(0, room) // MIB} MiB of {self.shortage} are "
            f"left at {self._where}, and {needed // MIB} MiB must be"
        )
        log.error(
            "storage_full", of=self.shortage, at=self._where, left_bytes=room, needed_bytes=needed
        )

    def lift(self) -> None:
        """There is room, or it is not known whether there is."""
        if not self.complaint:
            return
        self.complaint = ""
        log.warning("storage_free_again", of=self.shortage, at=self._where)
        for publisher in self._publishers:
            publisher.go_on(self.shortage)


class StorageWatch:
    """Keeps the bounds of one instance; `run` does the work."""

    def __init__(
        self,
        redis: Deployment,
        settings: ServerSettings,
        publishers: Publishers,
        counters: Counters,
    ) -> None:
        keys = settings.keys
        of_lane: dict[int, dict[str, int]] = defaultdict(dict)
        for stream, part in stream_parts(keys, settings.stored_bytes).items():
            of_lane[redis.lane(stream)][stream] = part
        self._redis_watches = [
            # without telemetry: texts pile up meanwhile, so nothing is read of any device
            _RedisWatch(redis, parts, publishers.of_streams(parts) or publishers.each, counters)
            for parts in of_lane.values()
        ]
        self._directory = settings.embedded_directory
        self._min_free_disk = settings.min_free_disk_bytes
        self._disk = _Mark(Shortage.DISK, publishers.each, counters, str(self._directory))

    async def run(self) -> None:
        """Look until cancelled."""
        async with asyncio.TaskGroup() as group:
            for watch in self._redis_watches:
                group.create_task(watch.run())
            if self._directory is not None:
                await self._watch_disk(self._directory)

    @property
    def complaints(self) -> list[str]:
        """Why nothing is stored, a sentence each; empty if everything is stored."""
        return [mark.complaint for mark in self._marks if mark.complaint]

    @property
    def shortages(self) -> list[Shortage]:
        """What there is too little of."""
        return sorted({mark.shortage for mark in self._marks if mark.complaint})

    @property
    def _marks(self) -> list[_Mark]:
        return [*(watch.mark for watch in self._redis_watches), self._disk]

    async def _watch_disk(self, directory: Path) -> NoReturn:
        while True:
            try:
                disk = os.statvfs(directory)
            except OSError:  # somebody has removed it: Valkey says so, and how full it was is past
                self._disk.lift()
            else:
                total = disk.f_blocks * disk.f_frsize
                free = disk.f_bavail * disk.f_frsize
                self._disk.judge(free, least_free_disk(self._min_free_disk, total))
            await asyncio.sleep(LOOK_PERIOD_S)


class _RedisWatch:
    """The memory of the Redis that some streams are on, and what they have of it."""

    def __init__(
        self,
        redis: Deployment,
        parts: Mapping[str, int],
        publishers: Sequence[Publisher],
        counters: Counters,
    ) -> None:
        stream = next(iter(parts))
        self._connections = Reconnecting(
            redis, stream, "storage_not_watched", lambda: {"stream": stream}
        )
        self._bounds = [_StreamBound(stream, part, counters) for stream, part in parts.items()]
        self.mark = _Mark(Shortage.MEMORY, publishers, counters, f"the Redis that has {stream}")
        self._known_at = 0.0  # whether there is room

    async def run(self) -> NoReturn:
        """Look until cancelled; after a connection has failed, on a new one."""
        await self._connections.run(self._look_on, self._failed)

    def _failed(self) -> None:
        """A Redis that is away is as full as it was, but not for ever."""
        if asyncio.get_running_loop().time() - self._known_at > UNKNOWN_S:
            self.mark.lift()

    async def _look_on(self, link: RedisLink) -> None:
        async with asyncio.timeout(REPLY_TIMEOUT_S):
            await link.execute("SCRIPT", "LOAD", TRIM_OLDEST.source)
        while True:
            async with asyncio.timeout(REPLY_TIMEOUT_S):
                used = await self._used(link)
            for bound in self._bounds:
                await bound.keep(link, used)
            self._connections.succeeded()
            await asyncio.sleep(LOOK_PERIOD_S)

    async def _used(self, link: RedisLink) -> int:
        """Bytes of memory in use. Whether enough is left is judged."""
        try:
            info = parse_info(cast(bytes, await link.execute("INFO", "memory")))
        except NoPermissionError:
            if any(bound.part for bound in self._bounds):
                raise  # the bound cannot be kept
            return 0
        self._known_at = asyncio.get_running_loop().time()
        used, maxmemory = int(info.get("used_memory", "0")), int(info.get("maxmemory", "0"))
        counted = used - int(info.get("mem_not_counted_for_evict", "0"))
        if maxmemory and info.get("maxmemory_policy") == "noeviction":
            self.mark.judge(maxmemory - counted, memory_room(maxmemory))
        else:
            self.mark.lift()
        return used


class _StreamBound:
    """The bytes of one stream."""

    def __init__(self, stream: str, part: int, counters: Counters) -> None:
        self._stream = stream
        self.part = part
        """What it may have; 0 is no limit."""
        self._counters = counters
        self._least_used = 0
        """What Redis used at least since the stream was measured."""
        self._room = part
        """By so much Redis may grow until the stream is measured."""
        self._due = 0.0  # by time
        self._rests_until = 0.0
        self._took_s = 0.0
        self._refusal = ""
        self._has_pending = False
        self._unlogged = 0  # entries that went
        self._logged_at = -LOGGED_AGAIN_S

    async def keep(self, link: RedisLink, used: int) -> None:
        """Trim the stream if it is too large; ``used``: memory of all that Redis has.

        What Redis refuses, and will refuse until a key or a right is mended, is logged once.
        """
        try:
            if self._is_due(used):
                await self._measure(link, used)
        except ResponseError as error:
            if can_change(error) and not isinstance(error, NoPermissionError):
                raise
            if self._refusal != (reason := in_words(error)):
                self._refusal = reason
                log.exception(
                    "storage_not_watched", stream=self._stream, error=reason, exc_info=False
                )

    def _is_due(self, used: int) -> bool:
        now = asyncio.get_running_loop().time()
        self._least_used = min(self._least_used, used)
        if not self.part or used <= self.part or now < self._rests_until:
            return False
        return used - self._least_used > self._room or now >= self._due

    async def _measure(self, link: RedisLink, used: int) -> None:
        loop = asyncio.get_running_loop()
        self._due = loop.time() + MEASURE_PERIOD_S
        self._least_used, self._room = used, self.part // SPARE
        if not await self._has_turn(link):
            return
        begun = loop.time()
        try:
            size, entries, freed = await self._trim(link)
        finally:
            self._took_s = loop.time() - begun
            self._rests_until = loop.time() + MEASURING_SHARE * self._took_s
        self._refusal = ""
        self._least_used, self._room = used - freed, max(self._room, self.part - size)
        if entries:
            self._counters.stream_byte_trims += 1
            self._unlogged += entries
            if loop.time() - self._logged_at >= LOGGED_AGAIN_S:
                log.warning("stream_trimmed", stream=self._stream, entries=self._unlogged)
                self._logged_at, self._unlogged = loop.time(), 0

    async def _trim(self, link: RedisLink) -> tuple[int, int, int]:
        """Bytes that the entries take now, how many went, and how many bytes that freed."""
        wanted = self.part - self.part // SPARE
        entries = freed = 0
        while True:
            async with asyncio.timeout(REPLY_TIMEOUT_S):
                reply = await link.execute(
                    *("EVALSHA", TRIM_OLDEST.sha, 1, self._stream),
                    *(self.part, wanted, PENDING_BYTES),
                )
            size, went, bytes_freed, pending, group, uncounted = cast(
                "tuple[int, int, int, int, bytes, int]", reply
            )
            entries += went
            freed += bytes_freed
            if not went or size <= self.part:
                self._report_pending(pending, group.decode(errors="replace"), uncounted)
                return size, entries, freed

    async def _has_turn(self, link: RedisLink) -> bool:
        """Whether no other instance or worker measures the stream, or has just done so."""
        rest_ms = int(1_000 * max(LOOK_PERIOD_S / 2, MEASURING_SHARE * self._took_s))
        async with asyncio.timeout(REPLY_TIMEOUT_S):
            try:
                turn = turn_of(self._stream)
                return await link.execute("SET", turn, 1, "NX", "PX", rest_ms) is not None
            except OutOfMemoryError:
                return True

    def _report_pending(self, pending: int, group: str, size: int) -> None:
        had_pending = self._has_pending
        self._has_pending = size > self.part // PENDING_SHARE
        if self._has_pending and not had_pending:
            log.warning(
                "entries_pending",
                stream=self._stream,
                group=group,
                pending=pending,
                bytes=size,
                max_bytes=self.part,
            )
