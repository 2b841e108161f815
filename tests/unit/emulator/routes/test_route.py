"""Routes as they are driven: distance, times, loops, offsets."""

import json
from itertools import islice, pairwise
from math import degrees, pi
from pathlib import Path
from random import Random

import gpxpy
import pytest
from geographiclib.geodesic import Geodesic

from teltonika.emulator import Drive, Route, RouteError, RouteOffset
from teltonika.emulator.drive import TOTAL_ODOMETER, TRIP_ODOMETER
from teltonika.emulator.routes import Traveller
from teltonika.emulator.routes.speed_profile import (
    ACCELERATION,
    BRAKING,
    LATERAL_ACCELERATION,
    STOP_S,
)

LOOP = Path(__file__).with_name("loop.gpx")
SQUARE = ((54.7, 25.3), (54.7, 25.31), (54.705, 25.31), (54.705, 25.3), (54.7, 25.3))


def csv_file(directory: Path, *lines: str) -> Path:
    file = directory / "route.csv"
    file.write_text("\n".join(lines))
    return file


def square(directory: Path, points: int = 5) -> Path:
    return csv_file(directory, *(f",{lat},{lon}" for lat, lon in SQUARE[:points]))


def metres(a: tuple[float, float], b: tuple[float, float]) -> float:
    distance: float = Geodesic.WGS84.Inverse(*a, *b)["s12"]
    return distance


def known_points() -> list[tuple[float, float, float, float]]:
    """Seconds since the first, latitude, longitude and altitude of `LOOP`, without our reader."""
    points = gpxpy.parse(LOOP.read_text()).tracks[0].segments[0].points
    start = points[0].time
    return [
        ((point.time - start).total_seconds(), point.latitude, point.longitude, point.elevation)
        for point in points
    ]


def known_metres() -> float:
    return sum(metres(a[1:3], b[1:3]) for a, b in pairwise(known_points()))


def places(car: Traveller, count: int, seconds: float = 1.0) -> list[tuple[float, float]]:
    result = []
    for _ in range(count):
        result.append((car.latitude, car.longitude))
        car.drive(seconds)
    return result


@pytest.mark.parametrize("speed_kmh", [None, 30, 90], ids=["the file's times", "30", "90"])
@pytest.mark.parametrize("reverse", [False, True])
def test_a_known_drive_gives_the_known_distance_within_half_a_percent(
    speed_kmh: float | None, reverse: bool
) -> None:
    route = Route(LOOP, speed_kmh=speed_kmh, reverse=reverse)
    rng = Random(1)
    drive = Drive(rng, start_ms=0, period_s=1.0, generation_type=False, mover=route.traveller(rng))
    records = list(islice(drive, 700))
    assert records[-1].speed == 0
    known = known_metres()
    assert 2_900 < known < 3_100
    fixes = [(record.latitude, record.longitude) for record in records]
    assert sum(metres(a, b) for a, b in pairwise(fixes)) == pytest.approx(known, rel=0.005)
    assert sum(record.speed / 3.6 for record in records) == pytest.approx(known, rel=0.005)
    odometer = [record.io.by_id()[TOTAL_ODOMETER] for record in records]
    assert odometer[-1] - odometer[0] == pytest.approx(known, rel=0.005)
    assert records[-1].io.by_id()[TRIP_ODOMETER] == pytest.approx(known, rel=0.005)


@pytest.mark.parametrize("loop", [False, True])
def test_the_file_s_times_and_altitudes_are_kept(loop: bool) -> None:
    car = Route(LOOP, loop=loop).traveller(Random(1))
    while car.speed == 0:
        car.drive(0.001)
    since = 0.001
    for seconds, latitude, longitude, altitude in known_points()[1:]:
        car.drive(seconds - since)
        since = seconds
        assert metres((car.latitude, car.longitude), (latitude, longitude)) < 0.1
        assert car.altitude_m == pytest.approx(altitude, abs=0.1)


def test_without_times_it_drives_50_and_as_fast_as_it_is_told(tmp_path: Path) -> None:
    for speed_kmh, fastest in ((None, 50), (72, 72), (20, 20)):
        car = Route(square(tmp_path), speed_kmh=speed_kmh).traveller(Random(1))
        speeds = []
        for _ in range(400):
            speeds.append(car.speed * 3.6)
            car.drive(1)
        assert max(speeds) == pytest.approx(fastest)


@pytest.mark.parametrize("loop", [False, True])
@pytest.mark.parametrize("points", [0, 3, 5], ids=["many points", "open", "closed"])
def test_a_profile_accelerates_brakes_and_turns_as_passengers_like_it(
    points: int, loop: bool, tmp_path: Path
) -> None:
    file = square(tmp_path, points) if points else LOOP
    car = Route(file, speed_kmh=90, loop=loop).traveller(Random(1))
    seconds, seen = 0.1, set()
    for _ in range(10_000):
        speed, heading = car.speed, car.heading
        car.drive(seconds)
        assert -BRAKING - 1e-6 <= (car.speed - speed) / seconds <= ACCELERATION + 1e-6
        seen.add((car.speed > speed) - (car.speed < speed))
        turned = abs((car.heading - heading + pi) % (2 * pi) - pi)
        if turned < 3:  # but where it has turned round, standing
            assert turned / seconds * min(speed, car.speed) <= LATERAL_ACCELERATION * 1.1
    assert seen == {-1, 0, 1}


def test_at_the_end_the_car_parks_and_the_ignition_goes_off(tmp_path: Path) -> None:
    car = Route(square(tmp_path, 2)).traveller(Random(1))
    assert not car.ignition
    car.drive(3.5)
    assert car.ignition
    car.drive(1_000)
    assert (car.speed, car.ignition) == (0, False)
    assert metres((car.latitude, car.longitude), SQUARE[1]) < 0.01
    assert degrees(car.heading) == pytest.approx(90, abs=0.1)
    trip = car.trip_m
    car.drive(1_000)
    assert car.trip_m == trip == pytest.approx(metres(*SQUARE[:2]))


