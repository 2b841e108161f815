"""A car that parks and drives on when it is told to."""

from itertools import pairwise
from random import Random

import pytest
from geographiclib.geodesic import Geodesic

from teltonika.emulator.chauffeur import Chauffeur
from teltonika.emulator.vehicle import Vehicle


def driving(seed: int) -> tuple[Vehicle, Chauffeur]:
    vehicle = Vehicle(Random(seed))
    chauffeur = Chauffeur(vehicle)
    while vehicle.speed < 8:
        chauffeur.drive(1.0)
    return vehicle, chauffeur


@pytest.mark.parametrize("seed", range(20))
def test_it_brakes_softly_stands_and_switches_off(seed: int) -> None:
    _, car = driving(seed)
    speeds = [car.speed]
    car.park()
    for _ in range(60):
        car.drive(1.0)
        speeds.append(car.speed)
    assert max(before - after for before, after in pairwise(speeds)) < 6
    assert car.speed == 0
    assert not car.ignition
    place = car.latitude, car.longitude, car.odometer_m
    car.drive(3_600)
    assert (car.latitude, car.longitude, car.odometer_m) == place


@pytest.mark.parametrize("seed", range(20))
def test_told_to_go_it_goes_also_where_it_was_parked_of_itself(seed: int) -> None:
    vehicle, car = driving(seed)
    car.park()
    car.drive(60)
    while vehicle.ignition:
        vehicle.drive(1.0)
    odometer_m = car.odometer_m
    car.go()
    assert car.ignition
    assert car.trip_m == pytest.approx(car.odometer_m - odometer_m)
    for _ in range(30):
        car.drive(1.0)
    assert car.odometer_m > odometer_m + 10
    assert car.trip_m == pytest.approx(car.odometer_m - odometer_m)


def test_speed_and_way_agree_while_it_parks() -> None:
    _, car = driving(3)
    car.park()
    for _ in range(100):
        before, speed = (car.latitude, car.longitude), car.speed
        car.drive(0.1)
        metres = Geodesic.WGS84.Inverse(*before, car.latitude, car.longitude)["s12"]
        assert metres == pytest.approx((speed + car.speed) / 2 * 0.1, abs=0.05)
