"""A consumer group's commands on one shard, with replies as we want them."""

from collections.abc import Mapping, Sequence
from typing import cast

import msgspec
from redis.exceptions import ResponseError

from teltonika.consumer.client import answer_to
from teltonika.server.clients import AsyncClient


class Delivered(msgspec.Struct, frozen=True):
    """One entry as Redis gave it."""

    entry_id: str
    fields: Mapping[bytes, bytes]
    """Empty: it has been deleted, or trimmed away."""


class Claimed(msgspec.Struct, frozen=True):
    """What XAUTOCLAIM took over."""

    cursor: str
    """``0-0``: it has seen all of the pending entries."""
    entries: list[Delivered]
    deleted: list[str]
    """Trimmed away; they are pending no more."""


class GroupOnShard:
    """One consumer of one group, on one stream."""

    def __init__(self, client: AsyncClient, stream: str, group: str, consumer: str) -> None:
        self._client = client
        self.stream = stream
        self._group = group
        self._consumer = consumer

    async def create(self, after: str) -> None:
        """The group, and the stream, where they are missing."""
        try:
            await answer_to(
                self._client.xgroup_create(self.stream, self._group, after, mkstream=True)
            )
        except ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise

    async def read_new(self, count: int, block_ms: int) -> list[Delivered]:
        """Entries that no consumer of the group has had."""
        return await self._read(">", count, block_ms)

    async def read_own(self, after: str, count: int) -> list[Delivered]:
        """Entries that this consumer has had and not acknowledged, behind that id."""
        return await self._read(after, count, None)

    async def claim(self, idle_ms: int, cursor: str, count: int) -> Claimed:
        """Entries that nobody has acknowledged for so long: this consumer's from now on."""
        reply = await answer_to(
            self._client.xautoclaim(
                self.stream, self._group, self._consumer, idle_ms, cursor, count
            )
        )
        next_cursor, entries, *rest = reply
        deleted = [entry_id.decode() for entry_id in (rest[0] if rest else ())]
        return Claimed(next_cursor.decode(), _entries(entries), deleted)

    async def deliveries(self, first: str, last: str, count: int) -> dict[str, int]:
        """How often this consumer's pending entries were delivered, from one id to another."""
        rows = await answer_to(
            self._client.xpending_range(
                self.stream, self._group, first, last, count, self._consumer
            )
        )
        return {row["message_id"].decode(): row["times_delivered"] for row in rows}

    async def acknowledge(self, entry_ids: Sequence[str]) -> None:
        await answer_to(self._client.xack(self.stream, self._group, *entry_ids))

    async def _read(self, after: str, count: int, block_ms: int | None) -> list[Delivered]:
        reply = await answer_to(
            self._client.xreadgroup(
                self._group, self._consumer, {self.stream: after}, count, block_ms
            )
        )
        return [delivered for _, entries in reply for delivered in _entries(entries)]


def _entries(reply: object) -> list[Delivered]:
    entries = cast("list[tuple[bytes | None, dict[bytes, bytes]]]", reply)
    return [
        Delivered(entry_id.decode(), fields) for entry_id, fields in entries if entry_id is not None
    ]
