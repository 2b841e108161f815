"""What the faults of one device are about to do to its connection."""

from collections import deque
from math import inf
from random import Random

from teltonika.emulator.faults.corruption import BROKEN, CORRUPTIONS, corrupt
from teltonika.emulator.faults.plan import Fault, FaultPlan
from teltonika.emulator.faults.shaping import shape
from teltonika.emulator.faults.source import FaultSource
from teltonika.emulator.report import DeviceReport

STORM_CONNECTIONS = 10
_YEAR_MS = 31_536_000_000
CLOCK_OFF_MS = (-20 * _YEAR_MS, -3 * _YEAR_MS, 10 * _YEAR_MS)
_AT_THE_END = (Fault.CUT, Fault.RESET, Fault.HALF_OPEN)
_IN_ITS_PLACE = frozenset((Fault.STORM,))
_THE_FIRST_TIME = frozenset((Fault.COALESCE, Fault.DUPLICATE, Fault.CLOCK, Fault.STORM, Fault.TWIN))
_OF_SEVERAL = frozenset((Fault.COALESCE, Fault.DUPLICATE))


class FaultLine:
    """Takes what a device wants to write, and tells what to write instead, and when.

    Times are seconds of any one clock, the caller's. What happened is counted in ``report``.
    """

    __slots__ = ("_pieces", "_report", "_rng", "_source", "broken", "ending", "storm_left")

    def __init__(self, plan: FaultPlan, rng: Random, report: DeviceReport) -> None:
        self._source = FaultSource(plan, rng)
        self._rng = rng
        self._report = report
        self._pieces: deque[tuple[float, bytes]] = deque()
        self.ending: Fault | None = None
        """What ends the connection once everything is written."""
        self.storm_left = 0
        """Connections of a storm that are still to come."""
        self.broken = False
        """Whether the copy that was written last is one that must not be acknowledged."""

    def begin(self, now_s: float) -> None:
        """Moments count from now."""
        self._source.began_s = now_s

    def inject(self, fault: Fault) -> None:
        """Let it strike the next packet that can have it."""
        self._source.inject(fault)

    def draw(self, now_s: float, *, again: bool = False) -> frozenset[Fault]:
        """What is to strike the packet that is due now, the first time or ``again``.

        A storm comes in its place, and has come with that; all else comes with `strike`.
        """
        faults = self._source.draw(now_s)
        if again:
            faults -= _THE_FIRST_TIME
        if Fault.STORM in faults:
            self.storm_left = STORM_CONNECTIONS
            self._struck(_IN_ITS_PLACE)
            return _IN_ITS_PLACE
        if not faults.isdisjoint(CORRUPTIONS):
            faults -= _OF_SEVERAL
        endings = [fault for fault in _AT_THE_END if fault in faults]
        return faults.difference(endings[1:])

    def clock_off_ms(self, faults: frozenset[Fault]) -> int:
        """How wrong the clock is."""
        return self._rng.choice(CLOCK_OFF_MS) if Fault.CLOCK in faults else 0

    def strike(self, faults: frozenset[Fault], data: bytes, now_s: float) -> None:
        """``data`` is to be written, with these faults: see `due_s`."""
        self._struck(faults)
        for fault in CORRUPTIONS:
            if fault in faults:
                data = corrupt(fault, data, self._rng)
        self.broken = not faults.isdisjoint(BROKEN)
        self._pieces.extend(shape(faults, data, now_s, self._rng))
        self.ending = next((fault for fault in _AT_THE_END if fault in faults), None)

    def _struck(self, faults: frozenset[Fault]) -> None:
        self._source.struck(faults)
        for fault in faults:
            self._report.faults[fault.value] = self._report.faults.get(fault.value, 0) + 1

    @property
    def due_s(self) -> float:
        """When something is to be written next; infinite where nothing is."""
        return self._pieces[0][0] if self._pieces else inf

    def pop(self) -> bytes:
        """What is to be written next. Raises IndexError where nothing is."""
        return self._pieces.popleft()[1]

    def clear(self) -> None:
        """The connection is gone."""
        self._pieces.clear()
        self.ending = None
        self.broken = False
