"""Which devices this instance holds, as whoever routes a command sees it in Redis.

What happens on the sockets is written down and goes to Redis behind it, in the order of each
device's own changes. An entry is only ever removed by the instance that it names.
"""

import asyncio
import time
from collections.abc import Iterable, Iterator
from itertools import islice

from teltonika.server.errors import RedisRefusedError
from teltonika.server.keys import Keys
from teltonika.server.redis_writer import RedisWriter
from teltonika.server.scripts import UPDATE_REGISTRY

PAGE = 1_000
"""Changes in one call: a few milliseconds of Redis' time."""


class ConnectionRegistry:
    """The entries of one run of an instance. `run` does the work."""

    def __init__(self, writer: RedisWriter, keys: Keys, instance_id: str, run_id: str) -> None:
        self._writer = writer
        self._keys = (keys.registry, keys.connected_since, keys.runs)
        self.instance_id = instance_id
        self._run_id = run_id
        self._since_ms: dict[str, int] = {}
        self._changed: dict[str, None] = {}  # IMEIs, in order, whose state is not written yet
        self._work = asyncio.Event()

    @property
    def size(self) -> int:
        """Devices of this instance, as they stand in Redis once all changes are written."""
        return len(self._since_ms)

    @property
    def waiting(self) -> int:
        """Changes that are not written yet."""
        return len(self._changed)

    def connected(self, imei: str) -> None:
        """A device's handshake was accepted."""
        self._since_ms[imei] = time.time_ns() // 1_000_000
        self._note(imei)

    def disconnected(self, imei: str) -> None:
        """A device has no connection to this instance any more."""
        del self._since_ms[imei]
        self._note(imei)

    def found(self, imei: str) -> None:
        """Redis has an entry that names this instance: it goes if the device is not here."""
        if imei not in self._since_ms:
            self._note(imei)

    async def run(self) -> None:
        """Write changes until cancelled."""
        while True:
            await self._work.wait()
            await self.flush()

    async def flush(self) -> None:
        """Write every change there is; what Redis refuses for ever waits for the next call."""
        while self._changed:
            imeis = list(islice(self._changed, PAGE))
            for imei in imeis:
                del self._changed[imei]
            try:
                await self._update(map(self._change, imeis))
            except RedisRefusedError:
                self._changed = dict.fromkeys(imeis) | self._changed
                break
        self._work.clear()

    async def restore(self) -> bool:
        """Write entries that Redis has lost; one that names another instance stays.

        Answers whether the instance's id still is this run's. Raises RedisRefusedError.
        """
        await self.flush()
        if not await self._update(()):
            return False
        imeis = iter(list(self._since_ms))
        while page := list(islice(imeis, PAGE)):
            since = ((imei, self._since_ms.get(imei)) for imei in page)
            await self._update(("restore", imei, ms) for imei, ms in since if ms is not None)
        return True

    def _note(self, imei: str) -> None:
        self._changed[imei] = None
        self._work.set()

    def _change(self, imei: str) -> tuple[str, str, int]:
        since_ms = self._since_ms.get(imei)
        return ("remove", imei, 0) if since_ms is None else ("set", imei, since_ms)

    async def _update(self, changes: Iterable[tuple[str, str, int]]) -> bool:
        arguments = _flat(changes)
        reply = await self._writer.call_script(
            UPDATE_REGISTRY, self._keys, self.instance_id, self._run_id, *arguments
        )
        return bool(reply)


def _flat(changes: Iterable[tuple[str, str, int]]) -> Iterator[str | int]:
    for change in changes:
        yield from change
