"""What is handed out at once, and acknowledged at once."""

from collections.abc import Awaitable, Callable, Sequence

from teltonika.consumer.record import Record, RejectedEntry


class Batch:
    """Entries of one shard, in its order; each device's records are all in one shard.

    Entries that are no telemetry are in ``rejected``: look at them, or don't; they are
    acknowledged with the rest.
    """

    def __init__(
        self,
        stream: str,
        entries: Sequence[Record | RejectedEntry],
        acknowledge: Callable[[Sequence[str]], Awaitable[None]],
    ) -> None:
        self.stream = stream
        """The shard's key."""
        self.records = tuple(entry for entry in entries if isinstance(entry, Record))
        self.rejected = tuple(entry for entry in entries if isinstance(entry, RejectedEntry))
        self._entry_ids = tuple(entry.entry_id for entry in entries)
        self._acknowledge = acknowledge

    def __len__(self) -> int:
        """Records."""
        return len(self.records)

    async def ack(self) -> None:
        """All of it is done with, and is not delivered again.

        Returns once Redis has confirmed it; where Redis is away it waits. Cancelled, it may or may
        not have been acknowledged. A second time changes nothing.
        """
        await self._acknowledge(self._entry_ids)
