"""The telemetry stream as it grows: for whoever wants to watch it."""

from collections.abc import AsyncIterator
from typing import Any, cast

import msgspec

from teltonika.server.command_consumer import parse_entries
from teltonika.server.redis_link import open_link

BLOCK_MS = 1_000


async def follow(redis_url: str, stream: str) -> AsyncIterator[dict[str, Any]]:
    """The payload of each entry, from the first that is there; until cancelled."""
    async with open_link(redis_url) as link:
        seen = "0"
        while True:
            reply = await link.execute("XREAD", "BLOCK", BLOCK_MS, "STREAMS", stream, seen)
            for entry_id, fields in parse_entries(reply):
                seen = entry_id
                yield msgspec.json.decode(cast("dict[bytes, bytes]", fields)[b"payload"])
