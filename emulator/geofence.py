"""A circle on the map that a tracker watches."""

from dataclasses import dataclass
from math import cos, hypot, radians

from geographiclib.geodesic import Geodesic

from teltonika.emulator.ellipsoid import wrapped

_METRES_PER_DEGREE = 111_195.0  # of a sphere; the ellipsoid's are within 1 %
_NEAR_M = 100_000.0  # up to here the plane is near enough


@dataclass(frozen=True, slots=True)
class Geofence:
    """Everything within ``radius_m`` metres of a point."""

    latitude: float
    """Degrees, north positive."""
    longitude: float
    """Degrees, east positive."""
    radius_m: float

    def holds(self, latitude: float, longitude: float) -> bool:
        """Whether a point, in degrees, is within it.

        The geodesic costs a record's worth of time: it is for points near the border only.
        """
        north = (latitude - self.latitude) * _METRES_PER_DEGREE
        if abs(north) > self.radius_m * 1.02:
            return False
        middle = (latitude + self.latitude) / 2
        east = wrapped(longitude - self.longitude) * _METRES_PER_DEGREE * cos(radians(middle))
        about_m = hypot(north, east)
        rough = about_m < _NEAR_M and abs(middle) < 80
        if rough and abs(about_m - self.radius_m) > 0.02 * about_m:
            return about_m < self.radius_m
        line = Geodesic.WGS84.Inverse(
            self.latitude, self.longitude, latitude, longitude, Geodesic.DISTANCE
        )
        inside: bool = line["s12"] <= self.radius_m
        return inside
