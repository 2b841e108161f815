"""Route files: what is read of each form, and what is said of one that is none."""

from pathlib import Path

import pytest

from teltonika.emulator import RouteError
from teltonika.emulator.routes import read_points
from teltonika.emulator.routes.points import MAX_POINTS
from teltonika.emulator.routes.read import MAX_BYTES

GPX = """<?xml version="1.0"?>
<gpx version="1.1" creator="x" xmlns="http://www.topografix.com/GPX/1/1"><trk>
<trkseg><trkpt lat="54.5" lon="25.25"><ele>100</ele><time>2026-01-31T08:00:00Z</time></trkpt>
</trkseg>
<trkseg><trkpt lat="54.6" lon="25.5"><ele>120.5</ele><time>2026-01-31T10:00:10+02:00</time></trkpt>
</trkseg></trk></gpx>"""
FEATURE = """{"type": "Feature", "properties": {%s}, "geometry":
{"type": "LineString", "coordinates": [[25.25, 54.5, 100], [25.5, 54.6, 120.5]]}}"""
TIMES = '["2026-01-31T08:00:00Z", "2026-01-31T08:00:10Z"]'
CSV_1, CSV_2 = "25.25,x,54.5,100,1769846400", '"25.5",,54.6,120.5,1769846410.0'
RTE = '<gpx version="1.1" creator="x"><rte>{}</rte></gpx>'
START_S = 1_769_846_400.0


def write(directory: Path, name: str, text: str | bytes) -> Path:
    file = directory / name
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.gpx", GPX),
        ("A.GPX", GPX.encode("utf-8-sig")),
        ("a.geojson", FEATURE % f'"coordTimes": {TIMES}'),
        ("a.json", FEATURE % f'"coordinateProperties": {{"times": {TIMES}}}'),
        (
            "a.geojson",
            '{"type": "FeatureCollection", "features": [{"type": "Feature", "properties": null, '
            '"geometry": {"type": "Point", "coordinates": [1, 2]}}, '
            + FEATURE % f'"name": "x", "coordTimes": {TIMES}'
            + "]}",
        ),
        ("a.csv", "2026-01-31T08:00:00Z,54.5,25.25,100\n2026-01-31T10:00:10+02:00,54.6,25.5,120.5"),
        (
            "a.csv",
            f"Lon, speed,LAT,ele,timestamp\r\n{CSV_1}\r\n\r\n{CSV_2}",
        ),
    ],
    ids=["gpx", "gpx with BOM", "feature", "properties", "collection", "csv", "csv with headings"],
)
def test_every_form_gives_the_same_points(name: str, text: str | bytes, tmp_path: Path) -> None:
    points = [point[1:] for point in read_points(write(tmp_path, name, text))]
    assert points == [(54.5, 25.25, 100.0, START_S), (54.6, 25.5, 120.5, START_S + 10)]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "a.gpx",
            RTE.format('<rtept lat="54.5" lon="25.25"/><rtept lat="54.6" lon="25.5"/>'),
        ),
        ("a.json", '{"type": "LineString", "coordinates": [[25.25, 54.5], [25.5, 54.6]]}'),
        ("a.csv", ",54.5,25.25\n,54.6,25.5\n"),
        ("a.csv", "lat,lng\n54.5,25.25\n54.6,25.5\n"),
    ],
)
def test_times_and_altitudes_need_not_be_there(name: str, text: str, tmp_path: Path) -> None:
    points = [point[1:] for point in read_points(write(tmp_path, name, text))]
    assert points == [(54.5, 25.25, None, None), (54.6, 25.5, None, None)]


