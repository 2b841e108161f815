"""Connections to Redis for who watches: they are made again when one breaks, and say so."""

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self, TypeVar

from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import RedisError

from teltonika.server.deployment import deployment_of
from teltonika.server.errors import RedisUnavailableError
from teltonika.server.links import Links
from teltonika.server.refusals import can_change, in_words

AnswerT = TypeVar("AnswerT")

ANSWER_TIMEOUT_S = 5.0
"""For all that one question needs to know. A later question is asked anew."""
SHORTEST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 2.0
MAX_EXPONENT = 10


async def _nothing(_: Links) -> None:
    pass


class LastingLink:
    """`ask` as often as you like, one question at a time; ``async with`` closes it.

    ``told`` is called with a sentence when Redis goes away, and when it is back. ``opened`` is done
    after each such failure before the first question.
    """

    def __init__(
        self,
        redis_url: str,
        told: Callable[[str], None],
        opened: Callable[[Links], Awaitable[None]] = _nothing,
    ) -> None:
        self._redis = deployment_of(redis_url)
        self._told = told
        self._opened = opened
        self._links: Links | None = None
        self._has_worked = False
        self._failures = 0
        """In a row."""
        self._backoff = ExponentialWithJitterBackoff(base=SHORTEST_PAUSE_S, cap=LONGEST_PAUSE_S)

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
        links, self._links = self._links, None
        if links is not None:
            await links.close()

    async def ask(
        self,
        question: Callable[[Links], Awaitable[AnswerT]],
        timeout_s: float | None = ANSWER_TIMEOUT_S,
    ) -> AnswerT:
        """The answer, after however many connections, each of which has ``timeout_s``.

        Raises RedisUnavailableError when the very first question fails, and when waiting does not
        help.
        """
        while True:
            try:
                async with asyncio.timeout(timeout_s):
                    answer = await question(self._links or await self._open())
            except (RedisError, OSError) as error:
                self._redis.failed(error)
                await self.close()
                reason = in_words(error, timeout_s)
                if not (self._has_worked and can_change(error)):
                    raise RedisUnavailableError(f"Redis: {reason}") from error
                if not self._failures:
                    self._told(f"Redis is away: {reason}; trying again until it is back")
                self._failures += 1
            else:
                self._has_worked = True
                if self._failures:
                    self._failures = 0
                    self._told("Redis is back")
                return answer
            await asyncio.sleep(self._backoff.compute(min(self._failures, MAX_EXPONENT)))

    async def _open(self) -> Links:
        links = self._links = Links(self._redis)
        await self._opened(links)
        return links
