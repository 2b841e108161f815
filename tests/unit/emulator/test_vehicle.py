"""The car: physics, and that its attributes agree."""

from itertools import pairwise
from math import pi
from random import Random
from typing import NamedTuple

import pytest
from geographiclib.geodesic import Geodesic
from hypothesis import given, settings
from hypothesis import strategies as st

from teltonika.emulator.vehicle import (
    MAX_ACCELERATION,
    MAX_LATERAL_ACCELERATION,
    ROAM_RADIUS_M,
    Manoeuvre,
    Vehicle,
)


class Moment(NamedTuple):
    speed: float
    heading: float
    latitude: float
    longitude: float
    odometer_m: float
    trip_m: float
    ignition: bool
    manoeuvre: Manoeuvre


def journey(seed: int, moments: int, seconds: float = 1.0) -> list[Moment]:
    vehicle = Vehicle(Random(seed))
    result = []
    for _ in range(moments):
        result.append(
            Moment(
                vehicle.speed,
                vehicle.heading,
                vehicle.latitude,
                vehicle.longitude,
                vehicle.odometer_m,
                vehicle.trip_m,
                vehicle.ignition,
                vehicle.manoeuvre,
            )
        )
        vehicle.drive(seconds)
    return result


def turned(before: Moment, after: Moment) -> float:
    """Radians, right positive."""
    return (after.heading - before.heading + pi) % (2 * pi) - pi


def metres(before: Moment, after: Moment) -> float:
    line = Geodesic.WGS84.Inverse(
        before.latitude, before.longitude, after.latitude, after.longitude
    )
    distance: float = line["s12"]
    return distance


@given(seed=st.integers(0, 2**32), seconds=st.sampled_from([0.1, 0.25, 1.0]))
def test_accelerations_are_those_of_a_careful_driver(seed: int, seconds: float) -> None:
    for before, after in pairwise(journey(seed, 400, seconds)):
        assert abs(after.speed - before.speed) <= MAX_ACCELERATION * seconds + 1e-9
        lateral = abs(turned(before, after)) / seconds * max(before.speed, after.speed)
        assert lateral <= MAX_LATERAL_ACCELERATION
        assert 0 <= after.speed < 30


@settings(max_examples=40)
@given(seed=st.integers(0, 2**32))
def test_position_and_odometer_agree_with_speed_and_heading(seed: int) -> None:
    for before, after in pairwise(journey(seed, 200)):
        driven = (before.speed + after.speed) / 2
        assert after.odometer_m - before.odometer_m == pytest.approx(driven, abs=1e-6)
        assert metres(before, after) == pytest.approx(driven, rel=1e-3, abs=1e-6)
        if driven:
            line = Geodesic.WGS84.Inverse(
                before.latitude, before.longitude, after.latitude, after.longitude
            )
            bearing = before.heading + turned(before, after) / 2
            off = (line["azi1"] * pi / 180 - bearing + pi) % (2 * pi) - pi
            assert abs(off) < 0.01


def test_a_car_that_stands_keeps_place_and_heading() -> None:
    standing = [
        (before, after)
        for before, after in pairwise(journey(3, 3_000))
        if before.speed == after.speed == 0
    ]
    assert standing
    for before, after in standing:
        assert before[1:5] == after[1:5]


def test_a_car_does_everything_a_car_does() -> None:
    assert {moment.manoeuvre for moment in journey(1, 20_000)} == set(Manoeuvre)


def test_the_ignition_is_off_only_while_parked_and_turning_it_on_begins_a_trip() -> None:
    moments = journey(2, 20_000)
    assert all(moment.speed == 0 for moment in moments if not moment.ignition)
    starts = [after for before, after in pairwise(moments) if after.ignition > before.ignition]
    assert len(starts) > 3
    assert all(start.trip_m == 0 for start in starts)


def test_a_long_span_follows_the_curves_like_many_short_ones() -> None:
    short, long = Vehicle(Random(5)), Vehicle(Random(5))
    for _ in range(600):
        short.drive(1.0)
    long.drive(600.0)
    assert (short.latitude, short.longitude) == (long.latitude, long.longitude)


def test_a_car_stays_around_where_it_began() -> None:
    moments = journey(4, 200_000)
    farthest = max(metres(moments[0], moment) for moment in moments[::50])
    assert ROAM_RADIUS_M / 3 < farthest < ROAM_RADIUS_M * 2
