"""The set of traced devices, from outside the server, and their frames as they pass."""

import contextlib
from collections.abc import Callable
from types import TracebackType
from typing import Self, cast

import msgspec

from teltonika.server.keys import Keys
from teltonika.server.lasting_link import LastingLink
from teltonika.server.links import Links
from teltonika.server.traced_frame import TraceMessage


class TracedDevice(msgspec.Struct, frozen=True):
    """A device in the set, and the instance that holds its connection, if one does."""

    imei: str
    instance_id: str | None


class TraceClient:
    """Reads and changes the set. Raises RedisUnavailableError as `LastingLink.ask`."""

    def __init__(self, redis: LastingLink, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys

    async def traced(self) -> list[TracedDevice]:
        """Every traced device, by IMEI."""
        return await self._redis.ask(self._read)

    async def is_on(self, imei: str) -> bool:
        return bool(
            await self._redis.ask(lambda links: links.execute("SISMEMBER", self._keys.traced, imei))
        )

    async def turn_on(self, imei: str) -> bool:
        """Whether it was off."""
        return bool(
            await self._redis.ask(lambda links: links.execute("SADD", self._keys.traced, imei))
        )

    async def turn_off(self, imei: str) -> bool:
        """Whether it was on."""
        return bool(
            await self._redis.ask(lambda links: links.execute("SREM", self._keys.traced, imei))
        )

    async def holder(self, imei: str) -> str | None:
        """The id of the instance that holds the device's connection, as far as Redis knows."""
        reply = await self._redis.ask(
            lambda links: links.execute("HGET", self._keys.registry, imei)
        )
        return _text(cast("bytes | None", reply))

    async def followers(self, imei: str) -> int:
        """How many listen to the device's frames."""
        channel = self._keys.traced_frames(imei)

        async def count(links: Links) -> int:
            link = await links.at(self._keys.traced)  # a node knows of its own subscribers
            return cast("tuple[bytes, int]", await link.execute("PUBSUB", "NUMSUB", channel))[1]

        return await self._redis.ask(count)

    async def _read(self, links: Links) -> list[TracedDevice]:
        members = cast("list[bytes]", await links.execute("SMEMBERS", self._keys.traced))
        imeis = sorted(imei.decode("ascii", "backslashreplace") for imei in members)
        if not imeis:
            return []
        holders = cast(
            "list[bytes | None]", await links.execute("HMGET", self._keys.registry, *imeis)
        )
        return [
            TracedDevice(imei, _text(holder)) for imei, holder in zip(imeis, holders, strict=True)
        ]


class TraceFollower:
    """The messages about one device, from `subscribe` on; ``async with`` ends it."""

    def __init__(self, redis_url: str, keys: Keys, imei: str, told: Callable[[str], None]) -> None:
        """``told`` is called with a sentence when Redis goes away, and when it is back."""
        self._key = keys.traced
        self._channel = keys.traced_frames(imei)
        self._redis = LastingLink(redis_url, told, self._opened)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Listen no more."""
        await self._redis.close()

    async def subscribe(self) -> None:
        """What is told from now on comes. Raises RedisUnavailableError."""
        await self._redis.ask(_nothing)

    async def next_message(self) -> TraceMessage:
        """The next one, however long it takes. While Redis is away they are lost."""
        return await self._redis.ask(self._read, timeout_s=None)

    async def _opened(self, links: Links) -> None:
        await (await links.at(self._key)).execute("SUBSCRIBE", self._channel)

    async def _read(self, links: Links) -> TraceMessage:
        link = await links.at(self._key)
        while True:
            _, _, content = cast("tuple[bytes, bytes, bytes]", await link.read_reply())
            with contextlib.suppress(msgspec.MsgspecError):  # anybody can publish anything
                return _decoder.decode(content)


def _text(instance_id: bytes | None) -> str | None:
    """What is not UTF-8 was not written by an instance, and is shown all the same."""
    return None if instance_id is None else instance_id.decode("utf-8", "backslashreplace")


async def _nothing(_: Links) -> None:
    pass


_decoder: msgspec.json.Decoder[TraceMessage] = msgspec.json.Decoder(TraceMessage)
