"""A timetable from a speed: a driver who accelerates, slows down for corners, and stops."""

from collections.abc import Iterable
from itertools import pairwise
from math import sqrt

from teltonika.emulator.routes.timetable import Knot, Timetable
from teltonika.emulator.routes.track import Track

ACCELERATION = 1.5
"""m/s^2."""
BRAKING = 2.0
"""m/s^2."""
LATERAL_ACCELERATION = 2.0
"""m/s^2, in corners."""
MIN_CORNER_SPEED = 1.0
"""m/s: however sharp it is."""
STOP_S = 30.0
"""How long a stop under way takes."""

_SAME_PLACE_M = 1e-6


class SpeedProfile:
    """The fastest drive along a track that keeps to a cruising speed and to what is comfortable.

    ``stops`` are in metres from the beginning. A track of a loop has the same speed at both ends,
    unless it stops there; any other begins and ends with 0.
    """

    def __init__(
        self, track: Track, cruising_speed: float, *, loop: bool, stops: set[float]
    ) -> None:
        self._stops = stops
        self._metres, self._limits, self._spans = _limits(track, cruising_speed, stops)
        if not loop or stops:
            self._limits[0] = self._limits[-1] = 0.0
        self._loop = loop

    def timetables(self) -> tuple[Timetable, Timetable]:
        """That of a car which sets off at the beginning, and that of each lap after it."""
        if not self._loop:
            timetable = self._timetable(self._speeds(self._limits))
            return timetable, timetable
        lap = self._speeds(self._limits, ring=True)
        first = self._speeds([0.0, *lap[1:]])
        if first[-1] < lap[-1]:  # too short a track to reach it in one lap
            limits = [first[-1], *self._limits[1:-1], first[-1]]
            lap = self._speeds(limits, ring=True)
        return self._timetable(first), self._timetable(lap)

    def _speeds(self, limits: list[float], *, ring: bool = False) -> list[float]:
        """What can be reached at each place by accelerating, and left again by braking."""
        speeds = limits.copy()
        ways = [far - near for near, far in pairwise(self._metres)]
        for _ in range(2 if ring else 1):
            if ring:
                speeds[0] = min(speeds[0], speeds[-1])
            for index, way in enumerate(ways):
                reached = sqrt(speeds[index] ** 2 + 2 * ACCELERATION * way)
                speeds[index + 1] = min(speeds[index + 1], reached)
            if ring:
                speeds[-1] = min(speeds[0], speeds[-1])
            for index in range(len(ways) - 1, -1, -1):
                left = sqrt(speeds[index + 1] ** 2 + 2 * BRAKING * ways[index])
                speeds[index] = min(speeds[index], left)
        return speeds

    def _timetable(self, speeds: list[float]) -> Timetable:
        knots = [Knot(0.0, 0.0, speeds[0])]
        for index, limit in enumerate(self._spans):
            _span(knots, self._metres[index + 1], speeds[index + 1], limit)
            if self._metres[index + 1] in self._stops:
                seconds, metres, _ = knots[-1]
                knots.append(Knot(seconds + STOP_S, metres, 0.0))
        return Timetable(knots)


def _span(knots: list[Knot], end_m: float, end_speed: float, limit: float) -> None:
    """Accelerate, cruise and brake as far as ``end_m``; each of the three may be nothing."""
    seconds, start_m, start_speed = knots[-1]
    way = end_m - start_m
    peak = sqrt(
        (2 * ACCELERATION * BRAKING * way + BRAKING * start_speed**2 + ACCELERATION * end_speed**2)
        / (ACCELERATION + BRAKING)
    )
    peak = max(min(peak, limit), start_speed, end_speed)
    accelerating = (peak**2 - start_speed**2) / (2 * ACCELERATION)
    braking = (peak**2 - end_speed**2) / (2 * BRAKING)
    seconds += (peak - start_speed) / ACCELERATION
    _add(knots, Knot(seconds, min(start_m + accelerating, end_m), peak))
    seconds += max(0.0, way - accelerating - braking) / peak
    _add(knots, Knot(seconds, max(knots[-1].metres, end_m - braking), peak))
    seconds += (peak - end_speed) / BRAKING
    _add(knots, Knot(seconds, end_m, end_speed))


def _add(knots: list[Knot], knot: Knot) -> None:
    """Phases too short to count are left out: times must grow."""
    if knot.seconds - knots[-1].seconds > 1e-9:
        knots.append(knot)
    else:
        knots[-1] = Knot(knots[-1].seconds, knot.metres, knot.speed)


def _limits(
    track: Track, cruising_speed: float, stops: Iterable[float]
) -> tuple[list[float], list[float], list[float]]:
    """Places along the track, the highest speed at each, and that on the way to the next."""
    slow = [
        (start, end, min(cruising_speed, max(MIN_CORNER_SPEED, speed)))
        for start, end, speed in track.corner_speeds(LATERAL_ACCELERATION)
    ]
    slow += [(stop, stop, 0.0) for stop in stops]
    metres, limits, between = [0.0], [cruising_speed], list[float]()
    for start, end, speed in [*sorted(slow), (track.length_m, track.length_m, cruising_speed)]:
        if start > metres[-1] + _SAME_PLACE_M:
            metres.append(start)
            limits.append(cruising_speed)
            between.append(cruising_speed)
        limits[-1] = min(limits[-1], speed)
        if min(end, track.length_m) > metres[-1] + _SAME_PLACE_M:
            metres.append(min(end, track.length_m))
            limits.append(speed)
            between.append(speed)
    metres[-1] = track.length_m
    return metres, limits, between
