"""When a car is where on a track, and how fast: distance as a smooth function of time."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from typing import NamedTuple


class Knot(NamedTuple):
    """What is known of one moment."""

    seconds: float
    """Since the beginning."""
    metres: float
    """Since the beginning."""
    speed: float
    """m/s."""


class Timetable:
    """Cubic curves between knots, so that speed is the distance's slope everywhere.

    The knots' times grow strictly, their metres never fall, and there are two or more. Where the
    acceleration between two is constant the curve is that very motion.
    """

    __slots__ = ("_metres", "_seconds", "_speeds", "duration_s")

    def __init__(self, knots: Iterable[Knot]) -> None:
        seconds, metres, speeds = zip(*knots, strict=True)
        self._seconds: tuple[float, ...] = seconds
        self._metres: tuple[float, ...] = metres
        self._speeds: tuple[float, ...] = speeds
        self.duration_s: float = seconds[-1]

    def at(self, seconds: float) -> tuple[float, float]:
        """Metres since the beginning and speed in m/s, 0 to `duration_s` after the beginning."""
        span = min(bisect_right(self._seconds, seconds), len(self._seconds) - 1) - 1
        start, end = self._seconds[span], self._seconds[span + 1]
        before, way = self._metres[span], self._metres[span + 1] - self._metres[span]
        speed_at_start, speed_at_end = self._speeds[span], self._speeds[span + 1]
        if way == 0:
            return before, 0.0
        length = end - start
        u = min(1.0, (seconds - start) / length)
        # way * (3 u^2 - 2 u^3) and what the speeds at both ends add to it
        along = u * u * (3 - 2 * u) * way + length * u * (1 - u) * (
            (1 - u) * speed_at_start - u * speed_at_end
        )
        speed = (
            6 * u * (1 - u) * way / length
            + (1 - u) * (1 - 3 * u) * speed_at_start
            + u * (3 * u - 2) * speed_at_end
        )
        return before + min(max(along, 0.0), way), max(speed, 0.0)

    def seconds_at(self, metres: float) -> float:
        """When the car is ``metres`` from the beginning, 0 to the last knot's: the first moment."""
        span = max(1, min(bisect_left(self._metres, metres), len(self._metres) - 1)) - 1
        early, late = self._seconds[span], self._seconds[span + 1]
        for _ in range(50):  # halvings of the span: to the last digit
            middle = (early + late) / 2
            if self.at(middle)[0] < metres:
                early = middle
            else:
                late = middle
        return late
