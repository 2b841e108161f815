"""What a campaign does to a single Valkey, and to the connections to it."""

import asyncio
import signal
import subprocess
from collections.abc import Iterable
from random import Random

from faults import PATIENCE_S, Fault, Faults
from forwarding import Way
from rig import INSTANCES
from valkey_rig import DISK_FULL, ValkeyRig


class ValkeyFaults(Faults):
    def __init__(self, rig: ValkeyRig, rng: Random, names: Iterable[str] = ()) -> None:
        self.rig = rig
        super().__init__(rig, rng, names)

    def every(self) -> dict[str, Fault]:
        return super().every() | {
            "Valkey killed": self._kill_valkey,
            "instance and Valkey killed": self._kill_both,
            "Valkey paused": self._pause_valkey,
            "connections to Redis killed by Redis": self._kill_connections,
            "connection to Redis cut in mid-reply": self._cut_replies,
            "connections to Redis delayed": self._delay_redis,
            "connections to Redis throttled": self._throttle_redis,
            DISK_FULL: self._fill_disk,
        }

    async def _kill_valkey(self) -> int:
        self.rig.kill_valkey()
        await asyncio.sleep(self.rng.uniform(0, 1))
        await self.rig.start_valkey()
        return 1

    async def _kill_both(self) -> int:
        name = self.rng.choice(INSTANCES)
        self.rig.kill_server(name)
        self.rig.kill_valkey()
        await self.rig.start_valkey()
        await self.rig.start_server(name)
        return 1

    async def _pause_valkey(self) -> int:
        self.rig.valkey.signal(signal.SIGSTOP)
        await asyncio.sleep(self.rng.uniform(0.2, 3))
        self.rig.valkey.signal(signal.SIGCONT)
        return 1

    async def _fill_disk(self) -> int:
        """Valkey ends when it can't write what it must; sometimes it is started in vain, too."""
        assert self.rig.disk is not None
        with self.rig.disk.full():
            ended = await self._valkey_ends()
            if ended and self.rng.randrange(2):
                await self.rig.start_valkey()
                await self._valkey_ends()
        if self.rig.valkey.process is None:
            await self.rig.start_valkey()
        return int(ended)

    async def _valkey_ends(self) -> bool:
        try:
            code = await asyncio.to_thread(self.rig.valkey.ended, PATIENCE_S)
        except subprocess.TimeoutExpired:
            return False
        assert code == 1, f"Valkey ended with {code}"
        return True

    # -- connections to it -----------------------------------------------------------------

    async def _kill_connections(self) -> int:
        kill = self.rig.client.client_kill_filter
        return int(await asyncio.to_thread(kill, _type="normal", skipme=True) > 0)

    async def _cut_replies(self) -> int:
        proxy = self.rig.proxy
        before = proxy.broken[Way.OUT]
        proxy.cut_next_replies()
        return await self.until(lambda: proxy.broken[Way.OUT] > before)

    async def _delay_redis(self) -> int:
        before = self.rig.proxy.hindered
        self.rig.proxy.delay_s = self.rng.uniform(0.05, 0.5)
        await asyncio.sleep(self.rng.uniform(0.5, 3))
        self.rig.proxy.delay_s = 0
        return int(self.rig.proxy.hindered > before)

    async def _throttle_redis(self) -> int:
        before = self.rig.proxy.hindered
        self.rig.proxy.bytes_per_s = self.rng.uniform(1_000, 10_000)
        await asyncio.sleep(self.rng.uniform(0.5, 3))
        self.rig.proxy.bytes_per_s = 0
        return int(self.rig.proxy.hindered > before)
