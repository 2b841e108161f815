"""A timetable from the times in a route file."""

from itertools import pairwise

from teltonika.emulator.routes.errors import RouteError
from teltonika.emulator.routes.points import RoutePoint
from teltonika.emulator.routes.timetable import Knot, Timetable

MAX_SPEED = 300.0
"""m/s, from point to point: what goes faster is no recording of a drive."""


def recorded_seconds(points: list[RoutePoint]) -> list[float] | None:
    """When the car was at each point, 0 at the first; None if no point has a time.

    Raises RouteError, without the file, if only some have one or a time is not after the one
    before.
    """
    timed = [point for point in points if point.time_s is not None]
    if not timed:
        return None
    for point in points:
        if point.time_s is None:
            raise RouteError(f"{point.where}: no time, but {timed[0].where} has one")
    for before, point in pairwise(points):
        assert before.time_s is not None
        assert point.time_s is not None
        if point.time_s < before.time_s:
            raise RouteError(f"{point.where}: the time is before that of {before.where}")
        if point.time_s == before.time_s:
            raise RouteError(f"{point.where}: the time is the same as that of {before.where}")
    first = timed[0].time_s
    assert first is not None
    return [point.time_s - first for point in timed if point.time_s is not None]


def check_speeds(points: list[RoutePoint], seconds: list[float], metres: list[float]) -> None:
    """Raises RouteError for a leg that would be driven faster than `MAX_SPEED`."""
    for index, (before, point) in enumerate(pairwise(points)):
        took_s = seconds[index + 1] - seconds[index]
        way_m = metres[index + 1] - metres[index]
        if way_m > MAX_SPEED * took_s:
            raise RouteError(
                f"{before.where} to {point.where}: {way_m:,.0f} m in {took_s:g} s, which is "
                f"faster than {MAX_SPEED * 3.6:,.0f} km/h"
            )


def recorded_timetable(
    seconds: list[float], metres: list[float], *, start_speed: float, end_speed: float
) -> Timetable:
    """Through every point at its time, and never backwards between two.

    The speed at a point is the weighted harmonic mean of those before and after it (Fritsch and
    Butland, 1984), 0 where the car stands on either side.
    """
    means = [
        (far - near) / (late - early)
        for (early, late), (near, far) in zip(pairwise(seconds), pairwise(metres), strict=True)
    ]
    spans = [late - early for early, late in pairwise(seconds)]
    speeds = [
        joined_speed(means[index - 1], spans[index - 1], means[index], spans[index])
        for index in range(1, len(means))
    ]
    speeds = [start_speed, *speeds, end_speed]
    return Timetable(map(Knot, seconds, metres, speeds))


def joined_speed(before: float, before_s: float, after: float, after_s: float) -> float:
    """m/s where a span of ``before_s`` seconds with a mean speed meets the next one."""
    if before <= 0 or after <= 0:
        return 0.0
    weight_before, weight_after = before_s + 2 * after_s, 2 * before_s + after_s
    return (weight_before + weight_after) / (weight_before / before + weight_after / after)
