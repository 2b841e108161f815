"""What the faults of one device are about to do to its datagrams."""

from random import Random

from teltonika.emulator.faults.corruption import corrupt_datagram
from teltonika.emulator.faults.line import FaultLine
from teltonika.emulator.faults.plan import Fault, FaultPlan
from teltonika.emulator.report import DeviceReport


class DatagramFaultLine(FaultLine):
    """As a `FaultLine`, each piece of which is a datagram.

    An answer names its datagram, but not which copy of it: so it counts as one to a broken copy
    only as long as no right one went out.
    """

    __slots__ = ("_datagram", "_right_copy_out")

    _corrupt = staticmethod(corrupt_datagram)

    def __init__(self, plan: FaultPlan, rng: Random, report: DeviceReport) -> None:
        super().__init__(plan, rng, report)
        self._datagram = b""
        self._right_copy_out = False

    def strike(self, faults: frozenset[Fault], data: bytes, now_s: float) -> None:
        if data != self._datagram:
            self._datagram, self._right_copy_out = data, False
            self.broken = False
        was_broken = self.broken
        super().strike(faults, data, now_s)
        if not self.broken and Fault.DROP not in faults:
            self._right_copy_out = True
        self.broken = (was_broken or self.broken) and not self._right_copy_out
