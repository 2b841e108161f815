"""Which faults strike one device's next packet: dice, moments, and what is injected."""

from collections import deque
from random import Random

from teltonika.emulator.faults.plan import Fault, FaultPlan


class FaultSource:
    """``rng`` decides, nothing else but the moments looks at the clock."""

    __slots__ = ("_chances", "_injected", "_moments", "_rng", "began_s")

    def __init__(self, plan: FaultPlan, rng: Random) -> None:
        self._chances = [one for one in plan.chances.items() if one[0] is not Fault.NO_LUHN]
        self._moments = deque(plan.moments)
        self._injected: set[Fault] = set()
        self._rng = rng
        self.began_s = 0.0
        """When the device began, by the clock that `draw` is told."""

    def inject(self, fault: Fault) -> None:
        """Let it strike the next packet."""
        self._injected.add(fault)

    def draw(self, now_s: float) -> frozenset[Fault]:
        """Those that strike the packet that is written now."""
        faults = {fault for fault, chance in self._chances if self._rng.random() < chance}
        while self._moments and now_s - self.began_s >= self._moments[0][0]:
            faults.add(self._moments.popleft()[1])
        faults |= self._injected
        self._injected.clear()
        return frozenset(faults)
