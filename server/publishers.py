"""A publisher for each shard of the telemetry, so that a slow one delays only its devices."""

import asyncio
from collections.abc import Callable, Container

from teltonika.server.counters import Counters
from teltonika.server.deployment import Deployment
from teltonika.server.durability import Promise
from teltonika.server.keys import Keys
from teltonika.server.publisher import Publisher


class Publishers:
    """All of an instance; a device's packets go through one of them, always."""

    def __init__(
        self,
        redis: Deployment,
        keys: Keys,
        stream_maxlen: int,
        max_unconfirmed_bytes: int,
        promise: Promise,
        counters: Counters,
        *,
        full: Callable[[Publisher], None],
        drained: Callable[[Publisher], None],
    ) -> None:
        """``max_unconfirmed_bytes``: for all together; each has its part."""
        self._keys = keys
        self.each = tuple(
            Publisher(
                redis,
                shard,
                stream_maxlen,
                max_unconfirmed_bytes // len(keys.shards),
                promise,
                counters,
                full=full,
                drained=drained,
            )
            for shard in keys.shards
        )

    def of_streams(self, streams: Container[str]) -> list[Publisher]:
        """Those that write to them."""
        pairs = zip(self._keys.shards, self.each, strict=True)
        return [publisher for shard, publisher in pairs if shard.telemetry in streams]

    def of(self, imei: str) -> Publisher:
        """The one for a device."""
        return self.each[self._keys.shard_of(imei)]

    async def run(self) -> None:
        """Write until cancelled."""
        async with asyncio.TaskGroup() as group:
            for publisher in self.each:
                group.create_task(publisher.run())

    @property
    def are_full(self) -> bool:
        """Whether nobody's packets can be taken."""
        return all(publisher.is_full for publisher in self.each)

    @property
    def unconfirmed_packets(self) -> int:
        """As of one, of all."""
        return sum(publisher.unconfirmed_packets for publisher in self.each)

    @property
    def unconfirmed_bytes(self) -> int:
        """Likewise."""
        return sum(publisher.unconfirmed_bytes for publisher in self.each)

    @property
    def waiting(self) -> int:
        """Likewise."""
        return sum(publisher.waiting for publisher in self.each)

    @property
    def in_flight(self) -> int:
        """Likewise."""
        return sum(publisher.in_flight for publisher in self.each)

    @property
    def oldest_read_at(self) -> float | None:
        """Likewise."""
        oldest = (publisher.oldest_read_at for publisher in self.each)
        return min((read_at for read_at in oldest if read_at is not None), default=None)
