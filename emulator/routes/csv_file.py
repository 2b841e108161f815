"""CSV: a line for each point, with time, latitude, longitude and, if it likes, altitude."""

import csv
import io
from collections.abc import Iterator

from teltonika.emulator.routes.errors import RouteError
from teltonika.emulator.routes.points import RoutePoint, parse_number, parse_time

NAMES = {
    "time": "time",
    "timestamp": "time",
    "lat": "latitude",
    "latitude": "latitude",
    "lon": "longitude",
    "lng": "longitude",
    "longitude": "longitude",
    "alt": "altitude",
    "altitude": "altitude",
    "ele": "altitude",
}
"""What a heading may be called, and what is meant."""
WITHOUT_HEADINGS = ("time", "latitude", "longitude", "altitude")


def csv_points(text: str) -> Iterator[RoutePoint]:
    """The points of CSV text.

    The columns are those of the first line, if it names any of `NAMES` (others are left alone),
    else time, latitude, longitude and altitude. Times are ISO 8601 or seconds; a time or an
    altitude may be empty or missing. Raises RouteError with the line.
    """
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    columns: dict[str, int] | None = None
    try:
        for row in reader:
            cells = [cell.strip() for cell in row]
            if not any(cells):
                continue
            if columns is None:
                columns = _columns(cells)
                if columns:
                    continue
                columns = {name: index for index, name in enumerate(WITHOUT_HEADINGS)}
            yield _point(f"line {reader.line_num}", cells, columns)
    except csv.Error as error:
        raise RouteError(f"line {reader.line_num}: no CSV: {error}") from error


def _columns(cells: list[str]) -> dict[str, int]:
    """Which column holds what; nothing for a line that holds no headings."""
    columns: dict[str, int] = {}
    for index, cell in enumerate(cells):
        name = NAMES.get(cell.lower())
        if name is not None and columns.setdefault(name, index) != index:
            raise RouteError(f"the headings: two columns for the {name}")
    for name in ("latitude", "longitude"):
        if columns and name not in columns:
            raise RouteError(f"the headings: no column for the {name}")
    return columns


def _point(where: str, cells: list[str], columns: dict[str, int]) -> RoutePoint:
    values = {name: cells[index] for name, index in columns.items() if index < len(cells)}
    for name in ("latitude", "longitude"):
        if not values.get(name):
            raise RouteError(f"{where}: no {name}")
    altitude, time = values.get("altitude"), values.get("time")
    try:
        return RoutePoint(
            where,
            parse_number(values["latitude"], "latitude"),
            parse_number(values["longitude"], "longitude"),
            parse_number(altitude, "altitude") if altitude else None,
            _time(time) if time else None,
        )
    except RouteError as error:
        raise RouteError(f"{where}: {error}") from error


def _time(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return parse_time(text)
