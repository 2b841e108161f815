"""How long a device waits before it connects again."""

from random import Random


class Backoff:
    """Delays that double from ``first_s`` up to ``max_s``, each shortened at random by up to half.

    The chance keeps devices that lost their server together from coming back together.
    """

    __slots__ = ("_first_s", "_max_s", "_next_s", "_rng")

    def __init__(self, first_s: float, max_s: float, rng: Random) -> None:
        self._first_s = first_s
        self._max_s = max_s
        self._next_s = first_s
        self._rng = rng

    def next_delay(self) -> float:
        """Seconds to wait now; the next call's delay is twice as long."""
        delay = min(self._next_s, self._max_s)
        self._next_s = delay * 2
        return delay * self._rng.uniform(0.5, 1.0)

    def reset(self) -> None:
        """Something went forward: the next delay is short again."""
        self._next_s = self._first_s
