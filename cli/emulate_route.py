"""How `teltonika emulate` is told where to drive: its options, and the settings they make."""

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from teltonika.cli.errors import USAGE, fail
from teltonika.cli.numbers import a_number
from teltonika.emulator import EmulatorSettings, Geofence, Route, RouteError, RouteOffset

RouteOption: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        help="Drive along this file: GPX, GeoJSON LineString, or CSV with time, latitude and "
        "longitude.",
        show_default="a seeded drive",
    ),
]
RouteLoopOption: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--route-loop",
        help="Drive for ever: round and round if the ends of the route meet, else there and back.",
    ),
]
RouteReverseOption: TypeAlias = Annotated[
    bool, typer.Option("--route-reverse", help="Drive the file from its end to its beginning.")
]
RouteOffsetOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="METRES",
        help="Begin under way, so far along the route; 25% is a share of it. A second device "
        "begins twice as far.",
        show_default="parked at its beginning",
    ),
]
RouteSpeedOption: TypeAlias = Annotated[
    float | None,
    typer.Option(
        callback=a_number,
        metavar="KMH",
        help="Cruising speed, slower in corners.",
        min=1,
        max=400,
        show_default="the file's times, or 50",
    ),
]
CenterOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="LAT,LON",
        help="Where the seeded drive is, in degrees.",
        show_default="Vilnius",
    ),
]
SpeedLimitOption: TypeAlias = Annotated[
    float | None,
    typer.Option(
        callback=a_number,
        metavar="KMH",
        help="Above it the device reports over-speeding.",
        min=1,
        max=400,
        show_default="none",
    ),
]
GeofenceOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="LAT,LON,RADIUS_M",
        help="A circle that the device reports entering and leaving.",
        show_default="none",
    ),
]

_MAX_RADIUS_M = 10_000_000.0


def route_from(
    file: Path | None,
    *,
    loop: bool,
    reverse: bool,
    offset: str | None,
    speed_kmh: float | None,
    center: str | None,
) -> Route | None:
    """None without a file; ends the command with a sentence where it cannot be driven so."""
    if file is None:
        given = {
            "--route-loop": loop,
            "--route-reverse": reverse,
            "--route-offset": offset is not None,
            "--route-speed": speed_kmh is not None,
        }
        for option, is_given in given.items():
            if is_given:
                fail(f"{option} needs --route, the file to drive along", USAGE)
        return None
    if center is not None:
        fail("--center and --route contradict each other: name one of them", USAGE)
    try:
        return Route(
            file, loop=loop, reverse=reverse, speed_kmh=speed_kmh, offset=_parse_offset(offset)
        )
    except RouteError as error:
        fail(f"--route: {error}", USAGE)


def parse_center(text: str | None) -> tuple[float, float]:
    """Latitude and longitude in degrees; ends the command with a sentence where they are none."""
    if text is None:
        return EmulatorSettings().center
    numbers = _numbers(text, 2)
    if numbers is None:
        fail(f"--center: {text!r} is no place such as 54.687,25.280", USAGE)
    latitude, longitude = numbers
    if not -80 <= latitude <= 80:
        fail(f"--center: the latitude {latitude:g} is not from -80 to 80", USAGE)
    _check_longitude("--center", longitude)
    return latitude, longitude


def parse_geofence(text: str | None) -> Geofence | None:
    """None for none; ends the command with a sentence where it is no circle."""
    if text is None:
        return None
    numbers = _numbers(text, 3)
    if numbers is None:
        fail(f"--geofence: {text!r} is no circle such as 54.687,25.280,500", USAGE)
    latitude, longitude, radius_m = numbers
    if not -90 <= latitude <= 90:
        fail(f"--geofence: the latitude {latitude:g} is not from -90 to 90", USAGE)
    _check_longitude("--geofence", longitude)
    if not 1 <= radius_m <= _MAX_RADIUS_M:
        fail(f"--geofence: the radius {radius_m:g} is not from 1 to {_MAX_RADIUS_M:.0f} m", USAGE)
    return Geofence(latitude, longitude, radius_m)


def _parse_offset(text: str | None) -> RouteOffset:
    if text is None:
        return RouteOffset()
    numbers = _numbers(text.removesuffix("%"), 1)
    if numbers is None or not 0 <= numbers[0] < float("inf"):
        fail(
            f"--route-offset: {text!r} is neither metres such as 500 nor a share such as 25%", USAGE
        )
    if text.endswith("%"):
        return RouteOffset(share=numbers[0] / 100)
    return RouteOffset(metres=numbers[0])


def _numbers(text: str, count: int) -> list[float] | None:
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        return None
    return numbers if len(numbers) == count else None


def _check_longitude(option: str, longitude: float) -> None:
    if not -180 <= longitude <= 180:
        fail(f"{option}: the longitude {longitude:g} is not from -180 to 180", USAGE)
