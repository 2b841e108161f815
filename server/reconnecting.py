"""Work on Redis that goes on until it is cancelled, on one connection after another."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import NoReturn

from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import RedisError

from teltonika.server.redis_link import RedisLink, open_link

LONGEST_PAUSE_S = 5.0
MAX_EXPONENT = 16


class Reconnecting:
    """`run` does the work; the pause before a new connection grows with the failures in a row."""

    def __init__(self, redis_url: str, *, shortest_pause_s: float = 0.05) -> None:
        self._redis_url = redis_url
        self._backoff = ExponentialWithJitterBackoff(base=shortest_pause_s, cap=LONGEST_PAUSE_S)
        self.failures = 0
        """In a row."""

    def succeeded(self) -> None:
        """The next failure is the first of a row."""
        self.failures = 0

    async def run(
        self, work: Callable[[RedisLink], Awaitable[None]], failed: Callable[[str], None]
    ) -> NoReturn:
        """Give ``work`` a connection; a new one at once when it returns.

        When it, or the connection, fails (RedisError, OSError, or groups of these), ``failed`` is
        told why in one line, and there is a pause.
        """
        while True:
            try:
                async with open_link(self._redis_url) as link:
                    await work(link)
            except* (RedisError, OSError) as errors:
                self.failures += 1
                failed(_first_message(errors))
                pause_s = self._backoff.compute(min(self.failures, MAX_EXPONENT))
            else:
                pause_s = 0.0
            await asyncio.sleep(pause_s)


def _first_message(errors: BaseExceptionGroup[Exception]) -> str:
    """Of a connection's tasks the first to fail tells why."""
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return str(error) or type(error).__name__
