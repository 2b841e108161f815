"""The telemetry stream as it grows: for whoever wants to watch it."""

from collections.abc import AsyncIterator
from typing import Any, cast

import msgspec
from redis.asyncio import Redis

BLOCK_MS = 1_000


async def follow(redis_url: str, stream: str) -> AsyncIterator[dict[str, Any]]:
    """The payload of each entry, from the first that is there; until cancelled."""
    async with Redis.from_url(redis_url, socket_timeout=None, protocol=2) as client:
        seen = b"0"
        while True:
            reply = await client.xread({stream: seen}, block=BLOCK_MS)
            for _, entries in cast("list[tuple[bytes, list[tuple[bytes, Any]]]]", reply):
                for entry_id, fields in entries:
                    seen = entry_id
                    yield msgspec.json.decode(fields[b"payload"])
