"""A circle on the map that a tracker watches."""

from dataclasses import dataclass

from geographiclib.geodesic import Geodesic


@dataclass(frozen=True, slots=True)
class Geofence:
    """Everything within ``radius_m`` metres of a point."""

    latitude: float
    """Degrees, north positive."""
    longitude: float
    """Degrees, east positive."""
    radius_m: float

    def holds(self, latitude: float, longitude: float) -> bool:
        """Whether a point, in degrees, is within it."""
        line = Geodesic.WGS84.Inverse(
            self.latitude, self.longitude, latitude, longitude, Geodesic.DISTANCE
        )
        inside: bool = line["s12"] <= self.radius_m
        return inside
