"""Commands to Redis that must happen, in their order, however often the connection breaks.

Each is sent again until it has an answer, so each must be harmless to repeat. What came meanwhile
goes out together, one batch at a time.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable

import structlog
from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import RedisError

from teltonika.server.redis_link import RedisLink, Reply, pack_command
from teltonika.server.scripts import Script

log = structlog.get_logger()

MAX_BATCH = 500
REPLY_TIMEOUT_S = 30.0

Argument = str | bytes | int


class RedisWriter:
    """A queue of commands. `run` does the work; `submit` and `call` only queue."""

    def __init__(self, redis_url: str, scripts: Iterable[Script]) -> None:
        self._redis_url = redis_url
        self._scripts = tuple(scripts)
        self._pending: deque[tuple[bytes, Callable[[Reply], None]]] = deque()
        self._work = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._backoff = ExponentialWithJitterBackoff(base=0.05, cap=5.0)

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
        failures = 0
        while True:
            link = RedisLink(self._redis_url)
            try:
                async with asyncio.timeout(REPLY_TIMEOUT_S):
                    await link.connect()
                    for script in self._scripts:
                        await link.execute("SCRIPT", "LOAD", script.source)
                while True:
                    await self._work.wait()
                    await self._write_batch(link)
                    failures = 0
            except (RedisError, OSError, TimeoutError) as error:
                failures += 1
                log.warning(
                    "redis_writer_unavailable",
                    error=str(error) or type(error).__name__,
                    failures=failures,
                    waiting=len(self._pending),
                )
            finally:
                await link.close()
            await asyncio.sleep(self._backoff.compute(min(failures, 16)))

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
