"""Commands to Redis that must happen, in their order, however often the connection breaks.

Each is sent again until it has an answer, so each must be harmless to repeat. What came meanwhile
goes out together, one batch at a time.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable

import structlog

from teltonika.server.reconnecting import Reconnecting
from teltonika.server.redis_link import REPLY_TIMEOUT_S, RedisLink, Reply, pack_command
from teltonika.server.scripts import Script

log = structlog.get_logger()

MAX_BATCH = 500

Argument = str | bytes | int


class RedisWriter:
    """A queue of commands. `run` does the work; `submit` and `call` only queue."""

    def __init__(self, redis_url: str, scripts: Iterable[Script]) -> None:
        self._connections = Reconnecting(redis_url)
        self._scripts = tuple(scripts)
        self._pending: deque[tuple[bytes, Callable[[Reply], None]]] = deque()
        self._work = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def submit(self, done: Callable[[Reply], None], *arguments: Argument) -> None:
        """Queue a command; ``done`` is called with its reply."""
        self._pending.append((pack_command(*arguments), done))
        self._work.set()
        self._idle.clear()

    def submit_script(
        self,
        done: Callable[[Reply], None],
        script: Script,
        keys: tuple[str, ...],
        *arguments: Argument,
    ) -> None:
        self.submit(done, "EVALSHA", script.sha, len(keys), *keys, *arguments)

    async def call(self, *arguments: Argument) -> Reply:
        """Queue a command and wait for its reply."""
        reply: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()

        def done(value: Reply) -> None:
            if not reply.done():  # its caller was cancelled
                reply.set_result(value)

        self.submit(done, *arguments)
        return await reply

    async def call_script(
        self, script: Script, keys: tuple[str, ...], *arguments: Argument
    ) -> Reply:
        return await self.call("EVALSHA", script.sha, len(keys), *keys, *arguments)

    @property
    def waiting(self) -> int:
        """Commands that have no reply yet."""
        return len(self._pending)

    async def idle(self) -> None:
        """Until everything that was queued has its reply."""
        await self._idle.wait()

    async def run(self) -> None:
        """Work until cancelled, on one connection after another."""
        await self._connections.run(self._work_on, self._failed)

    async def _work_on(self, link: RedisLink) -> None:
        async with asyncio.timeout(REPLY_TIMEOUT_S):
            for script in self._scripts:
                await link.execute("SCRIPT", "LOAD", script.source)
        while True:
            await self._work.wait()
            await self._write_batch(link)
            self._connections.succeeded()

    def _failed(self, error: str) -> None:
        log.warning(
            "redis_writer_unavailable",
            error=error,
            failures=self._connections.failures,
            waiting=len(self._pending),
        )

    async def _write_batch(self, link: RedisLink) -> None:
        size = min(len(self._pending), MAX_BATCH)
        await link.write(b"".join(self._pending[number][0] for number in range(size)))
        for _ in range(size):
            async with asyncio.timeout(REPLY_TIMEOUT_S):
                reply = await link.read_reply()
            self._pending.popleft()[1](reply)
        if not self._pending:
            self._work.clear()
            self._idle.set()
