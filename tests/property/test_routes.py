"""Any track: positions, speed, time, distance and odometer agree."""

import tempfile
from itertools import pairwise
from math import pi
from pathlib import Path
from random import Random

import pytest
from geographiclib.geodesic import Geodesic
from hypothesis import given, settings
from hypothesis import strategies as st

from teltonika.emulator import Route, RouteOffset

EARTH = Geodesic.WGS84
Point = tuple[float, float]


@st.composite
def tracks(draw: st.DrawFn) -> list[Point]:
    """Ways of 2 to 12 points from 0.1 m to 900 m apart, to any side, that may come back."""
    latitude = draw(st.floats(-75, 75))
    longitude = draw(st.sampled_from([-180.0, 179.999, 0.0, 25.3]))
    points = [(latitude, longitude)]
    legs = st.tuples(st.floats(0, 360), st.floats(0.1, 900))
    for azimuth, length in draw(st.lists(legs, min_size=1, max_size=11)):
        leg = EARTH.Direct(*points[-1], azimuth, length)
        points.append((leg["lat2"], leg["lon2"]))
    if draw(st.booleans()) and len(points) > 2:
        points.append(points[0])
    return points


def metres(a: Point, b: Point) -> float:
    distance: float = EARTH.Inverse(*a, *b)["s12"]
    return distance


def metres_off(place: Point, points: list[Point]) -> float:
    """How far a place is from the nearest leg, by plane geometry around it."""
    east_m, north_m = metres(place, (place[0], place[1] + 1e-4)) * 1e4, 111_132.0
    near = [
        complex(((p[1] - place[1] + 180) % 360 - 180) * east_m, (p[0] - place[0]) * north_m)
        for p in points
    ]

    def off(a: complex, b: complex) -> float:
        way = b - a
        share = min(1.0, max(0.0, (-a * way.conjugate()).real / abs(way) ** 2))
        return abs(a + share * way)

    return min(off(a, b) for a, b in pairwise(near) if a != b)


@settings(max_examples=60, deadline=None)
@given(
    points=tracks(),
    seed=st.integers(0, 2**32),
    loop=st.booleans(),
    reverse=st.booleans(),
    share=st.sampled_from([0.0, 0.3]),
    pace=st.lists(st.floats(1.0, 25.0), min_size=12, max_size=12) | st.none(),
    speed_kmh=st.sampled_from([5.0, 50.0, 130.0]),
)
def test_on_any_track_everything_agrees(
    points: list[Point],
    seed: int,
    loop: bool,
    reverse: bool,
    share: float,
    pace: list[float] | None,
    speed_kmh: float,
) -> None:
    seconds = [""] * len(points)
    if pace:
        times = [0.0]
        for (a, b), speed in zip(pairwise(points), pace, strict=False):
            times.append(times[-1] + max(0.01, metres(a, b) / speed))
        seconds = [repr(time) for time in times]
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory, "route.csv")
        lines = [f"{t},{p[0]},{p[1]}" for t, p in zip(seconds, points, strict=True)]
        file.write_text("\n".join(lines))
        route = Route(
            file,
            loop=loop,
            reverse=reverse,
            speed_kmh=None if pace else speed_kmh,
            offset=RouteOffset(share=share),
        )
    car = route.traveller(Random(seed))
    period, around = 0.05, [*points, points[0]] if loop else points
    for _ in range(600):
        speed, odometer_m, place = car.speed, car.odometer_m, (car.latitude, car.longitude)
        heading, standing = car.heading, car.speed == 0
        car.drive(period)
        driven = car.odometer_m - odometer_m
        assert driven >= 0
        assert car.ignition or car.speed == 0
        # Speed is the slope of the distance: between two looks it is near those at both, if they
        # are near each other.
        if abs(car.speed - speed) < 0.2:
            assert driven == pytest.approx((speed + car.speed) / 2 * period, abs=0.15)
        here = (car.latitude, car.longitude)
        assert metres(place, here) <= driven + 1e-3
        assert metres_off(here, around) < 1
        assert 0 <= car.heading < 2 * pi
        if standing and car.speed == 0 and driven == 0:
            assert car.heading == heading
    # The same journey in one span: no step was lost.
    other = route.traveller(Random(seed))
    other.drive(600 * period)
    assert other.odometer_m == pytest.approx(car.odometer_m, abs=1e-3)
