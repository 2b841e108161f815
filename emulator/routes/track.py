"""A route as a line on the WGS 84 ellipsoid, measured once for all who drive along it."""

from bisect import bisect_right
from collections.abc import Sequence
from math import degrees, pi, radians, sqrt, tan
from typing import NamedTuple

from geographiclib.geodesic import Geodesic
from geographiclib.geodesicline import GeodesicLine

from teltonika.emulator.ellipsoid import wrapped
from teltonika.emulator.routes.points import RoutePoint

MIN_LEG_M = 0.001
"""Points nearer to each other than this are one."""
CORNER_M = 15.0
"""How long before and after a point, at most, turning into the next leg takes."""

_SHORT_LEG_M = 300.0  # up to here a straight line in degrees is the geodesic within 5 cm ...
_FAR_NORTH = 80.0  # ... if it is not near a pole
_ALONG = Geodesic.LATITUDE | Geodesic.LONGITUDE | Geodesic.AZIMUTH | Geodesic.DISTANCE_IN


class Place(NamedTuple):
    """Somewhere on a track."""

    latitude: float
    """Degrees."""
    longitude: float
    """Degrees, -180 up to 180."""
    heading: float
    """Radians clockwise from north, 0 up to 2 pi: where the track leads."""
    altitude_m: float | None
    """None if the points of the track have none."""


class Leg(NamedTuple):
    """The geodesic from one point to the next."""

    length_m: float
    azimuth: float
    """Radians clockwise from north, at its beginning."""
    azimuth_at_end: float

    def back(self) -> "Leg":
        """The same, driven the other way."""
        return Leg(self.length_m, self.azimuth_at_end + pi, self.azimuth + pi)


def measure(point: RoutePoint, next_point: RoutePoint) -> Leg:
    """The leg between two points."""
    leg = Geodesic.WGS84.Inverse(
        point.latitude,
        point.longitude,
        next_point.latitude,
        next_point.longitude,
        Geodesic.DISTANCE | Geodesic.AZIMUTH,
    )
    return Leg(leg["s12"], radians(leg["azi1"]), radians(leg["azi2"]))


class Track:
    """Geodesics from point to point. Positions are on them; the heading turns at the points.

    ``legs`` lead from each of the ``points`` to the next. A ``closed`` track goes on from its last
    point, which is its first, as from any other. ``stops`` are the indices of points where whoever
    drives stands, and so turns round without a curve. Points that repeat the one before are left
    out of the line, not of `metres`. There are two different points or more.
    """

    __slots__ = (
        "_altitudes",
        "_azimuths",
        "_corners",
        "_latitudes",
        "_lines",
        "_longitudes",
        "_starts",
        "_turns",
        "length_m",
        "metres",
    )

    def __init__(
        self,
        points: Sequence[RoutePoint],
        legs: Sequence[Leg],
        *,
        closed: bool = False,
        stops: Sequence[int] = (),
    ) -> None:
        kept = [points[0]]
        self.metres = [0.0]
        """How far from the beginning each of the points is, also those that are left out."""
        self._starts = [0.0]  # the same without those
        self._azimuths: list[tuple[float, float]] = []  # radians, at both ends of each leg
        self._lines: list[GeodesicLine | None] = []  # None for a leg that is straight enough
        for point, leg in zip(points[1:], legs, strict=True):
            if leg.length_m >= MIN_LEG_M:
                self._lines.append(_line(kept[-1], leg))
                self._azimuths.append((leg.azimuth, leg.azimuth_at_end))
                self._starts.append(self._starts[-1] + leg.length_m)
                kept.append(point)
            self.metres.append(self._starts[-1])
        self._latitudes = [point.latitude for point in kept]
        self._longitudes = [point.longitude for point in kept]
        altitudes = [point.altitude_m for point in kept if point.altitude_m is not None]
        self._altitudes = altitudes if len(altitudes) == len(kept) else None
        self.length_m = self._starts[-1]
        # Radians that the heading turns at each kept point, and within how many metres to either
        # side of it.
        self._turns, self._corners = self._find_corners(
            closed, {self.metres[index] for index in stops}
        )

    def _find_corners(self, closed: bool, at_stops: set[float]) -> tuple[list[float], list[float]]:
        last = len(self._starts) - 1
        turns, corners = [0.0] * (last + 1), [0.0] * (last + 1)
        for index in range(0 if closed else 1, last):
            if self._starts[index] in at_stops:
                continue
            before = index - 1  # -1 is the leg that closes the track
            turns[index] = (self._azimuths[index][0] - self._azimuths[before][1] + pi) % (
                2 * pi
            ) - pi
            corners[index] = min(CORNER_M, self._leg_m(before) / 2, self._leg_m(index) / 2)
        turns[last], corners[last] = turns[0], corners[0]
        return turns, corners

    def _leg_m(self, index: int) -> float:
        index %= len(self._azimuths)
        return self._starts[index + 1] - self._starts[index]

    def corner_speeds(self, lateral: float) -> list[tuple[float, float, float]]:
        """Start, end and the speed (m/s) of each corner, with ``lateral`` m/s^2 across the road.

        In metres from the beginning; those of a closed track go beyond both of its ends.
        """
        return [
            (start - half, start + half, sqrt(lateral * half / max(tan(abs(turn) / 2), 1e-9)))
            for start, turn, half in zip(self._starts, self._turns, self._corners, strict=True)
            if half and turn
        ]

    def at(self, metres: float) -> Place:
        """The place ``metres`` from the beginning, 0 to `length_m`."""
        leg = min(bisect_right(self._starts, metres), len(self._lines)) - 1
        along, length = metres - self._starts[leg], self._leg_m(leg)
        share = along / length
        azimuth, azimuth_at_end = self._azimuths[leg]
        line = self._lines[leg]
        if line is None:
            latitude = _between(self._latitudes[leg], self._latitudes[leg + 1], share)
            east = wrapped(self._longitudes[leg + 1] - self._longitudes[leg])
            longitude = self._longitudes[leg] + east * share
            azimuth += ((azimuth_at_end - azimuth + pi) % (2 * pi) - pi) * share
        else:
            position = line.Position(along, _ALONG)
            latitude, longitude = position["lat2"], position["lon2"]
            azimuth = radians(position["azi2"])
        if along < self._corners[leg]:
            azimuth -= self._turns[leg] * (0.5 - along / (2 * self._corners[leg]))
        elif length - along < self._corners[leg + 1]:
            left = length - along
            azimuth += self._turns[leg + 1] * (0.5 - left / (2 * self._corners[leg + 1]))
        altitude = None
        if self._altitudes is not None:
            altitude = _between(self._altitudes[leg], self._altitudes[leg + 1], share)
        return Place(latitude, wrapped(longitude), azimuth % (2 * pi), altitude)


def _line(point: RoutePoint, leg: Leg) -> GeodesicLine | None:
    if leg.length_m <= _SHORT_LEG_M and abs(point.latitude) < _FAR_NORTH:
        return None
    return Geodesic.WGS84.Line(point.latitude, point.longitude, degrees(leg.azimuth), _ALONG)


def _between(start: float, end: float, share: float) -> float:
    return start + (end - start) * share
