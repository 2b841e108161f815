"""What a campaign runs beside its devices: a Valkey, two instances, and what is between them."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from random import Random

import jumping_clock
import psutil
from balancer import Balancer
from forwarding import RedisProxy
from own_valkey import OwnValkey
from serving import ServerProcess
from small_disk import NoSmallDiskError, SmallDisk, small_disk

INSTANCES = ("a", "b")
BREAK_EVERY = 400
BYTES_A_RECORD = 1_000
"""More than one takes in the append-only file, with what is kept to know it again; the file is
rewritten at times, and a campaign may be longer than it was meant to be."""
MIN_DISK = 64_000_000


class Rig:
    """``running`` starts it and ends it; in between it is taken apart piece by piece."""

    def __init__(
        self, directory: Path, seed: int, records_expected: int, break_every: int = BREAK_EVERY
    ) -> None:
        self.kills = 0
        """SIGKILLs."""
        self.without_disk = ""
        """Why Valkey has no disk of its own, if it has none."""
        self.disk: SmallDisk | None = None
        self.servers: dict[str, ServerProcess] = {}
        self.balancer = Balancer(Random(f"{seed}/balancer"), break_every)
        self._directory = directory
        self._disk_size = MIN_DISK + 3 * BYTES_A_RECORD * records_expected
        valkey = directory / "valkey"
        valkey.mkdir(parents=True, exist_ok=True)
        self.valkey = OwnValkey(valkey)
        self.proxy = RedisProxy(Random(f"{seed}/proxy"), self.valkey.socket)
        self._proxy_socket = valkey / "proxy.sock"
        for name in INSTANCES:
            jumping_clock.set_clock(self.clock(name), 0)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[int]:
        """The port for devices."""
        with self._disk():
            try:
                self.client = await asyncio.to_thread(self.valkey.start)
                async with self.proxy.serving(self._proxy_socket), self.balancer.serving() as port:
                    try:
                        for name in INSTANCES:
                            await self.start_server(name)
                        yield port
                    finally:
                        for name in list(self.servers):
                            await self.stop_server(name)
                self.client.close()
            finally:
                self.valkey.kill()

    async def start_server(self, name: str) -> None:
        """Start an instance, and lead devices to it."""
        options = ("--instance-id", name, "--stream-maxlen", "0")
        self.servers[name] = await asyncio.to_thread(
            ServerProcess,
            self._directory / name,
            *options,
            redis_url=f"unix://{self._proxy_socket}",
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

    def kill_valkey(self) -> None:
        self.kills += 1
        self.valkey.kill()

    async def start_valkey(self) -> None:
        self.client.close()
        for path in self.disk.files if self.disk else ():
            if path.name.startswith("temp-"):  # what a rewrite left when it was killed
                path.unlink()
        self.client = await asyncio.to_thread(self.valkey.start)

    def clock(self, name: str) -> Path:
        """The file that an instance's clock follows."""
        return self._directory / f"clock-{name}"

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

    def _fitting(self, size: int) -> int:
        """That size, if memory has it. Raises NoSmallDiskError."""
        available = psutil.virtual_memory().available
        if size > available // 2:
            raise NoSmallDiskError(
                f"{size / 1e9:.1f} GB may be needed for the stream, and {available / 1e9:.1f} GB "
                "of memory are free"
            )
        return size

    @contextlib.contextmanager
    def _disk(self) -> Iterator[None]:
        """Give Valkey a disk of its own, that can be full, if that is possible."""
        directory = self.valkey.directory
        with contextlib.ExitStack() as stack:
            try:
                size = self._fitting(self._disk_size)
                self.disk = stack.enter_context(small_disk(directory / "disk", size))
            except NoSmallDiskError as error:
                self.without_disk = str(error)
            else:
                self.valkey = OwnValkey(directory, self.disk.directory, self.disk.program)
            yield
