"""Forgets what devices sent last that have not been seen for long: memory is for living ones.

Once a day, by whichever instance comes first. What is known of all devices is measured every ten
minutes, again by one instance. Where it takes more memory than it may, as after somebody has
connected with millions of made-up IMEIs, those are forgotten that have not been seen for half as
long, and so on; devices of today and yesterday are kept.
"""

import asyncio
import contextlib
from collections.abc import Iterator
from typing import cast

import structlog
from redis.exceptions import RedisError

from teltonika.server.deployment import Deployment
from teltonika.server.errors import RedisRefusedError
from teltonika.server.keys import ShardKeys, turn_of
from teltonika.server.redis_link import REPLY_TIMEOUT_S, open_at
from teltonika.server.redis_writer import RedisWriter
from teltonika.server.refusals import in_words
from teltonika.server.scripts import FORGET_DEVICES

log = structlog.get_logger()

PERIOD_S = 600.0
TURN_ENDS_BEFORE_S = 10.0
"""Before an instance looks again that had the last turn."""
SAMPLES = 1_000
"""Devices by whose memory that of all is estimated: in a hash they are in no order."""
PAGE = 500
SECONDS_A_DAY = 86_400


class DedupeSweeper:
    """Forgets devices of a shard without a new record for ``days``; `run` does the work.

    ``max_bytes`` is what the rest may take; 0 is no limit.
    """

    def __init__(
        self,
        redis: Deployment,
        writer: RedisWriter,
        keys: ShardKeys,
        days: int,
        max_bytes: int = 0,
    ) -> None:
        self._redis = redis
        self._writer = writer
        self._keys = keys
        self._days = days
        self._max_bytes = max_bytes

    async def run(self) -> None:
        """Look every ten minutes whether there is anything to do, until cancelled."""
        while True:
            with contextlib.suppress(RedisRefusedError):  # it is logged
                today = await self._today()
                await self._sweep_once(today)
                if self._max_bytes and await self._has_turn():
                    await self.fit(today)
            await asyncio.sleep(PERIOD_S)

    async def _today(self) -> int:
        """Days since 1970, by the clock that dates the devices: that of Redis."""
        seconds, _ = cast("list[bytes]", await self._writer.call("TIME", at=self._keys.dedupe))
        return int(seconds) // SECONDS_A_DAY

    async def _sweep_once(self, day: int) -> None:
        done = await self._writer.call("SET", self._keys.dedupe_swept, day, "GET")
        if done is None or int(cast(bytes, done)) < day:
            await self.sweep(day)

    async def _has_turn(self) -> bool:
        """Whether no instance has measured in the last ten minutes."""
        turn = turn_of(self._keys.dedupe)
        rest_s = int(PERIOD_S - TURN_ENDS_BEFORE_S)
        return await self._writer.call("SET", turn, 1, "NX", "EX", rest_s) is not None

    async def fit(self, day: int) -> None:
        """Forget more of them, if there is too much."""
        days = self._days
        while self._max_bytes and days > 1 and (size := await self._size()) > self._max_bytes:
            days //= 2
            log.warning(
                "dedupe_too_large",
                key=self._keys.dedupe,
                bytes=size,
                max_bytes=self._max_bytes,
                kept_days=days,
            )
            await self.sweep(day, days)

    async def _size(self) -> int:
        """Bytes of memory; 0 if Redis does not say.

        Asked on a connection of its own: a user who may not ask holds up nothing else.
        """
        key = self._keys.dedupe
        try:
            async with asyncio.timeout(REPLY_TIMEOUT_S), open_at(self._redis, key) as link:
                size = await link.execute("MEMORY", "USAGE", key, "SAMPLES", SAMPLES)
        except (TimeoutError, RedisError, OSError) as error:
            log.warning("dedupe_not_measured", key=key, error=in_words(error))
            return 0
        return cast("int | None", size) or 0

    async def sweep(self, day: int, days: int | None = None) -> int:
        """Forget devices that were not seen in the last ``days`` before ``day``.

        ``day`` is in days since 1970; ``days`` None means the number the sweeper was made with.
        Returns how many devices were forgotten.
        """
        days = self._days if days is None else days
        first_kept = day - days
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
        log.info("dedupe_swept", key=self._keys.dedupe, forgotten=forgotten, days=days)
        return forgotten


def _before(first_kept: int, found: list[bytes]) -> Iterator[bytes]:
    for imei, value in zip(found[::2], found[1::2], strict=True):
        if int.from_bytes(value[:4]) < first_kept:
            yield imei
