"""How often something was how large: counted in buckets, cheap enough for every packet."""

from bisect import bisect_left
from collections.abc import Iterator
from itertools import accumulate

import msgspec


class Histogram(msgspec.Struct):
    """``bounds``: of the buckets, ascending; each holds what is at most as large."""

    bounds: tuple[float, ...]
    counts: list[int] = []
    """One for each bound, and a last one for what is larger than any."""
    total: float = 0.0
    """The sum of all that was observed."""

    def __post_init__(self) -> None:
        self.counts = self.counts or [0] * (len(self.bounds) + 1)

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    @property
    def observations(self) -> int:
        return sum(self.counts)

    def cumulative(self) -> Iterator[tuple[float, int]]:
        """Each bound, infinity last, and how many observations were at most as large."""
        return zip((*self.bounds, float("inf")), accumulate(self.counts), strict=True)
