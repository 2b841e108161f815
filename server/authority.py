"""Which devices are known, all or those on the allow-list, a set in Redis; and which may send."""

import asyncio
import contextlib
from collections.abc import Callable
from enum import StrEnum
from typing import cast

import structlog
from redis.exceptions import RedisError

from teltonika.codecs import luhn_valid
from teltonika.server.deployment import Deployment
from teltonika.server.errors import RedisUnavailableError
from teltonika.server.keys import Keys
from teltonika.server.reconnecting import Reconnecting
from teltonika.server.redis_link import REPLY_TIMEOUT_S, RedisLink, Reply, open_at
from teltonika.server.refusals import in_words

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
        self, redis: Deployment, keys: Keys, refresh_s: float, changed: Callable[[], None]
    ) -> None:
        self._redis = redis
        self._key = keys.allowed
        self._channel = keys.allowed_changed
        self._refresh_s = refresh_s
        self._changed = changed
        self._imeis: frozenset[str] = frozenset()
        self._connections = Reconnecting(
            redis,
            keys.allowed,
            "allow_list_not_read",
            lambda: {"devices": len(self._imeis)},
            shortest_pause_s=0.1,
        )

    def __contains__(self, imei: object) -> bool:
        return imei in self._imeis

    async def load(self) -> None:
        """Read the list. Raises RedisUnavailableError."""
        try:
            async with open_at(self._redis, self._key) as link:
                await self._read(link)
        except (RedisError, OSError) as error:
            raise RedisUnavailableError(
                f"cannot read the allow-list {self._key}: {in_words(error)}"
            ) from error
        log.info("allow_list", devices=len(self._imeis))

    async def run(self) -> None:
        """Keep the list up to date until cancelled."""
        await self._connections.run(self._read_until_changed)

    async def _read_until_changed(self, messages: RedisLink) -> None:
        # subscribed before the list is read: no change falls between the two
        await _ask(messages, "SUBSCRIBE", self._channel)
        async with open_at(self._redis, self._key) as link:
            await self._read(link)
        self._connections.succeeded()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._refresh_s):
                await messages.read_reply()

    async def _read(self, link: RedisLink) -> None:
        imeis: set[str] = set()
        cursor = b"0"
        while True:
            reply = await _ask(link, "SSCAN", self._key, cursor, "COUNT", PAGE)
            cursor, page = cast("tuple[bytes, list[bytes]]", reply)
            imeis.update(imei.decode("ascii", "backslashreplace") for imei in page)
            if cursor == b"0":
                break
        if imeis != self._imeis:
            self._imeis = frozenset(imeis)
            self._changed()


class Admission:
    """Who may send: by an IMEI's check digit and the allow-list, as far as the settings ask."""

    def __init__(self, allow_list: AllowList | None, *, strict: bool, require_luhn: bool) -> None:
        self._allow_list = allow_list
        self._strict = strict
        self._require_luhn = require_luhn

    def knows(self, imei: str | None) -> bool | None:
        """Whether the device is on the allow-list; None where there is no list."""
        return None if self._allow_list is None else imei in self._allow_list

    def refusal(self, imei: str) -> str | None:
        """Why the device may not send; None if it may."""
        if self._require_luhn and not luhn_valid(imei):
            return "the IMEI's check digit is wrong"
        if self._strict and self.knows(imei) is False:
            return "not on the allow-list"
        return None


async def _ask(link: RedisLink, *arguments: str | bytes | int) -> Reply:
    async with asyncio.timeout(REPLY_TIMEOUT_S):
        return await link.execute(*arguments)
