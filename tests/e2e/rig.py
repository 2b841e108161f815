"""What a campaign runs beside its devices: two instances, their Redis, and what is between them."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from random import Random

import jumping_clock
from balancer import Balancer
from serving import STREAM, ServerProcess

from teltonika.server.clients import Client

INSTANCES = ("a", "b")
BREAK_EVERY = 400


class Rig:
    """``running`` starts it and ends it; in between it is taken apart piece by piece.

    A subclass has the Redis: ``client`` is set and works while that runs.
    """

    client: Client
    streams: tuple[str, ...] = (STREAM,)
    server_options: tuple[str, ...] = ()
    """Of the instances, for this Redis."""
    replicas = 0
    """That have what must not be lost."""

    def __init__(self, directory: Path, seed: int, break_every: int = BREAK_EVERY) -> None:
        self.kills = 0
        """SIGKILLs."""
        self.left_out: dict[str, str] = {}
        """Faults that can't be done here, and why."""
        self.servers: dict[str, ServerProcess] = {}
        self.balancer = Balancer(Random(f"{seed}/balancer"), break_every)
        self.directory = directory
        for name in INSTANCES:
            jumping_clock.set_clock(self.clock(name), 0)

    @property
    def redis_url(self) -> str:
        raise NotImplementedError

    @property
    def publishing_url(self) -> str:
        """For whoever publishes commands."""
        return self.redis_url

    def redis_running(self) -> contextlib.AbstractAsyncContextManager[None]:
        raise NotImplementedError

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[int]:
        """The port for devices."""
        async with self.redis_running(), self.balancer.serving() as port:
            try:
                for name in INSTANCES:
                    await self.start_server(name)
                yield port
            finally:
                for name in list(self.servers):
                    await self.stop_server(name)

    async def start_server(self, name: str) -> None:
        """Start an instance, and lead devices to it."""
        options = ("--instance-id", name, "--stream-maxlen", "0", *self.server_options)
        self.servers[name] = await asyncio.to_thread(
            ServerProcess,
            self.directory / name,
            *options,
            redis_url=self.redis_url,
            program=(sys.executable, jumping_clock.__file__, str(self.clock(name))),
        )
        self.balancer.ports[name] = self.servers[name].port

    async def stop_server(self, name: str) -> int:
        """SIGTERM, and the exit code."""
        with self._dropped(name) as server:
            return await asyncio.to_thread(server.stop)

    def kill_server(self, name: str) -> None:
        self.kills += 1
        with self._dropped(name) as server:
            server.kill()

    def clock(self, name: str) -> Path:
        """The file that an instance's clock follows."""
        return self.directory / f"clock-{name}"

    def check_all_running(self) -> None:
        for name in INSTANCES:
            server = self.servers[name]
            assert server.process.poll() is None, f"{name} has ended:\n{server.log_text()}"

    @contextlib.contextmanager
    def _dropped(self, name: str) -> Iterator[ServerProcess]:
        """An instance that devices are led to no more, to be ended."""
        del self.balancer.ports[name]
        with self.servers.pop(name) as server:
            yield server
