"""Redis goes away and comes back: how long to wait, and who is told."""

import asyncio
import logging
from collections.abc import Callable

from redis.backoff import ExponentialWithJitterBackoff

from teltonika.server.errors import RedisUnavailableError
from teltonika.server.refusals import can_change, in_words

SHORTEST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 2.0
MAX_EXPONENT = 10

log = logging.getLogger("teltonika.consumer")


class Outages:
    """Of all shards together: one sentence when the first fails, one when the last is back."""

    def __init__(self, told: Callable[[str], None] = log.warning) -> None:
        self._told = told
        self._failures: dict[str, int] = {}
        """By shard, in a row."""
        self._backoff = ExponentialWithJitterBackoff(base=SHORTEST_PAUSE_S, cap=LONGEST_PAUSE_S)

    def succeeded(self, stream: str) -> None:
        if self._failures.pop(stream, 0) and not self._failures:
            self._told("Redis is back")

    async def failed(self, stream: str, error: BaseException) -> None:
        """Returns when it is time to try again.

        Raises RedisUnavailableError where waiting does not help.
        """
        if not can_change(error):
            raise RedisUnavailableError(f"Redis: {stream}: {in_words(error)}") from error
        if not self._failures:
            self._told(f"Redis is away: {in_words(error)}; trying again until it is back")
        failures = self._failures[stream] = self._failures.get(stream, 0) + 1
        await asyncio.sleep(self._backoff.compute(min(failures, MAX_EXPONENT)))
