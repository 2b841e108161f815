"""Many devices in one process: each a link of its own, none in step with another.

What a device sends is decided by the seed and its IMEI alone. When it sends is left to the clock: a
device sets off when its turn in the ramp has come and, within its interval, at a moment of its own;
so the fleet does not beat.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from random import Random

import msgspec

from teltonika.emulator.assemble import assemble_device
from teltonika.emulator.emulated_device import EmulatedDevice
from teltonika.emulator.faulty_link import FaultyLink
from teltonika.emulator.latency import LatencyHistogram
from teltonika.emulator.link import DeviceLink
from teltonika.emulator.observer import DeviceObserver
from teltonika.emulator.recording import Recorder
from teltonika.emulator.report import DeviceReport
from teltonika.emulator.settings import EmulatorSettings

NAMED_DEVICES = 20
"""Of those that did not deliver everything, so many are named in a report."""


class FleetCounts(msgspec.Struct, kw_only=True):
    """What a fleet did so far. The sums are of the devices' own counts."""

    devices: int = 0
    started: int = 0
    connected: int = 0
    """Now."""
    most_connected: int = 0
    finished: int = 0
    """Devices whose run has ended."""
    records_sent: int = 0
    records_acknowledged: int = 0
    records_resent: int = 0
    packets_sent: int = 0
    packets_acknowledged: int = 0
    packets_resent: int = 0
    connections: int = 0
    rejections: int = 0
    handshake_failures: int = 0
    wrong_acks: int = 0
    ack_timeouts: int = 0
    commands_received: int = 0
    commands_executed: int = 0
    answers: int = 0
    texts: int = 0
    records_overwritten: int = 0
    corrupt_acknowledged: int = 0
    disconnects: int = 0
    """Connections that were lost, or not made, while the device had more to do."""
    reasons: dict[str, int] = msgspec.field(default_factory=dict)
    """Why, to how often."""
    faults: dict[str, int] = msgspec.field(default_factory=dict)
    """Done on purpose, to how often they were."""
    gave_up: int = 0
    """Devices that gave up."""
    incomplete: list[str] = msgspec.field(default_factory=list)
    """IMEIs of devices with records that were never acknowledged: the first few."""
    latencies: dict[int, int] = msgspec.field(default_factory=dict)
    """Of ACKs: buckets of a `LatencyHistogram`."""
    latency_max_s: float = 0.0

    @property
    def complete(self) -> bool:
        """Whether every record that was sent was acknowledged, none by mistake."""
        return (
            not self.gave_up
            and not self.corrupt_acknowledged
            and self.records_acknowledged == self.records_sent
        )

    @property
    def latency(self) -> LatencyHistogram:
        histogram = LatencyHistogram()
        histogram.merge(self.latencies, self.latency_max_s)
        return histogram

    @classmethod
    def total(cls, parts: Sequence["FleetCounts"]) -> "FleetCounts":
        """Of several fleets that run beside each other."""
        total = cls()
        latency = LatencyHistogram()
        reasons: Counter[str] = Counter()
        faults: Counter[str] = Counter()
        for part in parts:
            for name in _SUMS:
                setattr(total, name, getattr(total, name) + getattr(part, name))
            total.incomplete += part.incomplete
            reasons.update(part.reasons)
            faults.update(part.faults)
            latency.merge(part.latencies, part.latency_max_s)
        total.incomplete = total.incomplete[:NAMED_DEVICES]
        total.reasons, total.faults = dict(reasons), dict(faults)
        total.latencies, total.latency_max_s = latency.buckets, latency.max_s
        return total


_OF_DEVICES = tuple(
    name
    for name in FleetCounts.__struct_fields__
    if name in DeviceReport.__struct_fields__ and name not in {"gave_up", "faults"}
)
_SUMS = tuple(
    name
    for name in FleetCounts.__struct_fields__
    if name not in {"reasons", "faults", "incomplete", "latencies", "latency_max_s"}
)


class Fleet(DeviceObserver):
    """Devices with consecutive turns: `run` starts them, `counts` says how they fare.

    ``ramp`` is how many set off in a second, 0: all at once. ``turn`` and ``turns`` place the
    devices in a larger fleet of which these are every ``turns``-th: they take their place in its
    ramp.
    """

    may_inject = False
    """Whether faults may come that the settings do not know."""

    def __init__(
        self,
        imeis: Sequence[str],
        settings: EmulatorSettings,
        *,
        ramp: float = 0.0,
        turn: int = 0,
        turns: int = 1,
        recorder: Recorder | None = None,
    ) -> None:
        now_ms = time.time_ns() // 1_000_000
        self._ramp = ramp
        self._turn, self._turns = turn, turns
        self._stop = asyncio.Event()
        self._connected: set[str] = set()
        self._most_connected = 0
        self._disconnects: Counter[str] = Counter()
        self._latency = LatencyHistogram()
        self._started = self._finished = 0
        link_class = FaultyLink if settings.faults or self.may_inject else DeviceLink
        self._links = [
            link_class(
                assemble_device(imei, settings, now_ms, number=1 + turn + turns * place),
                settings,
                Random(f"{settings.seed}/{imei}/link"),  # noqa: S311 - lengths of pauses
                self,
                recorder,
                in_fleet=True,
            )
            for place, imei in enumerate(imeis)
        ]

    @property
    def stopping(self) -> bool:
        """Whether `stop` was called."""
        return self._stop.is_set()

    async def run(self) -> None:
        """Until every device is done. Raises what a device's link raises."""
        async with asyncio.TaskGroup() as group:
            for number, link in enumerate(self._links):
                group.create_task(self._run_one(number, link))

    def stop(self) -> None:
        """End soon: each device once its packet in flight, if any, is acknowledged."""
        self._stop.set()
        for link in self._links:
            link.stop()

    def counts(self) -> FleetCounts:
        """As of now."""
        counts = FleetCounts(
            devices=len(self._links),
            started=self._started,
            connected=len(self._connected),
            most_connected=self._most_connected,
            finished=self._finished,
            disconnects=self._disconnects.total(),
            reasons=dict(self._disconnects),
            latencies=self._latency.buckets,
            latency_max_s=self._latency.max_s,
        )
        reports = [link.device.report for link in self._links]
        for name in _OF_DEVICES:
            setattr(counts, name, sum(getattr(report, name) for report in reports))
        faults: Counter[str] = Counter()
        for report in reports:
            faults.update(report.faults)
        counts.faults = dict(faults)
        counts.gave_up = sum(report.gave_up for report in reports)
        missing = [report.imei for report in reports if not report.complete]
        counts.incomplete = missing[:NAMED_DEVICES]
        return counts

    async def _run_one(self, number: int, link: DeviceLink) -> None:
        if self._ramp:
            await self._wait_for_turn((self._turn + number * self._turns) / self._ramp)
        self._started += not self.stopping
        await link.run()
        self._connected.discard(link.device.imei)
        self._finished += 1

    async def _wait_for_turn(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stop.wait()

    # -- links call these ------------------------------------------------------------------

    def connected(self, device: EmulatedDevice) -> None:
        self._connected.add(device.imei)
        self._most_connected = max(self._most_connected, len(self._connected))

    def acknowledged(self, device: EmulatedDevice, packet: bytes, latency_s: float) -> None:
        self._latency.add(latency_s)

    def disconnected(self, device: EmulatedDevice, reason: str, retry_in_s: float) -> None:
        self._connected.discard(device.imei)
        self._disconnects[reason] += 1
