"""A port that leads devices to either instance, and breaks their connections in every way."""

import asyncio
import contextlib
from collections import Counter
from random import Random

from forwarding import Forwarder, Line, Streams, Way

IMEI_BYTES = 17
"""Two for the length, and the digits."""
PACKET_WITHIN_S = 2.0
"""One of the devices that are lost has a packet under way, if it says something for so long."""
BACK = "half-open, back on the same instance"
OVER = "half-open, over to the other instance"


class Balancer(Forwarder):
    """``ports`` has the instances that devices are led to.

    About one in ``break_every`` pieces of a connection's bytes is cut, and the connection with it;
    0 leaves all whole.
    """

    def __init__(self, rng: Random, break_every: int) -> None:
        super().__init__(rng)
        self.ports: dict[str, int] = {}
        self.came_back: Counter[str] = Counter()
        """Devices that connected again while their last connection was half-open."""
        self.late_packets = 0
        """What arrived on a half-open connection when the device had another for long."""
        self._break_every = break_every
        self._wanted: dict[str, tuple[Line, str]] = {}
        self._news = asyncio.Event()

    async def lead(self, outer: Streams) -> tuple[Line, bytes] | None:
        said = await outer[0].readexactly(IMEI_BYTES)
        imei = said[2:].decode("ascii")
        if not self.ports:
            return None
        last, name = self._wanted.pop(imei, (None, ""))
        if name not in self.ports:
            name = self.rng.choice(sorted(self.ports))
        inner = await asyncio.open_connection("127.0.0.1", self.ports[name])
        if last is not None and not last.inner_closed.is_set():
            self.came_back[BACK if name == last.name else OVER] += 1
        self._news.set()
        return Line(outer, inner, name, imei), said

    def breaks(self, line: Line, way: Way) -> bool:
        return bool(self._break_every) and self.rng.randrange(self._break_every) == 0

    async def lose_devices(self, kind: str, count: int, patience_s: float) -> int:
        """Let some devices lose their connections and come back; the servers are told nothing.

        How many came back while the old connection stood.
        """
        before = self.came_back[kind]
        whole = [line for line in self.lines if not line.half_open and line.name in self.ports]
        whole.sort(key=lambda line: line.imei)
        lost = self.rng.sample(whole, min(count, len(whole)))
        for number, line in enumerate(lost):
            line.half_open = True
            line.hears = number % 2 == 0  # it sends a packet more, or misses an ACK
        await asyncio.sleep(self.rng.uniform(0.1, 0.4))  # packets and ACKs go nowhere
        end = asyncio.get_running_loop().time() + PACKET_WITHIN_S
        while lost and not lost[0].held and asyncio.get_running_loop().time() < end:
            await asyncio.sleep(0.02)
        for line in lost:
            others = sorted(self.ports.keys() - {line.name})
            name = line.name if kind == BACK or not others else self.rng.choice(others)
            self._wanted[line.imei] = (line, name)
            line.outer[1].transport.abort()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                while any(self._wanted.get(line.imei, (None, ""))[0] is line for line in lost):
                    self._news.clear()
                    await self._news.wait()
        return self.came_back[kind] - before

    async def hold(self, line: Line) -> None:
        """For some seconds; then what was under way arrives after all."""
        await self._closed_within(line, self.rng.uniform(0.3, 2))
        if line.held and not line.inner_closed.is_set():
            self.late_packets += 1
            line.inner[1].write(line.held)
            await line.inner[1].drain()
            await self._closed_within(line, 0.5)

    async def _closed_within(self, line: Line, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await line.inner_closed.wait()
