"""One shard, read for a consumer group: batch after batch, and again what was not acknowledged.

What Redis has given this consumer is pending there until it is acknowledged; that list, not this
program's memory, is what nothing is lost by. So after a start, and after each failure (a reply may
have been lost), the consumer's own pending entries come first, but for those that have been handed
out; then new ones, and now and then what another consumer has left.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from typing import NoReturn, TypeAlias

import msgspec

from teltonika.consumer.batch import Batch
from teltonika.consumer.group_on_shard import Delivered, GroupOnShard
from teltonika.consumer.outages import Outages
from teltonika.consumer.record import read_record
from teltonika.server.refusals import FAILURES

LONGEST_BLOCK_S = 2.0
FROM_THE_BEGINNING = "0"
_SEEN_ALL = "0-0"

HandOut: TypeAlias = Callable[[Batch], Awaitable[None]]
"""Returns when somebody has taken the batch."""
Lost: TypeAlias = Callable[[str, Sequence[str]], None]
"""Told the stream, and the ids of entries that were trimmed before they were acknowledged."""


class Limits(msgspec.Struct, frozen=True):
    """How a shard is read."""

    max_records: int
    """Of a batch."""
    max_wait_s: float
    """How long a batch that has its first record is waited for to be full."""
    claim_idle_s: float
    """How long an entry may be unacknowledged until it is delivered again."""


class ShardReader:
    """`run` reads; `acknowledge` may be called meanwhile."""

    def __init__(
        self, group: GroupOnShard, begin: str, limits: Limits, outages: Outages, lost: Lost
    ) -> None:
        self._group = group
        self._begin = begin
        self._limits = limits
        self._outages = outages
        self._lost = lost
        self._handed_out: dict[str, float] = {}
        """When, by entry id: until it is acknowledged, or to be delivered again."""
        self._next_claim = -math.inf

    async def join(self) -> None:
        """Make the group where it is missing."""
        await self._group.create(self._begin)
        # one that goes missing later, with its Redis' memory, had entries that were not done with
        self._begin = FROM_THE_BEGINNING

    async def run(self, hand_out: HandOut) -> NoReturn:
        """Read until cancelled. Raises RedisUnavailableError where waiting does not help."""
        while True:
            try:
                await self.join()
                await self._deliver_own(hand_out)
                while True:
                    if self._now() >= self._next_claim:
                        await self._deliver_abandoned(hand_out)
                    await self._deliver(await self._read_new(), hand_out)
            except FAILURES as error:
                await self._outages.failed(self._group.stream, error)

    async def acknowledge(self, entry_ids: Sequence[str]) -> None:
        """Returns once Redis has confirmed it."""
        while True:
            try:
                await self._group.acknowledge(entry_ids)
            except FAILURES as error:
                await self._outages.failed(self._group.stream, error)
            else:
                self._outages.succeeded(self._group.stream)
                break
        for entry_id in entry_ids:
            self._handed_out.pop(entry_id, None)

    async def _deliver_own(self, hand_out: HandOut) -> None:
        after = FROM_THE_BEGINNING
        while page := await self._group.read_own(after, self._limits.max_records):
            self._outages.succeeded(self._group.stream)
            after = page[-1].entry_id
            left = [entry for entry in page if entry.entry_id not in self._handed_out]
            gone = [entry.entry_id for entry in left if not entry.fields]
            if gone:
                await self._group.acknowledge(gone)
                self._lost(self._group.stream, gone)
            await self._deliver([one for one in left if one.fields], hand_out, again=True)

    async def _deliver_abandoned(self, hand_out: HandOut) -> None:
        """What nobody has acknowledged for long, this consumer or another."""
        now, claim_idle_s = self._now(), self._limits.claim_idle_s
        self._next_claim = now + claim_idle_s / 2
        # for Redis an entry is idle from when it was read, though it was handed out only later
        self._handed_out = {
            entry_id: since
            for entry_id, since in self._handed_out.items()
            if since > now - claim_idle_s
        }
        cursor, idle_ms = _SEEN_ALL, max(1, round(1000 * claim_idle_s))
        while True:
            claimed = await self._group.claim(idle_ms, cursor, self._limits.max_records)
            if claimed.deleted:
                self._lost(self._group.stream, claimed.deleted)
            left = [
                entry
                for entry in claimed.entries
                if entry.fields and entry.entry_id not in self._handed_out
            ]
            await self._deliver(left, hand_out, again=True)
            cursor = claimed.cursor
            if cursor == _SEEN_ALL:
                return

    async def _read_new(self) -> list[Delivered]:
        """Up to a batch; none at all when it is time to look for abandoned entries."""
        wait_s = min(LONGEST_BLOCK_S, self._next_claim - self._now())
        entries = await self._read_page(self._limits.max_records, wait_s)
        until = self._now() + self._limits.max_wait_s
        while entries and (wait_s := until - self._now()) > 0:
            left = self._limits.max_records - len(entries)
            if not left:
                break
            entries += await self._read_page(left, min(LONGEST_BLOCK_S, wait_s))
        return entries

    async def _read_page(self, count: int, wait_s: float) -> list[Delivered]:
        page = await self._group.read_new(count, max(1, math.ceil(1000 * wait_s)))
        self._outages.succeeded(self._group.stream)
        return page

    async def _deliver(
        self,
        entries: list[Delivered],
        hand_out: HandOut,
        *,
        again: bool = False,
    ) -> None:
        if not entries:
            return
        counts: dict[str, int] = {}
        if again:
            first, last = entries[0].entry_id, entries[-1].entry_id
            most = len(entries) + len(self._handed_out)  # which may lie between them
            counts = await self._group.deliveries(first, last, most)
        read = [
            read_record(entry.entry_id, entry.fields, counts.get(entry.entry_id, 1))
            for entry in entries
        ]
        await hand_out(Batch(self._group.stream, read, self.acknowledge))
        now = self._now()
        for entry in entries:
            self._handed_out[entry.entry_id] = now

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
