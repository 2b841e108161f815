"""Which faults strike one device's next packet: dice, moments, and what is injected."""

from collections import Counter, deque
from random import Random

from teltonika.emulator.faults.plan import Fault, FaultPlan


class FaultSource:
    """``rng`` decides, nothing else but the moments looks at the clock."""

    __slots__ = ("_chances", "_moments", "_owed", "_rng", "began_s")

    def __init__(self, plan: FaultPlan, rng: Random) -> None:
        self._chances = [one for one in plan.chances.items() if one[0] is not Fault.NO_LUHN]
        self._moments = deque(plan.moments)
        self._owed: Counter[Fault] = Counter()  # no dice, but moments that came, and the injected
        self._rng = rng
        self.began_s = 0.0
        """When the device began, by the clock that `draw` is told."""

    def inject(self, fault: Fault) -> None:
        """Let it strike the next packet that can have it."""
        self._owed[fault] += 1

    def draw(self, now_s: float) -> frozenset[Fault]:
        """Those that are to strike the packet that is due now; those that do, `struck` is told."""
        faults = {fault for fault, chance in self._chances if self._rng.random() < chance}
        while self._moments and now_s - self.began_s >= self._moments[0][0]:
            self.inject(self._moments.popleft()[1])
        return frozenset(faults | self._owed.keys())

    def struck(self, faults: frozenset[Fault]) -> None:
        """The packet had these. Others that do not hang on dice wait for a packet after it."""
        self._owed -= Counter(faults)
