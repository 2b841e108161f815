"""The stream of commands for this instance: read, claimed, checked, and handed on.

Entries are read for a consumer group, so what was read and has not ended is there again after a
crash. What such a command has come to is the ledger's to say; see `CommandLedger`.
"""

import asyncio
import logging
from collections.abc import Mapping
from functools import partial
from typing import cast

from redis.exceptions import ResponseError

from teltonika.server.command import (
    CommandRef,
    Entry,
    InvalidCommandError,
    read_command,
    read_ref,
)
from teltonika.server.command_dispatcher import CommandDispatcher
from teltonika.server.command_ledger import GROUP, CommandLedger, Found
from teltonika.server.command_queue import Reason
from teltonika.server.counters import Counters
from teltonika.server.deployment import Deployment
from teltonika.server.reconnecting import Reconnecting
from teltonika.server.redis_link import REPLY_TIMEOUT_S, RedisLink, Reply
from teltonika.server.steps import step

PAGE = 100
BLOCK_MS = 2_000

Fields = Mapping[bytes, bytes]


class CommandConsumer:
    """Reads the commands of one instance; `run` does the work."""

    def __init__(
        self,
        redis: Deployment,
        stream: str,
        instance_id: str,
        ledger: CommandLedger,
        dispatcher: CommandDispatcher,
        default_timeout_s: float,
        rescan_s: float,
        counters: Counters,
    ) -> None:
        self._connections = Reconnecting(redis, stream, "command_stream_unavailable")
        self._stream = stream
        self._instance_id = instance_id
        self._ledger = ledger
        self._dispatcher = dispatcher
        self._default_timeout_s = default_timeout_s
        self._rescan_s = rescan_s
        self._counters = counters
        self._started_ms = 0
        self._ending: set[str] = set()  # entries whose end is on its way to Redis

    async def run(self, started_ms: int) -> None:
        """Read until cancelled, on one connection after another.

        ``started_ms`` is when devices could first connect, by the clock of Redis, as entry ids are.
        """
        self._started_ms = started_ms
        await self._connections.run(self._work_on)

    async def _work_on(self, link: RedisLink) -> None:
        async with asyncio.timeout(REPLY_TIMEOUT_S):
            await self._join_group(link)
        self._connections.succeeded()
        while True:
            await self._take_up(link)
            await self._read_new(link)

    async def _join_group(self, link: RedisLink) -> None:
        try:
            await link.execute("XGROUP", "CREATE", self._stream, GROUP, "0", "MKSTREAM")
        except ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise

    async def _take_up(self, link: RedisLink) -> None:
        """What was read before and has not ended: by an earlier run, or just before a break."""
        after = "0"
        while page := await self._read(link, after):
            after = page[-1][0]
            await self._handle(page)

    async def _read_new(self, link: RedisLink) -> None:
        """New commands, until it is time to look for forgotten ones again."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self._rescan_s
        while loop.time() < until:
            page = await self._read(link, ">")
            if page:
                step("read")
                await self._handle(page)

    async def _read(self, link: RedisLink, after: str) -> list[tuple[str, Fields | None]]:
        async with asyncio.timeout(REPLY_TIMEOUT_S):
            reply = await link.execute(
                *("XREADGROUP", "GROUP", GROUP, self._instance_id, "COUNT", PAGE),
                *("BLOCK", BLOCK_MS, "STREAMS", self._stream, after),
            )
        return parse_entries(reply)

    async def _handle(self, page: list[tuple[str, Fields | None]]) -> None:
        refs: list[tuple[CommandRef, Fields]] = []
        for entry_id, fields in page:
            if self._dispatcher.holds(entry_id) or entry_id in self._ending:
                continue
            entry = Entry(self._stream, entry_id)
            if fields is None:  # it was deleted under us
                self._ledger.release(entry, lambda: None)
                continue
            refs.append((read_ref(entry, fields), fields))
        claims = [asyncio.ensure_future(self._ledger.claim(ref)) for ref, _ in refs]
        for (ref, fields), found in zip(refs, await asyncio.gather(*claims), strict=True):
            step("claimed")
            self._act(ref, fields, found)

    def _act(self, ref: CommandRef, fields: Fields, found: Found) -> None:
        if found is Found.QUEUED:
            self._counters.commands_received += 1
            try:
                command = read_command(ref, fields, self._default_timeout_s)
            except InvalidCommandError as error:
                self._fail(ref, Reason.INVALID, str(error))
                return
            self._dispatcher.add(command, wait_for_device=self._is_from_before(ref.entry))
        elif found in (Found.WRITING, Found.DELIVERED):
            detail = "the instance ended after the command may have been written"
            self._fail(ref, Reason.INSTANCE_LOST, detail)
        elif found is not Found.UNKNOWN:  # what is unknown stands there at the next rescan
            self._ending.add(ref.entry.id)
            done = partial(self._ending.discard, ref.entry.id)
            if found is Found.DUPLICATE:
                self._counters.commands_duplicate += 1
                self._dispatcher.say(logging.WARNING, ref, "command_duplicate")
                self._ledger.release(ref.entry, done)
            else:
                self._ledger.let_go(ref, done)

    def _fail(self, ref: CommandRef, reason: Reason, detail: str) -> None:
        self._counters.commands_failed[reason] += 1
        self._dispatcher.say(logging.WARNING, ref, "command_failed", reason=reason, detail=detail)
        self._ending.add(ref.entry.id)
        done = self._ending.discard
        self._ledger.fail(ref, self._instance_id, reason, detail, lambda: done(ref.entry.id))

    def _is_from_before(self, entry: Entry) -> bool:
        """Whether it was published before this run: its device may be about to connect again."""
        return int(entry.id.partition("-")[0]) < self._started_ms


def parse_entries(reply: Reply) -> list[tuple[str, Fields | None]]:
    """The entries in a reply to XREADGROUP of one stream; None for one that was deleted."""
    if not reply:
        return []
    ((_, entries),) = cast("list[tuple[bytes, list[tuple[bytes, list[bytes] | None]]]]", reply)
    return [parse_entry(entry_id, fields) for entry_id, fields in entries]


def parse_entry(entry_id: bytes, fields: list[bytes] | None) -> tuple[str, Fields | None]:
    pairs = None if fields is None else dict(zip(fields[::2], fields[1::2], strict=True))
    return entry_id.decode(), pairs
