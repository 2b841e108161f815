"""Forgets what devices sent last that have not been seen for long: memory is for living ones.

Once a day, by whichever instance comes first.
"""

import asyncio
import contextlib
from collections.abc import Iterator
from typing import cast

import structlog

from teltonika.server.errors import RedisRefusedError
from teltonika.server.keys import ShardKeys
from teltonika.server.redis_writer import RedisWriter
from teltonika.server.scripts import FORGET_DEVICES

log = structlog.get_logger()

PERIOD_S = 3_600.0
PAGE = 500
SECONDS_A_DAY = 86_400


class DedupeSweeper:
    """Forgets devices of a shard without a new record for ``days``; `run` does the work."""

    def __init__(self, writer: RedisWriter, keys: ShardKeys, days: int) -> None:
        self._writer = writer
        self._keys = keys
        self._days = days

    async def run(self) -> None:
        """Look every hour whether today's sweep has been done, until cancelled."""
        while True:
            with contextlib.suppress(RedisRefusedError):  # it is logged
                await self._sweep_once(await self._today())
            await asyncio.sleep(PERIOD_S)

    async def _today(self) -> int:
        """Days since 1970, by the clock that dates the devices: that of Redis."""
        seconds, _ = cast("list[bytes]", await self._writer.call("TIME", at=self._keys.dedupe))
        return int(seconds) // SECONDS_A_DAY

    async def _sweep_once(self, day: int) -> None:
        done = await self._writer.call("SET", self._keys.dedupe_swept, day, "GET")
        if done is None or int(cast(bytes, done)) < day:
            await self.sweep(day)

    async def sweep(self, day: int) -> int:
        """Forget devices as of ``day``, in days since 1970; how many there were."""
        first_kept = day - self._days
        forgotten, cursor = 0, b"0"
        while True:
            reply = await self._writer.call("HSCAN", self._keys.dedupe, cursor, "COUNT", PAGE)
            cursor, found = cast("tuple[bytes, list[bytes]]", reply)
            old = list(_before(first_kept, found))
            if old:
                reply = await self._writer.call_script(
                    FORGET_DEVICES, (self._keys.dedupe,), first_kept, *old
                )
                forgotten += cast(int, reply)
            if cursor == b"0":
                break
        log.info("dedupe_swept", key=self._keys.dedupe, forgotten=forgotten, days=self._days)
        return forgotten


def _before(first_kept: int, found: list[bytes]) -> Iterator[bytes]:
    for imei, value in zip(found[::2], found[1::2], strict=True):
        if int.from_bytes(value[:4]) < first_kept:
            yield imei
