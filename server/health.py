"""Whether the process turns, and whether it can take records in."""

import asyncio
from collections.abc import Callable, Sequence

from redis.exceptions import RedisError

from teltonika.server.deployment import Deployment
from teltonika.server.histogram import Histogram
from teltonika.server.keys import ShardKeys
from teltonika.server.redis_link import open_at
from teltonika.server.refusals import in_words

LOOK_PERIOD_S = 0.5
LATE_S = 1.0
"""An event loop that is later than this does not turn."""
PING_TIMEOUT_S = 2.0


class LoopWatch:
    """How late the event loop comes to what is due: `run` looks, and counts in ``lags``."""

    def __init__(self, lags: Histogram) -> None:
        self._lags = lags
        self.lag_s = 0.0
        """At the last look."""

    async def run(self) -> None:
        """Look until cancelled."""
        now = asyncio.get_running_loop().time
        while True:
            due = now() + LOOK_PERIOD_S
            await asyncio.sleep(LOOK_PERIOD_S)
            self.lag_s = max(0.0, now() - due)
            self._lags.observe(self.lag_s)

    def complaints(self) -> list[str]:
        """Why the process is not healthy: none if it is."""
        if self.lag_s <= LATE_S:
            return []
        return [f"the event loop was {self.lag_s:.1f} s late"]


class Readiness:
    """Whether devices can connect and their records are stored."""

    def __init__(
        self,
        redis: Deployment,
        shards: Sequence[ShardKeys],
        *,
        is_open: Callable[[], bool],
        draining: Callable[[], bool],
        storage: Callable[[], Sequence[str]],
    ) -> None:
        self._redis = redis
        self._shards = shards
        self._is_open = is_open
        self._draining = draining
        self._storage = storage

    async def complaints(self) -> list[str]:
        """Why the instance is not ready, a sentence each: none if it is."""
        complaints = []
        if self._draining():
            complaints.append("the server stops: it drains")
        elif not self._is_open():
            complaints.append("the port for devices is not open yet")
        complaints += self._storage()
        streams = [shard.telemetry for shard in self._shards]
        refusals = await asyncio.gather(*map(self._refusal, streams))
        for stream, refusal in zip(streams, refusals, strict=True):
            if refusal is not None:
                where = f" for {stream}" if len(streams) > 1 else ""
                complaints.append(f"Redis does not answer{where}: {refusal}")
        return complaints

    async def _refusal(self, stream: str) -> str | None:
        """Asked on a connection of its own: those that work may wait for what is on its way."""
        try:
            async with asyncio.timeout(PING_TIMEOUT_S), open_at(self._redis, stream) as link:
                await link.execute("PING")
        except TimeoutError:
            return f"nothing in {PING_TIMEOUT_S:g} s"
        except (RedisError, OSError) as error:
            return in_words(error)
        return None
