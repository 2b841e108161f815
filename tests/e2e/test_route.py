"""`teltonika emulate --route` against `teltonika serve`: what arrives is the drive in the file."""

import json
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

import gpxpy
import pytest
from geographiclib.geodesic import Geodesic
from serving import IMEI, ServerProcess, run_teltonika

LOOP = Path(__file__).parents[1] / "unit" / "emulator" / "routes" / "loop.gpx"
START = datetime.fromisoformat("2026-01-31T08:00:00.000Z")


def metres(a: tuple[float, float], b: tuple[float, float]) -> float:
    distance: float = Geodesic.WGS84.Inverse(*a, *b)["s12"]
    return distance


def test_the_stream_holds_the_drive_of_the_file(server: ServerProcess) -> None:
    result = run_teltonika(
        *("emulate", "--imei", IMEI, "--port", str(server.port), "--json", "--codec", "16"),
        *("--records", "300", "--records-per-packet", "10", "--interval", "0"),
        *("--start-time", START.isoformat(), "--route", str(LOOP), "--speed-limit", "45"),
        *("--geofence", "54.6942,25.2801,200"),
    )
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["records_acknowledged"] == 300

    known = [
        (point.latitude, point.longitude)
        for point in gpxpy.parse(LOOP.read_text()).tracks[0].segments[0].points
    ]
    payloads = server.payloads()
    fixes = [(payload["latitude"], payload["longitude"]) for payload in payloads]
    driven = sum(metres(a, b) for a, b in pairwise(fixes))
    assert driven == pytest.approx(sum(metres(a, b) for a, b in pairwise(known)), rel=0.005)
    assert metres(fixes[0], known[0]) < 0.1
    assert metres(fixes[-1], known[-1]) < 0.1
    odometer = [payload["attributes"]["16"] for payload in payloads]
    assert odometer[-1] - odometer[0] == pytest.approx(driven, rel=0.005)

    times = [datetime.fromisoformat(payload["timestamp"]) for payload in payloads]
    assert times == [START + timedelta(seconds=number) for number in range(300)]
    # It sets off within six seconds; from then on each second is one of the file.
    late = next(i for i, payload in enumerate(payloads) if payload["speed"]) - 1
    for seconds in range(0, len(known) - 1, 10):
        place = fixes[late + seconds]
        assert min(metres(place, known[seconds]), metres(place, known[seconds + 1])) < 14
    by_event = {payload["event_io_id"]: payload for payload in payloads}
    assert by_event.keys() == {0, 239, 240, 255, 155}
    assert by_event[255]["attributes"]["255"] <= 45
    zone = [p for p in payloads if p["event_io_id"] == 155]
    assert [(p["attributes"]["155"], p["generation_type"], p["priority"]) for p in zone] == [
        *((1, 1, 1), (0, 0, 1))
    ]
