"""Commands to Redis that must happen, in their order, however often the connection breaks.

Each is sent again until it has an answer, so each must be harmless to repeat. What came meanwhile
goes out together, one batch at a time.

What Redis refuses for now is sent again with everything behind it. What it will refuse for ever, as
a key of another type is, must not hold up the others: it is logged, whoever queued it is told, and
the next one has its turn.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable

import structlog
from redis.exceptions import ResponseError

from teltonika.server.errors import RedisRefusedError
from teltonika.server.reconnecting import Reconnecting
from teltonika.server.redis_link import REPLY_TIMEOUT_S, RedisLink, Reply, pack_command
from teltonika.server.refusals import can_change
from teltonika.server.scripts import Script

log = structlog.get_logger()

MAX_BATCH = 500
REFUSED_LOG_S = 30.0
"""Between two lines about one kind of command."""

Argument = str | bytes | int


def _nothing(_: object) -> None:
    pass


class _Command:
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


class RedisWriter:
    """A queue of commands. `run` does the work; `submit` and `call` only queue."""

    def __init__(self, redis_url: str, scripts: Iterable[Script]) -> None:
        self._connections = Reconnecting(
            redis_url, "redis_writer_unavailable", lambda: {"waiting": len(self._pending)}
        )
        self._scripts = tuple(scripts)
        self._pending: deque[_Command] = deque()
        self._refusals_told: dict[tuple[str, str], float] = {}
        self._work = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def submit(
        self,
        done: Callable[[Reply], None],
        *arguments: Argument,
        refused: Callable[[RedisRefusedError], None] = _nothing,
    ) -> None:
        """Queue a command; ``done`` is called with its reply.

        ``refused`` is called instead if Redis refuses it, and will for ever.
        """
        name, *more = arguments
        packed = pack_command(*arguments)
        self._queue(_Command(str(name), tuple(map(str, more[:1])), packed, done, refused))

    def submit_script(
        self,
        done: Callable[[Reply], None],
        script: Script,
        keys: tuple[str, ...],
        *arguments: Argument,
        refused: Callable[[RedisRefusedError], None] = _nothing,
    ) -> None:
        packed = pack_command("EVALSHA", script.sha, len(keys), *keys, *arguments)
        self._queue(_Command(script.name, keys, packed, done, refused))

    async def call(self, *arguments: Argument) -> Reply:
        """Queue a command and wait for its reply. Raises RedisRefusedError."""
        waiting = _Waiting()
        self.submit(waiting.done, *arguments, refused=waiting.refused)
        return await waiting.reply

    async def call_script(
        self, script: Script, keys: tuple[str, ...], *arguments: Argument
    ) -> Reply:
        waiting = _Waiting()
        self.submit_script(waiting.done, script, keys, *arguments, refused=waiting.refused)
        return await waiting.reply

    @property
    def waiting(self) -> int:
        """Commands that have no reply yet."""
        return len(self._pending)

    async def idle(self) -> None:
        """Until everything that was queued has its reply."""
        await self._idle.wait()

    async def run(self) -> None:
        """Work until cancelled, on one connection after another."""
        await self._connections.run(self._work_on)

    def _queue(self, command: _Command) -> None:
        self._pending.append(command)
        self._work.set()
        self._idle.clear()

    async def _work_on(self, link: RedisLink) -> None:
        async with asyncio.timeout(REPLY_TIMEOUT_S):
            for script in self._scripts:
                await link.execute("SCRIPT", "LOAD", script.source)
        while True:
            await self._work.wait()
            await self._write_batch(link)
            self._connections.succeeded()

    async def _write_batch(self, link: RedisLink) -> None:
        size = min(len(self._pending), MAX_BATCH)
        await link.write(b"".join(self._pending[number].packed for number in range(size)))
        for _ in range(size):
            try:
                async with asyncio.timeout(REPLY_TIMEOUT_S):
                    reply = await link.read_reply()
            except ResponseError as error:
                if can_change(error):
                    raise
                self._refuse(self._pending.popleft(), str(error))
            else:
                self._pending.popleft().done(reply)
        if not self._pending:
            self._work.clear()
            self._idle.set()

    def _refuse(self, command: _Command, error: str) -> None:
        kind = (command.name, command.keys[0] if command.keys else "")
        now = asyncio.get_running_loop().time()
        if now - self._refusals_told.get(kind, -REFUSED_LOG_S) >= REFUSED_LOG_S:
            self._refusals_told[kind] = now
            log.error("redis_refused", command=command.name, keys=command.keys, error=error)
        names = " ".join((command.name, *command.keys))
        command.refused(RedisRefusedError(f"Redis refuses {names}: {error}"))


class _Waiting:
    """A caller that waits for a reply; it may have been cancelled when that comes."""

    def __init__(self) -> None:
        self.reply: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()

    def done(self, reply: Reply) -> None:
        if not self.reply.done():
            self.reply.set_result(reply)

    def refused(self, error: RedisRefusedError) -> None:
        if not self.reply.done():
            self.reply.set_exception(error)