def gpx_point(attributes: str, inside: str = "") -> str:
    return (
        '<gpx version="1.1" creator="x"><trk><trkseg><trkpt lat="1" lon="1"/>'
        f"<trkpt {attributes}>{inside}</trkpt></trkseg></trk></gpx>"
    )


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("a.kml", "", "the name of a route file ends in .gpx, .geojson, .json or .csv"),
        ("a.gpx", "", "no GPX"),
        ("a.gpx", "<gpx", "unclosed token: line 1, column 0"),
        ("a.gpx", "<html></html>", "no points"),
        ("a.gpx", '<gpx version="1.1" creator="x"></gpx>', "no points"),
        ("a.gpx", "<!DOCTYPE a [<!ENTITY b 'c'>]><gpx/>", "no document type definition"),
        ("a.gpx", gpx_point('lat="91" lon="1"'), "point 2: the latitude is 91, not from -90 to 90"),
        ("a.gpx", gpx_point('lat="1" lon="nan"'), "point 2: the longitude is nan"),
        ("a.gpx", gpx_point('lat="1" lon="x"'), "point 2: the longitude 'x' is no number"),
        ("a.gpx", gpx_point('lon="1"'), "point 2: no latitude"),
        ("a.gpx", gpx_point('lat="1" lon="1"', "<ele>1e9</ele>"), "point 2: the altitude is 1e+09"),
        ("a.gpx", gpx_point('lat="1" lon="1"', "<ele>x</ele>"), "<ele>... x"),
        ("a.gpx", b"\xff\xfe<", "byte 0 is no UTF-8 text"),
        ("a.json", "", "no GeoJSON"),
        ("a.json", '{"type": "Point", "coordinates": [1, 2]}', "'Point'"),
        ("a.json", '{"type": "FeatureCollection", "features": []}', "no LineString"),
        ("a.json", '{"type": "Feature", "geometry": null}', "no LineString"),
        ("a.json", '{"type": "LineString", "coordinates": []}', "no points"),
        ("a.json", '{"type": "LineString", "coordinates": [[1, 2]]}', "one point only"),
        ("a.json", '{"type": "LineString", "coordinates": [[1, "2"]]}', "$.coordinates[0][1]"),
        ("a.json", '{"type": "LineString", "coordinates": [[1]]}', "coordinates[0]: 1 numbers"),
        ("a.json", '{"type": "LineString", "coordinates": [[1, NaN]]}', "no GeoJSON"),
        ("a.json", '{"type": "LineString", "coordinates": [[1, 1e999]]}', "no GeoJSON"),
        ("a.json", "[" * 100_000, "no GeoJSON"),
        ("a.json", FEATURE % '"coordTimes": ["2026-01-31"]', "1 times for 2 coordinates"),
        (
            "a.json",
            FEATURE % '"coordTimes": ["2026-01-31", "soon"]',
            "coordinates[1]: the time 'soon' is none such as",
        ),
        ("a.csv", "", "no points"),
        ("a.csv", "time,lat\n", "the headings: no column for the longitude"),
        ("a.csv", "lat,latitude,lon\n", "the headings: two columns for the latitude"),
        ("a.csv", ",1,1\n,2", "line 2: no longitude"),
        ("a.csv", ",1,1\n,2,x", "line 2: the longitude 'x' is no number"),
        ("a.csv", ",1,1\n,2,inf", "line 2: the longitude is inf, not from -180 to 180"),
        ("a.csv", ",1,1\n,2,-181", "line 2: the longitude is -181"),
        ("a.csv", ",1,1\nsoon,2,2", "line 2: the time 'soon' is none such as"),
        ("a.csv", "nan,1,1\n", "line 1: the time is nan"),
        ("a.csv", ',1,1\n,"2,2\n', "no CSV"),
        ("a.csv", "x" * 200_000, "no CSV"),
    ],
)
def test_what_is_no_route_is_refused_with_file_place_and_field(
    name: str, text: str | bytes, sentence: str, tmp_path: Path
) -> None:
    file = write(tmp_path, name, text)
    with pytest.raises(RouteError) as caught:
        read_points(file)
    assert str(caught.value).startswith(f"{file}: ")
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300 + len(str(file))


def test_a_file_that_is_missing_too_large_or_too_long_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RouteError, match="cannot be read: no such file or directory"):
        read_points(tmp_path / "none.csv")
    with (tmp_path / "large.csv").open("wb") as large:
        large.truncate(MAX_BYTES + 1)
    with pytest.raises(RouteError, match="larger than 64 MiB"):
        read_points(tmp_path / "large.csv")
    file = write(tmp_path, "long.csv", ",1,1\n,1,2\n" * (MAX_POINTS // 2) + ",1,1\n")
    with pytest.raises(RouteError, match="more than 100,000 points"):
        read_points(file)
