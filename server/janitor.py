"""Cleans up after instances that died: registry entries, and commands that nobody will end.

Every instance runs one; however many look at the same dead instance, each thing is done once. An
instance is dead if it had no heartbeat at two looks in a row, so that one whose heartbeat was lost
with Redis' memory has time to write it again.

An entry of a living instance that does not hold the device is that instance's to remove: an earlier
run that was killed left it, or a failover lost that it was removed, or moved.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import cast

import structlog

from teltonika.server.command import Entry, read_ref
from teltonika.server.command_consumer import Fields, parse_entry
from teltonika.server.command_ledger import CommandLedger, Found
from teltonika.server.command_queue import Reason
from teltonika.server.connection_registry import ConnectionRegistry
from teltonika.server.counters import Counters
from teltonika.server.errors import RedisRefusedError
from teltonika.server.keys import Keys
from teltonika.server.redis_writer import RedisWriter
from teltonika.server.scripts import DELETE_IF_EMPTY, EVICT

log = structlog.get_logger()

PAGE = 500

Dead = dict[str, tuple[bytes, list[str]]]
"""Instance id to its run id (b"" if none is known) and the IMEIs whose entries name it."""


class Janitor:
    """Looks every ``interval_s``; `run` does the work."""

    def __init__(
        self,
        writer: RedisWriter,
        keys: Keys,
        own: ConnectionRegistry,
        ledger: CommandLedger,
        counters: Counters,
        interval_s: float,
    ) -> None:
        """``own``: this instance's entries."""
        self._writer = writer
        self._keys = keys
        self._own = own
        self._registry_keys = (keys.registry, keys.connected_since, keys.runs)
        self._ledger = ledger
        self._counters = counters
        self._interval_s = interval_s
        self._suspects: dict[str, bytes] = {}

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            with contextlib.suppress(RedisRefusedError):  # it is logged; the next look may see more
                await self.look()
            await asyncio.sleep(self._interval_s)

    async def look(self) -> None:
        """One look; what was dead at the last one too is cleaned up after.

        Raises RedisRefusedError.
        """
        dead = await self._without_heartbeat()
        for instance_id, (run_id, imeis) in dead.items():
            if self._suspects.get(instance_id) == run_id:
                # one whose keys somebody has to mend keeps no other from being cleaned up after
                with contextlib.suppress(RedisRefusedError):  # it is logged
                    await self._clean_up(instance_id, run_id, imeis)
        self._suspects = {instance_id: run_id for instance_id, (run_id, _) in dead.items()}

    async def _without_heartbeat(self) -> Dead:
        runs = cast("list[bytes]", await self._writer.call("HGETALL", self._keys.runs))
        dead: Dead = {}
        alive: set[str] = set()
        pairs = zip(runs[::2], runs[1::2], strict=True)
        known = {_text(name): run for name, run in pairs}
        for instance_id, run_id in known.items():
            if await self._is_alive(instance_id):
                alive.add(instance_id)
            else:
                dead[instance_id] = (run_id, [])
        async for imei, instance_id in self._registry():
            if instance_id == self._own.instance_id:
                self._own.found(imei)
                continue
            if instance_id not in alive and instance_id not in dead:
                if await self._is_alive(instance_id):
                    alive.add(instance_id)
                else:
                    dead[instance_id] = (known.get(instance_id, b""), [])
            if instance_id in dead:
                dead[instance_id][1].append(imei)
        return dead

    async def _registry(self) -> AsyncIterator[tuple[str, str]]:
        cursor = b"0"
        while True:
            reply = await self._writer.call("HSCAN", self._keys.registry, cursor, "COUNT", PAGE)
            cursor, found = cast("tuple[bytes, list[bytes]]", reply)
            for imei, instance_id in zip(found[::2], found[1::2], strict=True):
                yield _text(imei), _text(instance_id)
            if cursor == b"0":
                return

    async def _is_alive(self, instance_id: str) -> bool:
        return bool(await self._writer.call("EXISTS", self._keys.heartbeat(instance_id)))

    async def _clean_up(self, instance_id: str, run_id: bytes, imeis: list[str]) -> None:
        evicted = 0
        for start in range(0, len(imeis), PAGE):
            reply = await self._writer.call_script(
                EVICT, self._registry_keys, instance_id, run_id, 0, *imeis[start : start + PAGE]
            )
            evicted += cast(int, reply)
        ended = await self._end_commands(instance_id)
        if not await self._is_alive(instance_id):
            stream = self._keys.outbound(instance_id)
            await self._writer.call_script(DELETE_IF_EMPTY, (stream,))
            # with a command that has just come it is not forgotten: the next look ends that
            if not await self._writer.call("EXISTS", stream):
                await self._writer.call_script(EVICT, self._registry_keys, instance_id, run_id, 1)
        self._counters.janitor_evictions += evicted
        self._counters.janitor_commands_ended += ended
        log.warning(
            "instance_lost", instance_id=instance_id, entries_removed=evicted, commands_ended=ended
        )

    async def _end_commands(self, instance_id: str) -> int:
        """End what stands on a dead instance's stream; how many commands this janitor ended."""
        stream = self._keys.outbound(instance_id)
        ended = 0
        after = "-"
        while not await self._is_alive(instance_id):
            reply = await self._writer.call("XRANGE", stream, after, "+", "COUNT", PAGE)
            entries = cast("list[tuple[bytes, list[bytes]]]", reply)
            if not entries:
                break
            for raw_id, raw_fields in entries:
                entry_id, fields = parse_entry(raw_id, raw_fields)
                after = f"({entry_id}"
                ended += await self._end_command(Entry(stream, entry_id), fields or {}, instance_id)
        return ended

    async def _end_command(self, entry: Entry, fields: Fields, instance_id: str) -> bool:
        ref = read_ref(entry, fields)
        found = await self._ledger.claim(ref)
        if found is Found.UNKNOWN:
            return False
        released = asyncio.Event()
        if found is Found.DUPLICATE:
            self._ledger.release(entry, released.set)
        elif found is Found.ENDED:
            self._ledger.let_go(ref, released.set)
        else:
            detail = f"the instance {instance_id} is dead"
            self._ledger.fail(ref, instance_id, Reason.INSTANCE_LOST, detail, released.set)
        await released.wait()
        return found not in (Found.ENDED, Found.DUPLICATE)


def _text(name: bytes) -> str:
    """What is not UTF-8 was not written by an instance, and names none."""
    return name.decode("utf-8", "backslashreplace")
