"""`teltonika emulate --route`: its options, and what it says of wrong ones."""

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from teltonika.cli.emulate import emulate
from teltonika.cli.emulate_route import parse_center, parse_geofence, route_from
from teltonika.emulator import Geofence

IMEI = "356307042441013"


@pytest.fixture
def route(tmp_path: Path) -> Path:
    file = tmp_path / "route.csv"
    file.write_text(",54.70,25.30\n,54.71,25.30\n")
    (tmp_path / "bad.csv").write_text(",54.70,25.30\n,94.71,25.30\n")
    return file


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            "--route {0}/bad.csv",
            "--route: {0}/bad.csv: line 2: the latitude is 94.71, not from -90 to 90",
        ),
        (
            "--route {0}/none.gpx",
            "--route: {0}/none.gpx: cannot be read: no such file or directory",
        ),
        (
            "--route {0}",
            "--route: {0}: the name of a route file ends in .gpx, .geojson, .json or .csv",
        ),
        ("--route-loop", "--route-loop needs --route, the file to drive along"),
        ("--route-reverse", "--route-reverse needs --route, the file to drive along"),
        ("--route-offset 5", "--route-offset needs --route, the file to drive along"),
        ("--route-speed 5", "--route-speed needs --route, the file to drive along"),
        (
            "--route {0}/route.csv --center 1,2",
            "--center and --route contradict each other: name one of them",
        ),
        (
            "--route {0}/route.csv --route-offset far",
            "--route-offset: 'far' is neither metres such as 500 nor a share such as 25%",
        ),
        (
            "--route {0}/route.csv --route-offset 100%",
            "--route: {0}/route.csv: the route is 1,113 m long, and cannot begin at 1,113 m",
        ),
        ("--center Vilnius", "--center: 'Vilnius' is no place such as 54.687,25.280"),
        ("--center 81,25", "--center: the latitude 81 is not from -80 to 80"),
        ("--center nan,25", "--center: the latitude nan is not from -80 to 80"),
        ("--center 54,181", "--center: the longitude 181 is not from -180 to 180"),
        ("--geofence 54,25", "--geofence: '54,25' is no circle such as 54.687,25.280,500"),
        ("--geofence 91,25,5", "--geofence: the latitude 91 is not from -90 to 90"),
        ("--geofence 54,25,0", "--geofence: the radius 0 is not from 1 to 10000000 m"),
    ],
)
def test_a_wrong_option_gets_one_sentence_and_exit_code_2(
    options: str, sentence: str, route: Path
) -> None:
    app = typer.Typer()
    app.command()(emulate)
    arguments = options.format(route.parent).split()
    result = CliRunner().invoke(app, ["--imei", IMEI, "--port", "1", *arguments])
    assert result.exit_code == 2
    assert result.stderr == f"teltonika: {sentence.format(route.parent)}\n"


def test_options_become_a_route(route: Path) -> None:
    made = route_from(route, loop=True, reverse=True, offset="25%", speed_kmh=30, center=None)
    assert made is not None
    assert made.loop
    assert made.track.at(0).latitude == 54.71
    assert (
        route_from(None, loop=False, reverse=False, offset=None, speed_kmh=None, center="1,2")
        is None
    )


def test_places_are_parsed() -> None:
    assert parse_center("-12.5, 130") == (-12.5, 130.0)
    assert parse_geofence(None) is None
    assert parse_geofence("-12.5,130,50") == Geofence(-12.5, 130.0, 50.0)
