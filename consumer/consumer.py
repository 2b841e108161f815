"""`TelemetryConsumer`: the whole telemetry stream, for one member of a consumer group."""

import asyncio
import logging
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import AsyncExitStack
from enum import StrEnum
from types import TracebackType
from typing import Self

import msgspec

from teltonika.consumer.batch import Batch
from teltonika.consumer.client import REPLY_TIMEOUT_S, keys_there, open_client
from teltonika.consumer.group_on_shard import GroupOnShard
from teltonika.consumer.outages import Outages
from teltonika.consumer.shard_reader import Limits, Lost, ShardReader
from teltonika.server.clients import AsyncClient, close_client
from teltonika.server.errors import RedisUnavailableError
from teltonika.server.keys import TELEMETRY_STREAM, Keys
from teltonika.server.refusals import FAILURES, in_words

log = logging.getLogger("teltonika.consumer")


class Begin(StrEnum):
    """What a group that is not there yet gets first."""

    OLDEST = "0"
    """All that the stream holds."""
    NEWEST = "$"
    """Only what comes from now on."""


def _log_lost(stream: str, entry_ids: Sequence[str]) -> None:
    log.warning(
        "%s: %d entries were trimmed before they were acknowledged, %s to %s",
        *(stream, len(entry_ids), entry_ids[0], entry_ids[-1]),
    )


class _Taken(msgspec.Struct):
    """A batch on its way, or what ended a shard's reading."""

    what: Batch | Exception
    taken: asyncio.Event


class TelemetryConsumer:
    """An asynchronous iterator over batches of all shards; ``async with`` connects and closes it.

    At least once: what is not acknowledged (`Batch.ack`) is delivered again, to this consumer when
    it starts again under its name, or to another of the group after ``claim_idle_s``. A shard is
    read on only when its last batch has been handed out. Where Redis goes away, it is waited for.

    ``group`` has a place of its own on the stream; each of its consumers has a ``consumer`` name
    that no other process uses at the same time, and that stays the same when it starts again.

    Raises RedisUnavailableError: on entry when Redis does not answer, and from the iterator when
    waiting does not help.
    """

    def __init__(
        self,
        url: str,
        *,
        group: str,
        consumer: str,
        begin: Begin = Begin.OLDEST,
        max_records: int = 500,
        max_wait_s: float = 0.1,
        claim_idle_s: float = 60.0,
        stream_shards: int | None = None,
        shards: Collection[int] | None = None,
        key_prefix: str = "",
        telemetry_stream: str = TELEMETRY_STREAM,
        on_lost: Lost = _log_lost,
    ) -> None:
        """``stream_shards``: how many there are, if not as many as Redis says. ``shards``: which of
        them to read, from 0, if not all. A batch has at most ``max_records``, and is waited for at
        most ``max_wait_s`` once it has one. ``on_lost`` is told the stream, and the ids of entries
        that were trimmed away before they were acknowledged; without it they are logged.
        """
        if max_records < 1:
            raise ValueError(f"max_records: expected 1 or more, found {max_records}")
        if claim_idle_s <= 0:
            raise ValueError(f"claim_idle_s: expected more than 0, found {claim_idle_s}")
        self._url = url
        self._group = group
        self._consumer = consumer
        self._begin = begin
        self._limits = Limits(max_records, max_wait_s, claim_idle_s)
        self._stream_shards = stream_shards
        self._shards = shards
        self._keys = Keys(key_prefix, telemetry_stream)
        self._on_lost = on_lost
        self._outages = Outages()
        self._on_their_way: asyncio.Queue[_Taken] = asyncio.Queue()  # one of each shard at most
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            client = open_client(self._url)
            stack.push_async_callback(close_client, client)
            try:
                async with asyncio.timeout(REPLY_TIMEOUT_S):
                    readers = await self._join(client)
            except FAILURES as error:
                raise RedisUnavailableError(f"Redis: {in_words(error)}") from error
            tasks = await stack.enter_async_context(asyncio.TaskGroup())
            for reader in readers:
                stack.callback(tasks.create_task(self._read(reader)).cancel)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # not told the exception: a task group would make a group of it
        await self._stack.aclose()

    def __aiter__(self) -> AsyncIterator[Batch]:
        return self

    async def __anext__(self) -> Batch:
        """The next batch of whichever shard has one; of each shard in order."""
        offer = await self._on_their_way.get()
        offer.taken.set()
        if isinstance(offer.what, Exception):
            self._on_their_way.put_nowait(offer)  # that shard is read no more: told each time
            raise offer.what
        return offer.what

    async def _join(self, client: AsyncClient) -> list[ShardReader]:
        keys = (await keys_there(client, self._keys, self._stream_shards)).shards
        count = len(keys)
        chosen = range(count) if self._shards is None else sorted(set(self._shards))
        if not chosen or chosen[0] < 0 or chosen[-1] >= count:
            raise ValueError(f"shards: expected some of 0 to {count - 1}, found {list(chosen)}")
        readers = [
            ShardReader(
                GroupOnShard(client, keys[shard].telemetry, self._group, self._consumer),
                self._begin,
                self._limits,
                self._outages,
                self._on_lost,
            )
            for shard in chosen
        ]
        for reader in readers:
            await reader.join()
        return readers

    async def _read(self, reader: ShardReader) -> None:
        try:
            await reader.run(self._offer)
        except Exception as error:  # whoever iterates gets it
            await self._offer(error)

    async def _offer(self, what: Batch | Exception) -> None:
        offer = _Taken(what, asyncio.Event())
        self._on_their_way.put_nowait(offer)
        await offer.taken.wait()
