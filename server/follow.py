"""The telemetry stream as it grows: for whoever wants to watch it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, cast

import msgspec

from teltonika.server.background import background
from teltonika.server.command_consumer import parse_entries, parse_entry
from teltonika.server.keys import Keys
from teltonika.server.lasting_link import LastingLink
from teltonika.server.links import Links
from teltonika.server.redis_link import REPLY_TIMEOUT_S, RedisLink
from teltonika.server.shard_record import recorded_keys

BLOCK_MS = 1_000
PAGE = 200
"""Entries of one reply."""
_LAST_OF_A_MILLISECOND = 2**64 - 1


class Start(msgspec.Struct, frozen=True):
    """Where to begin: behind the newest entry, unless one of these is set."""

    age_ms: int | None = None
    """With entries that are no older, by the clock of Redis."""
    at_ms: int | None = None
    """With entries from that moment on: epoch milliseconds."""


class StreamEntry(msgspec.Struct, frozen=True):
    """One entry; its id begins with the epoch milliseconds when Redis took it."""

    entry_id: str
    fields: Mapping[bytes, bytes]

    @property
    def at_ms(self) -> int:
        """When that was."""
        return int(self.entry_id.partition("-")[0])


class StreamFollower:
    """Every entry that the stream holds from ``start`` on, once, in order: `next_page`.

    Where Redis goes away it is waited for, and read on behind the last entry that was seen.
    """

    def __init__(self, redis: LastingLink, stream: str, start: Start) -> None:
        self._redis = redis
        self._stream = stream
        self._start = start
        self._seen: str | None = None

    async def next_page(self) -> list[StreamEntry]:
        """The next entries: one at least. Raises RedisUnavailableError as `LastingLink.ask`."""
        while True:
            page = await self._redis.ask(self._read, REPLY_TIMEOUT_S + BLOCK_MS / 1000)
            if page:
                return page

    async def _read(self, links: Links) -> list[StreamEntry]:
        link = await links.at(self._stream)
        if self._seen is None:
            self._seen = await self._start_id(link)
        reply = await link.execute(
            *("XREAD", "COUNT", PAGE, "BLOCK", BLOCK_MS, "STREAMS", self._stream, self._seen)
        )
        page = [
            StreamEntry(entry_id, fields)
            for entry_id, fields in parse_entries(reply)
            if fields is not None
        ]
        if page:
            self._seen = page[-1].entry_id
        return page

    async def _start_id(self, link: RedisLink) -> str:
        """What is read comes behind this id."""
        at_ms = self._start.at_ms
        if self._start.age_ms is not None:
            at_ms = await redis_time_ms(link) - self._start.age_ms
        if at_ms is not None:
            return f"{at_ms - 1}-{_LAST_OF_A_MILLISECOND}" if at_ms > 0 else "0-0"
        newest = await newest_entries(link, self._stream, "-", 1)
        return newest[0].entry_id if newest else "0-0"


async def redis_time_ms(link: RedisLink) -> int:
    """Epoch milliseconds by the clock that makes the ids of entries."""
    seconds, microseconds = cast("list[bytes]", await link.execute("TIME"))
    return int(seconds) * 1000 + int(microseconds) // 1000


async def newest_entries(
    link: RedisLink, stream: str, oldest_id: str, count: int
) -> list[StreamEntry]:
    """At most ``count`` entries, the newest first, none older than ``oldest_id``."""
    reply = await link.execute("XREVRANGE", stream, "+", oldest_id, "COUNT", count)
    found = (parse_entry(*entry) for entry in cast("list[tuple[bytes, list[bytes]]]", reply))
    return [StreamEntry(entry_id, fields) for entry_id, fields in found if fields is not None]


@contextlib.asynccontextmanager
async def following(
    redis_url: str, keys: Keys, start: Start, told: Callable[[str], None]
) -> AsyncIterator[Callable[[], Awaitable[list[StreamEntry]]]]:
    """What gives the next entries, one at least, of all shards that there are when it begins.

    Those of one shard come in order. Raises RedisUnavailableError as `LastingLink.ask`.
    """
    async with LastingLink(redis_url, told) as redis:
        keys = await redis.ask(lambda links: recorded_keys(links, keys))
    pages: asyncio.Queue[list[StreamEntry]] = asyncio.Queue(1)
    async with background(
        *(_follow(redis_url, shard.telemetry, start, told, pages) for shard in keys.shards)
    ):
        yield pages.get


async def _follow(
    redis_url: str,
    stream: str,
    start: Start,
    told: Callable[[str], None],
    pages: asyncio.Queue[list[StreamEntry]],
) -> None:
    async with LastingLink(redis_url, told) as redis:
        follower = StreamFollower(redis, stream, start)
        while True:
            await pages.put(await follower.next_page())


async def follow(redis_url: str, keys: Keys) -> AsyncIterator[dict[str, Any]]:
    """The payload of each entry, from the first that is there; until cancelled."""
    async with following(redis_url, keys, Start(at_ms=0), lambda _: None) as next_page:
        while True:
            for entry in await next_page():
                yield msgspec.json.decode(entry.fields[b"payload"])
