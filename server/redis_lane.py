"""Commands to one Redis that must happen, in their order, however often the connection breaks.

Each is sent again until it has an answer, so each must be harmless to repeat. What came meanwhile
goes out together, one batch at a time.

What Redis refuses for now is sent again with everything behind it. What it will refuse for ever, as
a key of another type is, must not hold up the others: it is logged, whoever queued it is told, and
the next one has its turn.

Where a promise is to be kept, as that replicas have what was written, nobody is told of a reply
before it is.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable

import structlog
from redis.exceptions import ResponseError

from teltonika.server.deployment import Deployment
from teltonika.server.durability import DurabilityNotReachedError, Promise
from teltonika.server.errors import RedisRefusedError
from teltonika.server.reconnecting import Reconnecting
from teltonika.server.redis_link import REPLY_TIMEOUT_S, RedisLink, Reply
from teltonika.server.refusals import can_change
from teltonika.server.scripts import Script

log = structlog.get_logger()

MAX_BATCH = 64
"""Commands. Redis does nothing else until it has done them, and records wait for it, too."""
LINGER_S = 90.0
"""A connection without work is kept for so long."""
REFUSED_LOG_S = 30.0
"""Between two lines about one kind of command."""


class Command:
    """A command, and who is told of its reply."""

    __slots__ = ("done", "keys", "name", "packed", "refused")

    def __init__(
        self,
        name: str,
        keys: tuple[str, ...],
        packed: bytes,
        done: Callable[[Reply], None],
        refused: Callable[[RedisRefusedError], None],
    ) -> None:
        self.name = name
        self.keys = keys
        self.packed = packed
        self.done = done
        self.refused = refused


class RedisLane:
    """A queue of commands for keys that are always in one place. `run` does the work."""

    def __init__(
        self, redis: Deployment, key: str, scripts: Iterable[Script], promise: Promise
    ) -> None:
        """``key``: any of them."""
        self._connections = Reconnecting(
            redis,
            key,
            "redis_writer_unavailable",
            lambda: {"key": key, "waiting": len(self._pending)},
        )
        self._scripts = tuple(scripts)
        self._promise = promise
        self._pending: deque[Command] = deque()
        self._refusals_told: dict[tuple[str, str], float] = {}
        self._work = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def queue(self, command: Command) -> None:
        """Behind those that are there."""
        self._pending.append(command)
        self._work.set()
        self._idle.clear()

    @property
    def waiting(self) -> int:
        """Commands that have no reply yet."""
        return len(self._pending)

    async def idle(self) -> None:
        """Until everything that was queued has its reply."""
        await self._idle.wait()

    async def run(self) -> None:
        """Work until cancelled, on one connection after another."""
        await self._connections.run(self._work_on, needed=self._work)

    async def _work_on(self, link: RedisLink) -> None:
        async with asyncio.timeout(REPLY_TIMEOUT_S):
            for script in self._scripts:
                await link.execute("SCRIPT", "LOAD", script.source)
        while await self._has_work():
            await self._write_batch(link)
            self._connections.succeeded()

    async def _has_work(self) -> bool:
        """Soon; what is of no use for longer needs no connection."""
        try:
            async with asyncio.timeout(LINGER_S):
                return await self._work.wait()
        except TimeoutError:
            return False

    async def _write_batch(self, link: RedisLink) -> None:
        size = min(len(self._pending), MAX_BATCH)
        commands = [self._pending[number].packed for number in range(size)]
        if self._promise.command:
            commands.append(self._promise.command)
        async with asyncio.timeout(REPLY_TIMEOUT_S):  # one that stands still takes no more
            await link.write(commands)
        outcomes: deque[Reply | ResponseError] = deque()
        for _ in range(size):
            outcomes.append(await self._outcome(link))
            if not self._promise.command:
                self._settle(outcomes.popleft())
        if self._promise.command:
            async with asyncio.timeout(REPLY_TIMEOUT_S):
                is_kept = self._promise.is_kept(await link.read_reply())
            if not is_kept:
                raise DurabilityNotReachedError(f"no {self._promise.durability} in time")
            for outcome in outcomes:
                self._settle(outcome)
        if not self._pending:
            self._work.clear()
            self._idle.set()

    async def _outcome(self, link: RedisLink) -> "Reply | ResponseError":
        """The next reply, or why Redis refuses for ever."""
        try:
            async with asyncio.timeout(REPLY_TIMEOUT_S):
                return await link.read_reply()
        except ResponseError as error:
            if can_change(error):
                raise
            return error

    def _settle(self, outcome: "Reply | ResponseError") -> None:
        command = self._pending.popleft()
        if isinstance(outcome, ResponseError):
            self._refuse(command, str(outcome))
        else:
            command.done(outcome)

    def _refuse(self, command: Command, error: str) -> None:
        kind = (command.name, command.keys[0] if command.keys else "")
        now = asyncio.get_running_loop().time()
        if now - self._refusals_told.get(kind, -REFUSED_LOG_S) >= REFUSED_LOG_S:
            self._refusals_told[kind] = now
            log.error("redis_refused", command=command.name, keys=command.keys, error=error)
        names = " ".join((command.name, *command.keys))
        command.refused(RedisRefusedError(f"Redis refuses {names}: {error}"))
