"""A route file to its points: the name says which form it has."""

from pathlib import Path

from teltonika.emulator.routes.csv_file import csv_points
from teltonika.emulator.routes.errors import RouteError
from teltonika.emulator.routes.geojson_file import geojson_points
from teltonika.emulator.routes.gpx_file import gpx_points
from teltonika.emulator.routes.points import RoutePoint, checked_points

MAX_BYTES = 64 * 1024 * 1024

FORMS = {
    ".gpx": gpx_points,
    ".geojson": geojson_points,
    ".json": geojson_points,
    ".csv": csv_points,
}
"""End of a file's name, in small letters, to what finds points in its text."""


def read_points(file: Path) -> list[RoutePoint]:
    """Two points or more, in the file's order. Raises RouteError."""
    points = FORMS.get(file.suffix.lower())
    if points is None:
        raise RouteError(f"{file}: the name of a route file ends in .gpx, .geojson, .json or .csv")
    try:
        return checked_points(points(_read(file)))
    except RouteError as error:
        raise RouteError(f"{file}: {error}") from error.__cause__


def _read(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            data = opened.read(MAX_BYTES + 1)
    except OSError as error:
        raise RouteError(f"cannot be read: {(error.strerror or str(error)).lower()}") from error
    if len(data) > MAX_BYTES:
        raise RouteError(f"larger than {MAX_BYTES // 1024**2} MiB")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RouteError(f"byte {error.start} is no UTF-8 text") from error
