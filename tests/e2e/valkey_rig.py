"""A rig with one Valkey, on a disk of its own, and a proxy between it and the instances."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from random import Random

import psutil
from forwarding import RedisProxy
from own_valkey import OwnValkey
from rig import BREAK_EVERY, Rig
from small_disk import NoSmallDiskError, SmallDisk, small_disk

BYTES_A_RECORD = 1_000
"""More than one takes in the append-only file, with what is kept to know it again; the file is
rewritten at times, and a campaign may be longer than it was meant to be."""
MIN_DISK = 64_000_000
DISK_FULL = "disk full for the append-only file"


class ValkeyRig(Rig):
    def __init__(
        self, directory: Path, seed: int, records_expected: int, break_every: int = BREAK_EVERY
    ) -> None:
        super().__init__(directory, seed, break_every)
        self.disk: SmallDisk | None = None
        self._disk_size = MIN_DISK + 3 * BYTES_A_RECORD * records_expected
        valkey = directory / "valkey"
        valkey.mkdir(parents=True, exist_ok=True)
        self.valkey = OwnValkey(valkey)
        self.proxy = RedisProxy(Random(f"{seed}/proxy"), self.valkey.socket)
        self._proxy_socket = valkey / "proxy.sock"

    @property
    def redis_url(self) -> str:
        return f"unix://{self._proxy_socket}"

    @property
    def publishing_url(self) -> str:
        """The proxy hinders the instances."""
        return self.valkey.url

    @contextlib.asynccontextmanager
    async def redis_running(self) -> AsyncIterator[None]:
        with self._disk():
            try:
                self.client = await asyncio.to_thread(self.valkey.start)
                async with self.proxy.serving(self._proxy_socket):
                    yield
                self.client.close()
            finally:
                self.valkey.kill()

    def kill_valkey(self) -> None:
        self.kills += 1
        self.valkey.kill()

    async def start_valkey(self) -> None:
        self.client.close()
        for path in self.disk.files if self.disk else ():
            if path.name.startswith("temp-"):  # what a rewrite left when it was killed
                path.unlink()
        self.client = await asyncio.to_thread(self.valkey.start)

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
                self.left_out[DISK_FULL] = str(error)
            else:
                self.valkey = OwnValkey(directory, self.disk.directory, self.disk.program)
            yield
