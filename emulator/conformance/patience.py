"""How long the suite waits for a server."""

import msgspec


class Patience(msgspec.Struct, frozen=True, kw_only=True):
    """Times in seconds."""

    answer_s: float = 5.0
    """For an answer. The least that devices are set to wait is 5 s."""
    quiet_s: float = 0.4
    """How long nothing must come where nothing is to come: a wrong answer that takes longer is
    not seen."""
    idle_s: float = 2.0
    """How long an idle device says nothing."""
    slow_s: float = 0.4
    """Between the pieces of a packet from a slow device."""

    @property
    def case_s(self) -> float:
        """For a whole case."""
        return 30.0 + 4 * self.answer_s