@pytest.mark.parametrize("file", [None, LOOP], ids=["a speed", "the file's times"])
def test_a_closed_loop_goes_on_without_a_stop(file: Path | None, tmp_path: Path) -> None:
    route = Route(file or square(tmp_path), loop=True)
    car = route.traveller(Random(1))
    car.drive(10)
    laps = 0
    for _ in range(20_000):
        before = car.trip_m // route.track.length_m
        car.drive(0.1)
        assert car.ignition
        if car.trip_m // route.track.length_m > before:
            laps += 1
            assert car.speed > (1 if file is None else 0)
            assert metres((car.latitude, car.longitude), SQUARE[0]) < 2 or file
    assert laps > 5


@pytest.mark.parametrize("timed", [False, True])
def test_an_open_loop_turns_round_at_both_ends(timed: bool, tmp_path: Path) -> None:
    lines = [f"{60 * i if timed else ''},54.7,{25.3 + i / 100}" for i in range(3)]
    car = Route(csv_file(tmp_path, *lines), loop=True).traveller(Random(1))
    way = places(car, 2_000)
    longitudes = [longitude for _, longitude in way]
    assert min(longitudes) == pytest.approx(25.3)
    assert max(longitudes) == pytest.approx(25.32)
    assert max(metres(a, b) for a, b in pairwise(way)) < 25
    stands = sum(a == b for a, b in pairwise(way[10:]))
    turns = sum(a > 25.319 >= b for a, b in pairwise(longitudes)) + sum(
        a < 25.301 <= b for a, b in pairwise(longitudes[60:])
    )
    assert turns > 5
    assert stands == pytest.approx(turns * STOP_S, abs=STOP_S + turns)


def test_reverse_is_the_same_way_backwards_in_the_same_time() -> None:
    there, back = Route(LOOP), Route(LOOP, reverse=True)
    one, other = there.traveller(Random(1)), back.traveller(Random(1))
    setting_off = 0.0
    while one.speed == 0:
        one.drive(0.01)
        setting_off += 0.01
    duration = known_points()[-1][0]
    one = there.traveller(Random(1))
    for car, at in ((one, 100.0), (other, duration - 100.0)):
        car.drive(setting_off + at)
    assert metres((one.latitude, one.longitude), (other.latitude, other.longitude)) < 1
    assert abs((one.heading - other.heading) % (2 * pi) - pi) < 0.05


def test_devices_of_a_fleet_begin_under_way_one_offset_after_another(tmp_path: Path) -> None:
    for offset in (RouteOffset(metres=metres(*SQUARE[:2]) / 4), RouteOffset(share=0.25)):
        route = Route(square(tmp_path, 2), offset=offset)
        for number, east in ((1, 0.25), (2, 0.5), (3, 0.75), (4, 0.0), (5, 0.25)):
            car = route.traveller(Random(1), number)
            assert car.longitude == pytest.approx(25.3 + east / 100, abs=1e-6)
            if east:
                assert car.ignition
                assert car.speed > 5
                assert car.trip_m == 0


@pytest.mark.parametrize(
    ("lines", "options", "sentence"),
    [
        ([",1,1", "5,1,2"], {}, "line 1: no time, but line 2 has one"),
        (["5,1,1", "4,1,2"], {}, "line 2: the time is before that of line 1"),
        (["5,1,1", "5,1,2"], {}, "line 2: the time is the same as that of line 1"),
        (["0,1,1", "5,1,2"], {}, "line 1 to line 2: 111,303 m in 5 s, which is faster than 1,080"),
        (["0,1,1", "0,1,1"], {"speed_kmh": 50}, "all points are the same place"),
        ([",1,1", ",1,2"], {"offset": RouteOffset(metres=2e5)}, "is 111,303 m long"),
        ([",1,1", ",1,2"], {"offset": RouteOffset(share=1.0)}, "cannot begin at 111,303 m"),
    ],
)
@pytest.mark.parametrize("reverse", [False, True])
def test_what_cannot_be_driven_is_refused(
    lines: list[str], options: dict[str, float], sentence: str, reverse: bool, tmp_path: Path
) -> None:
    file = csv_file(tmp_path, *lines)
    if reverse and "faster" in sentence:
        sentence = "line 2 to line 1: 111,303 m"
    with pytest.raises(RouteError, match=sentence) as caught:
        Route(file, reverse=reverse, **options)  # type: ignore[arg-type]
    assert str(caught.value).startswith(f"{file}: ")


def test_a_speed_makes_bad_times_good_enough(tmp_path: Path) -> None:
    Route(csv_file(tmp_path, "5,1,1", "4,1,1.001"), speed_kmh=30)


def test_long_legs_follow_the_geodesic_also_across_the_date_line(tmp_path: Path) -> None:
    file = tmp_path / "a.geojson"
    coordinates = [[179.5, -17.0], [-179.5, 60.0], [179.0, 85.0]]
    file.write_text(json.dumps({"type": "LineString", "coordinates": coordinates}))
    track = Route(file).track
    line = Geodesic.WGS84.InverseLine(-17, 179.5, 60, -179.5)
    for share in (0.001, 0.3, 0.5, 0.9):
        position = line.Position(share * line.s13)
        place = track.at(share * line.s13)
        assert (
            metres((place.latitude, place.longitude), (position["lat2"], position["lon2"])) < 0.01
        )
        assert -180 <= place.longitude < 180
        assert degrees(place.heading) == pytest.approx(position["azi2"] % 360, abs=0.01)
