"""Steps on the ellipsoid, against geographiclib's geodesics."""

from math import radians

import pytest
from geographiclib.geodesic import Geodesic
from hypothesis import given
from hypothesis import strategies as st

from teltonika.emulator.ellipsoid import step


@given(
    latitude=st.floats(-80, 80),
    longitude=st.floats(-180, 179.99),
    heading=st.floats(0, 360),
    distance=st.floats(0.5, 1_000),
)
def test_a_step_ends_within_a_thousandth_of_where_the_geodesic_does(
    latitude: float, longitude: float, heading: float, distance: float
) -> None:
    reached = step(latitude, longitude, radians(heading), distance)
    geodesic = Geodesic.WGS84.Direct(latitude, longitude, heading, distance)
    miss = Geodesic.WGS84.Inverse(*reached, geodesic["lat2"], geodesic["lon2"])["s12"]
    assert miss < distance * 0.001


@pytest.mark.parametrize(
    ("start", "heading", "side"), [(179.9999, 90, -1), (-179.9999, 270, 1)], ids=["east", "west"]
)
def test_a_step_over_the_antimeridian_comes_out_on_the_other_side(
    start: float, heading: float, side: int
) -> None:
    _, longitude = step(10.0, start, radians(heading), 100.0)
    assert 179.99 < side * longitude <= 180
