"""Which devices are known: all, or those on the allow-list, a set in Redis."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from enum import StrEnum
from typing import cast

import structlog
from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import RedisError

from teltonika.server.keys import Keys
from teltonika.server.redis_link import CONNECT_TIMEOUT_S, RedisLink

log = structlog.get_logger()

PAGE = 10_000


class Authority(StrEnum):
    """Who decides whether a device is known."""

    ALLOW_ALL = "allow-all"
    ALLOW_LIST = "allow-list"


class AllowList:
    """The known IMEIs, in memory: `load` once, then `run`.

    Read again every ``refresh_s`` seconds, and at once on any message on the channel
    ``devices:allowed:changed``; while Redis is away what was read last holds. ``changed`` is called
    after each reading that brought a change.
    """

    def __init__(
        self, redis_url: str, keys: Keys, refresh_s: float, changed: Callable[[], None]
    ) -> None:
        self._redis_url = redis_url
        self._key = keys.allowed
        self._channel = keys.allowed_changed
        self._refresh_s = refresh_s
        self._changed = changed
        self._imeis: frozenset[str] = frozenset()
        self._backoff = ExponentialWithJitterBackoff(base=0.1, cap=5.0)

    def __contains__(self, imei: object) -> bool:
        return imei in self._imeis

    async def load(self) -> None:
        """Read the list. Raises RedisError or OSError."""
        async with _link(self._redis_url) as link:
            await self._read(link)
        log.info("allow_list", devices=len(self._imeis))

    async def run(self) -> None:
        """Keep the list up to date until cancelled."""
        failures = 0
        while True:
            try:
                # subscribed before the list is read: no change falls between the two
                async with _link(self._redis_url) as messages:
                    await messages.execute("SUBSCRIBE", self._channel)
                    async with _link(self._redis_url) as link:
                        await self._read(link)
                    failures = 0
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(self._refresh_s):
                            await messages.read_reply()
            except (RedisError, OSError) as error:
                failures += 1
                log.warning("allow_list_not_read", error=str(error), devices=len(self._imeis))
                await asyncio.sleep(self._backoff.compute(min(failures, 16)))

    async def _read(self, link: RedisLink) -> None:
        imeis: set[str] = set()
        cursor = b"0"
        while True:
            reply = await link.execute("SSCAN", self._key, cursor, "COUNT", PAGE)
            cursor, page = cast("tuple[bytes, list[bytes]]", reply)
            imeis.update(imei.decode("ascii", "backslashreplace") for imei in page)
            if cursor == b"0":
                break
        if imeis != self._imeis:
            self._imeis = frozenset(imeis)
            self._changed()


@contextlib.asynccontextmanager
async def _link(redis_url: str) -> AsyncIterator[RedisLink]:
    """A connection that is closed in the end."""
    link = RedisLink(redis_url)
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            await link.connect()
        yield link
    finally:
        await link.close()
