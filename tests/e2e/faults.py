"""The faults that a campaign does to its rig, one after another, in the order of its seed."""

import asyncio
import itertools
import signal
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable
from random import Random
from time import monotonic

from balancer import BACK, OVER
from forwarding import Way
from jumping_clock import set_clock
from rig import INSTANCES, Rig

PATIENCE_S = 5.0
"""How long a fault waits for what it is meant to hit; then it did not happen."""
OVERTIME_S = 120.0
"""On a slow machine not every fault happens in the time there is: a campaign is longer then."""
HOUR_S, DAY_S = 3_600, 86_400
FARTHEST_JUMP_S = 400 * DAY_S
"""From the right time."""
RESTARTED = "instance stopped and started"
MID_PACKET = "device cut off in mid-packet"
MID_ACK = "device cut off in mid-ACK"
LATE = "packet late on a half-open connection"

Fault = Callable[[], Coroutine[None, None, int]]


class Faults:
    """``done`` counts them by name. A fault answers how often it happened.

    Those of instances and devices; a subclass adds those of its rig's Redis.
    """

    def __init__(self, rig: Rig, rng: Random, names: Iterable[str] = ()) -> None:
        self.done: Counter[str] = Counter()
        self.restarts: Counter[str] = Counter()
        """SIGTERM and a new start, by instance."""
        self.history: list[str] = []
        self.rng = rng
        self._rig = rig
        self._in_turn = itertools.cycle(INSTANCES)
        every = self.every()
        self._faults = {
            name: every[name] for name in names or every if name not in self._rig.left_out
        }

    def every(self) -> dict[str, Fault]:
        """By name."""
        return {
            "instance killed": self._kill_server,
            RESTARTED: self._restart_server,
            "instance paused": self._pause_server,
            "connections of devices cut": self._cut_devices,
            BACK: lambda: self._lose_devices(BACK),
            OVER: lambda: self._lose_devices(OVER),
            "clock jumped": self._jump,
            "clock jumped while the instance was dead": self._jump_while_dead,
        }

    def all_done(self, times: int) -> bool:
        """Whether each has happened; with devices left half-open, one of them was late as well."""
        late = OVER not in self._faults or self._rig.balancer.late_packets > 0
        return late and all(self.done[name] >= times for name in self._faults)

    async def run(self, seconds: float, times: int) -> None:
        """Each in its turn, until the time is over and each has happened so many times."""
        began = monotonic()
        left: list[str] = []
        limit = seconds + OVERTIME_S
        while (now := monotonic() - began) < seconds or (now < limit and not self.all_done(times)):
            left = left or self.rng.sample(sorted(self._faults), len(self._faults))
            name = left.pop()
            await asyncio.sleep(self.rng.uniform(0.1, 0.8))
            start = monotonic() - began
            count = await self._faults[name]()
            self.done[name] += count
            self.history.append(f"{start:8.2f} to {monotonic() - began:8.2f} s: {name} ({count})")
        self._rig.check_all_running()

    def broken_off(self) -> Counter[str]:
        """What the balancer has done by itself, all the time."""
        broken = self._rig.balancer.broken
        counts = {MID_PACKET: broken[Way.IN], MID_ACK: broken[Way.OUT]}
        counts[LATE] = self._rig.balancer.late_packets
        return Counter(counts)

    async def until(self, happened: Callable[[], bool]) -> int:
        """Whether it did, before patience was over."""
        end = monotonic() + PATIENCE_S
        while not happened() and monotonic() < end:
            await asyncio.sleep(0.01)
        return int(happened())

    # -- instances -------------------------------------------------------------------------

    async def _kill_server(self) -> int:
        name = self.rng.choice(INSTANCES)
        self._rig.kill_server(name)
        await self._rig.start_server(name)
        return 1

    async def _restart_server(self) -> int:
        name = next(self._in_turn)
        code = await self._rig.stop_server(name)
        assert code == 0, f"instance {name} ended with {code}"
        await self._rig.start_server(name)
        self.restarts[name] += 1
        return 1

    async def _pause_server(self) -> int:
        process = self._rig.servers[self.rng.choice(INSTANCES)].process
        process.send_signal(signal.SIGSTOP)
        await asyncio.sleep(self.rng.uniform(0.2, 2))
        process.send_signal(signal.SIGCONT)
        return 1

    async def _jump(self) -> int:
        set_clock(self._rig.clock(self.rng.choice(INSTANCES)), self._wrong_by())
        return 1

    async def _jump_while_dead(self) -> int:
        name = self.rng.choice(INSTANCES)
        self._rig.kill_server(name)
        set_clock(self._rig.clock(name), self._wrong_by())
        await self._rig.start_server(name)
        return 1

    def _wrong_by(self) -> int:
        """Hours or days, to either side."""
        farthest = self.rng.choice((DAY_S, FARTHEST_JUMP_S))
        return self.rng.choice((-1, 1)) * self.rng.randint(HOUR_S, farthest)

    # -- connections of devices ------------------------------------------------------------

    async def _cut_devices(self) -> int:
        return int(self._rig.balancer.cut_all() > 0)

    async def _lose_devices(self, kind: str) -> int:
        return await self._rig.balancer.lose_devices(kind, self.rng.randint(1, 4), PATIENCE_S)
