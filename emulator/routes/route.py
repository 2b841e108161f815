"""A route from a file, and how it is to be driven: made once, for all devices of a fleet."""

from itertools import pairwise
from pathlib import Path
from random import Random
from typing import NamedTuple

from teltonika.emulator.routes.errors import RouteError
from teltonika.emulator.routes.points import RoutePoint
from teltonika.emulator.routes.read import read_points
from teltonika.emulator.routes.recorded_times import (
    check_speeds,
    joined_speed,
    recorded_seconds,
    recorded_timetable,
)
from teltonika.emulator.routes.speed_profile import STOP_S, SpeedProfile
from teltonika.emulator.routes.track import Leg, Track, measure
from teltonika.emulator.routes.traveller import Traveller

CLOSED_M = 50.0
"""A track whose ends are this near to each other is closed: a loop of it goes on."""
DEFAULT_SPEED = 50 / 3.6
"""m/s, where neither the file nor anybody else says how fast."""


class RouteOffset(NamedTuple):
    """How far along its route a device begins."""

    metres: float = 0.0
    share: float = 0.0
    """Of the track's length, besides the metres: 0 up to 1."""


class Route:
    """The route of ``file``.

    It is driven once: the car sets off at the first point, parks at the last, and switches the
    ignition off. With ``loop`` it drives on for ever. Where the ends of the track meet, within 50
    m and a tenth of its length, it goes on; from any other end it drives back the way it came,
    after a stop. With ``reverse`` it drives the file backwards.

    It keeps to the times in the file. Where there are none, or with ``speed_kmh``, it drives at
    that cruising speed (50 km/h), slower in corners, accelerating and braking as a driver does.

    With ``offset`` the first device is that far along already when it begins, the second twice as
    far, and so on.

    Raises RouteError.
    """

    __slots__ = ("_first", "_lap", "_offset_m", "length_m", "loop", "track")

    def __init__(
        self,
        file: Path,
        *,
        loop: bool = False,
        reverse: bool = False,
        speed_kmh: float | None = None,
        offset: RouteOffset = RouteOffset(),  # noqa: B008 - it is a constant
    ) -> None:
        points = read_points(file)
        self.loop = loop
        try:
            self._plan(points, reverse=reverse, speed_kmh=speed_kmh)
            self._offset_m = self._checked_offset(offset)
        except RouteError as error:
            raise RouteError(f"{file}: {error}") from error

    def _plan(self, points: list[RoutePoint], *, reverse: bool, speed_kmh: float | None) -> None:
        seconds = recorded_seconds(points) if speed_kmh is None else None
        if reverse:
            points.reverse()
            seconds = seconds and [seconds[-1] - moment for moment in reversed(seconds)]
        legs = [measure(point, after) for point, after in pairwise(points)]
        self.track = Track(points, legs)
        if not self.track.length_m:
            raise RouteError("all points are the same place: a route leads from one to another")
        if seconds:
            check_speeds(points, seconds, self.track.metres)
        self.length_m = self.track.length_m
        cruising_speed = DEFAULT_SPEED if speed_kmh is None else speed_kmh / 3.6
        if not self.loop:
            self._once(seconds, cruising_speed)
            return
        closing = measure(points[-1], points[0])
        if closing.length_m <= min(CLOSED_M, self.length_m / 10):
            self._round([*points, points[0]], [*legs, closing], seconds, cruising_speed)
        else:
            self._there_and_back(points, legs, seconds, cruising_speed)

    def _checked_offset(self, offset: RouteOffset) -> float:
        offset_m = offset.metres + offset.share * self.length_m
        if offset_m >= self.length_m:
            raise RouteError(
                f"the route is {self.length_m:,.0f} m long, and cannot begin at {offset_m:,.0f} m"
            )
        return offset_m

    def traveller(self, rng: Random, number: int = 1) -> Traveller:
        """A car on this route; ``number`` counts the devices of a fleet, from 1."""
        offset_m = self._offset_m * number % self.track.length_m
        return Traveller(
            rng,
            self.track,
            first=self._first,
            lap=self._lap if self.loop else None,
            offset_m=offset_m,
        )

    def _once(self, seconds: list[float] | None, cruising_speed: float) -> None:
        if seconds is None:
            profile = SpeedProfile(self.track, cruising_speed, loop=False, stops=set())
            self._first, self._lap = profile.timetables()
        else:
            metres = self.track.metres
            self._lap = recorded_timetable(seconds, metres, start_speed=0.0, end_speed=0.0)
            self._first = self._lap

    def _round(
        self,
        points: list[RoutePoint],
        legs: list[Leg],
        seconds: list[float] | None,
        cruising_speed: float,
    ) -> None:
        self.track = Track(points, legs, closed=True)
        if seconds is None:
            profile = SpeedProfile(self.track, cruising_speed, loop=True, stops=set())
            self._first, self._lap = profile.timetables()
            return
        metres = self.track.metres
        gap_m = self.track.length_m - self.length_m
        if gap_m:  # driven at the mean speed of the whole
            seconds = [*seconds, seconds[-1] * (1 + gap_m / self.length_m)]
        else:
            metres = metres[:-1]
        speed = joined_speed(
            (metres[-1] - metres[-2]) / (seconds[-1] - seconds[-2]),
            seconds[-1] - seconds[-2],
            metres[1] / seconds[1],
            seconds[1],
        )
        self._first = recorded_timetable(seconds, metres, start_speed=0.0, end_speed=speed)
        self._lap = recorded_timetable(seconds, metres, start_speed=speed, end_speed=speed)

    def _there_and_back(
        self,
        points: list[RoutePoint],
        legs: list[Leg],
        seconds: list[float] | None,
        cruising_speed: float,
    ) -> None:
        end = len(points) - 1
        points = [*points, *reversed(points[:-1])]
        legs = [*legs, *(leg.back() for leg in reversed(legs))]
        self.track = Track(points, legs, closed=True, stops=(0, end, 2 * end))
        metres = self.track.metres
        if seconds is None:
            stops = {metres[end], self.track.length_m}
            profile = SpeedProfile(self.track, cruising_speed, loop=True, stops=stops)
            self._first, self._lap = profile.timetables()
            return
        there_s = seconds[-1]
        back = [there_s + STOP_S + there_s - moment for moment in reversed(seconds)]
        metres = [*metres[: end + 1], *metres[end:], metres[-1]]
        seconds = [*seconds, *back, back[-1] + STOP_S]
        self._lap = recorded_timetable(seconds, metres, start_speed=0.0, end_speed=0.0)
        self._first = self._lap
