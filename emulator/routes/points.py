"""The points of a route file, checked one by one whatever the file's form."""

import math
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import NamedTuple

from teltonika.emulator.routes.errors import RouteError

MAX_POINTS = 100_000
"""A day with a point a second has 86,400."""
MAX_LATITUDE, MAX_LONGITUDE = 90.0, 180.0
MIN_ALTITUDE_M, MAX_ALTITUDE_M = -1_000.0, 20_000.0


class RoutePoint(NamedTuple):
    """One point of a route, and where in the file it stands, such as ``line 7``."""

    where: str
    latitude: float
    """Degrees, north positive."""
    longitude: float
    """Degrees, east positive."""
    altitude_m: float | None = None
    time_s: float | None = None
    """Unix, or from any other moment that is the same for the whole file."""


def checked_points(points: Iterable[RoutePoint]) -> list[RoutePoint]:
    """The points as they come, each value a possible one.

    Raises RouteError with the place and the field, but without the file. That times grow is not
    looked at here: a route driven at a speed of its own has no use for them.
    """
    checked: list[RoutePoint] = []
    for point in points:
        if len(checked) == MAX_POINTS:
            raise RouteError(f"more than {MAX_POINTS:,} points")
        where = point.where
        _check(f"{where}: the latitude", point.latitude, -MAX_LATITUDE, MAX_LATITUDE)
        _check(f"{where}: the longitude", point.longitude, -MAX_LONGITUDE, MAX_LONGITUDE)
        if point.altitude_m is not None:
            _check(f"{where}: the altitude", point.altitude_m, MIN_ALTITUDE_M, MAX_ALTITUDE_M)
        if point.time_s is not None and not math.isfinite(point.time_s):
            raise RouteError(f"{where}: the time is {point.time_s}, which is no moment")
        checked.append(point)
    if not checked:
        raise RouteError("no points")
    if len(checked) == 1:
        raise RouteError("one point only: a route has two or more")
    return checked


def parse_number(text: str, name: str) -> float:
    """A decimal number. Raises RouteError that names it."""
    try:
        return float(text)
    except ValueError:
        raise RouteError(f"the {name} {_shown(text)} is no number") from None


def parse_time(text: str) -> float:
    """ISO 8601, UTC unless it says otherwise, to Unix seconds. Raises RouteError."""
    try:
        return unix_s(datetime.fromisoformat(text))
    except (ValueError, OverflowError):
        raise RouteError(f"the time {_shown(text)} is none such as 2026-01-31T08:00:00Z") from None


def unix_s(moment: datetime) -> float:
    """Seconds since 1970; a moment without a zone is in UTC."""
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _check(name: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:  # so that NaN is none either
        raise RouteError(f"{name} is {value:g}, not from {least:g} to {most:g}")


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:37]}...")
