"""GPX: the points of its tracks or, where there are none, of its routes."""

import re
from collections.abc import Iterator
from importlib import import_module
from typing import TYPE_CHECKING

from teltonika.emulator.routes.errors import RouteError
from teltonika.emulator.routes.points import RoutePoint, parse_number, unix_s

if TYPE_CHECKING:
    from gpxpy.gpx import GPX, GPXRoutePoint, GPXTrackPoint

_POINT = re.compile(r"<(?:trk|rte|w)pt\b([^<>]*)>")
_ATTRIBUTES = {
    "latitude": re.compile(r"""\blat\s*=\s*["']([^"']*)["']"""),
    "longitude": re.compile(r"""\blon\s*=\s*["']([^"']*)["']"""),
}


def gpx_points(text: str) -> Iterator[RoutePoint]:
    """All segments of all tracks in turn: what lies between two of them is driven, too.

    Raises RouteError.
    """
    # Nothing of GPX needs one, and entities can make gigabytes of a kilobyte.
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise RouteError("a GPX file has no document type definition")
    # Imported when it is needed: who has no such file does not wait for it.
    parser, errors = import_module("gpxpy"), import_module("gpxpy.gpx")
    try:
        gpx = parser.parse(text)
    except (errors.GPXException, ValueError, OverflowError, RecursionError) as error:
        _check_coordinates(text)
        raise RouteError(f"no GPX: {str(error).removeprefix('Error parsing XML: ')}") from error
    for where, point in _numbered(gpx):
        time_s = None if point.time is None else unix_s(point.time)
        yield RoutePoint(where, point.latitude, point.longitude, point.elevation, time_s)


def _check_coordinates(text: str) -> None:
    """Say which point is wrong, if that is what is wrong: the parser does not."""
    for number, point in enumerate(_POINT.finditer(text), 1):
        for name, attribute in _ATTRIBUTES.items():
            value = attribute.search(point[1])
            if value is None:
                raise RouteError(f"point {number}: no {name}")
            try:
                parse_number(value[1], name)
            except RouteError as error:
                raise RouteError(f"point {number}: {error}") from error


def _numbered(gpx: "GPX") -> Iterator[tuple[str, "GPXTrackPoint | GPXRoutePoint"]]:
    for track_number, track in enumerate(gpx.tracks, 1):
        for segment_number, segment in enumerate(track.segments, 1):
            for number, point in enumerate(segment.points, 1):
                yield f"track {track_number}, segment {segment_number}, point {number}", point
    if gpx.tracks:
        return
    for route_number, route in enumerate(gpx.routes, 1):
        for number, route_point in enumerate(route.points, 1):
            yield f"route {route_number}, point {number}", route_point
