"""Work on Redis that goes on until it is cancelled, on one connection after another.

A connection that was given up may still have commands on its way: in the network, or in a Redis
that stood still. They are sent again on the next one, and much may follow them there before the old
ones arrive. So Redis ends the old connection, and with it what it has not executed, before the new
one is used.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import NoReturn, cast

import structlog
from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoPermissionError, RedisError, ResponseError

from teltonika.server.background import apart, background
from teltonika.server.deployment import Deployment, Place
from teltonika.server.redis_link import REPLY_TIMEOUT_S, RedisLink, open_link
from teltonika.server.refusals import can_change, in_words

log = structlog.get_logger()

LONGEST_PAUSE_S = 5.0
MAX_EXPONENT = 16
ASKING_S = 10.0
"""A slot that moves is there by then, or is asked for anew."""


class Reconnecting:
    """`run` does the work, where ``key`` is; the pause before a new connection grows with the
    failures in a row.

    Each failure is logged as ``event``, with ``told`` beside it; of a row that fails for one reason
    the first, second, fourth, eighth and so on, so that an hour without Redis fits on a page. What
    waiting does not mend is logged as an error.
    """

    def __init__(
        self,
        redis: Deployment,
        key: str,
        event: str,
        told: Callable[[], dict[str, int | str]] = dict,
        *,
        shortest_pause_s: float = 0.05,
    ) -> None:
        self._redis = redis
        self._key = key
        self._event = event
        self._told = told
        self._backoff = ExponentialWithJitterBackoff(base=shortest_pause_s, cap=LONGEST_PAUSE_S)
        self._reason = ""
        self._last: tuple[bytes, int] | None = None
        """Redis' run id, and the last connection's id there."""
        self._cannot_end_last = False
        self.failures = 0
        """In a row."""

    def succeeded(self) -> None:
        """The next failure is the first of a row."""
        self.failures = 0

    async def run(
        self,
        work: Callable[[RedisLink], Awaitable[None]],
        failed: Callable[[], None] = lambda: None,
        needed: asyncio.Event | None = None,
    ) -> NoReturn:
        """Give ``work`` a connection once it is ``needed``; a new one when it returns.

        When it, or the connection, fails (RedisError, OSError, or groups of these) ``failed`` is
        called, and there is a pause.
        """
        while True:
            if needed is not None:
                await needed.wait()
            try:
                await apart(self._work_once(work))
            except* (RedisError, OSError) as errors:
                self.failures += 1
                error = _first(errors)
                self._redis.failed(error)
                self._log(error)
                failed()
                pause_s = self._backoff.compute(min(self.failures, MAX_EXPONENT))
            else:
                pause_s = 0.0
            await asyncio.sleep(pause_s)

    async def _work_once(self, work: Callable[[RedisLink], Awaitable[None]]) -> None:
        """On one connection."""
        place = await self._redis.locate(self._key)
        async with (
            open_link(place) as link,
            _for_a_move(place),
            background(self._leave(place)),
        ):
            await self._end_last(link)
            await work(link)

    async def _leave(self, place: Place) -> None:
        await self._redis.replaced(place)
        raise PrimaryReplacedError("another server is the primary now")

    async def _end_last(self, link: RedisLink) -> None:
        try:
            async with asyncio.timeout(REPLY_TIMEOUT_S):
                run_id = _run_id(cast(bytes, await link.execute("INFO", "server")))
                if self._last is not None and self._last[0] == run_id:  # else it died with Redis
                    await link.execute("CLIENT", "KILL", "ID", self._last[1])
                self._last = run_id, cast(int, await link.execute("CLIENT", "ID"))
        except ResponseError as error:
            if can_change(error) and not isinstance(error, NoPermissionError):
                raise
            if not self._cannot_end_last:
                self._cannot_end_last = True
                log.warning("redis_connections_not_ended", error=in_words(error))

    def _log(self, error: BaseException) -> None:
        reason = in_words(error)
        if reason == self._reason and self.failures & (self.failures - 1):
            return
        self._reason = reason
        say = log.warning if can_change(error) else log.error
        say(self._event, error=reason, failures=self.failures, **self._told())


class PrimaryReplacedError(RedisConnectionError):
    """Somebody has found out that the server one is connected to is not the primary any more."""


class SlotMovedError(RedisError):
    """It is time to see where a slot is that was moving."""


@contextlib.asynccontextmanager
async def _for_a_move(place: Place) -> AsyncIterator[None]:
    """As long as the body, or as it takes to move a slot."""
    limit = asyncio.timeout(ASKING_S if place.asking else None)
    try:
        async with limit:
            yield
    except TimeoutError:
        if limit.expired():
            raise SlotMovedError(
                "a slot of the Redis Cluster was moving: where is it now?"
            ) from None
        raise


def _first(errors: BaseExceptionGroup[Exception]) -> BaseException:
    """Of a connection's tasks the first to fail tells why."""
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _run_id(info: bytes) -> bytes:
    """What tells one run of a Redis from the next; in reply to INFO server."""
    return next((line for line in info.splitlines() if line.startswith(b"run_id:")), b"")
