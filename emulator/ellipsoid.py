"""Short steps on the WGS 84 ellipsoid, which is what GNSS positions stand on."""

from math import cos, radians, sin, sqrt

_EQUATORIAL_RADIUS_M = 6_378_137.0
_FLATTENING = 1 / 298.257223563
_E2 = _FLATTENING * (2 - _FLATTENING)  # first eccentricity, squared

_DEGREES = 57.29577951308232  # in a radian


def step(
    latitude: float, longitude: float, heading: float, distance_m: float
) -> tuple[float, float]:
    """Latitude and longitude, in degrees, ``distance_m`` further along ``heading``.

    ``heading`` is in radians clockwise from north. On so short a way the ellipsoid is the plane
    that touches it: north-south its radius of curvature is M, east-west it is N. Within 0.1 % of
    the geodesic for steps up to a kilometre and latitudes up to 80 degrees.
    """
    phi = radians(latitude)
    sin_phi = sin(phi)
    w2 = 1 - _E2 * sin_phi * sin_phi
    n = _EQUATORIAL_RADIUS_M / sqrt(w2)
    m = n * (1 - _E2) / w2
    east = distance_m * sin(heading) / (n * cos(phi)) * _DEGREES
    north = distance_m * cos(heading) / m * _DEGREES
    return latitude + north, (longitude + east + 180.0) % 360.0 - 180.0


def wrapped(longitude: float) -> float:
    """The same longitude, or difference of two, from -180 up to 180 degrees."""
    return longitude if -180.0 <= longitude < 180.0 else (longitude + 180.0) % 360.0 - 180.0
