"""A circle on the ellipsoid, whatever short cuts are taken."""

import pytest
from geographiclib.geodesic import Geodesic
from hypothesis import given
from hypothesis import strategies as st

from teltonika.emulator import Geofence


@given(
    latitude=st.floats(-90, 90),
    longitude=st.floats(-180, 180),
    azimuth=st.floats(0, 360),
    radius_m=st.sampled_from([1.0, 100.0, 5_000.0, 90_000.0, 3_000_000.0]),
    share=st.sampled_from([0.0, 0.5, 0.97, 0.999, 1.001, 1.03, 2.0, 4.0]),
)
def test_what_is_nearer_than_the_radius_is_within_it(
    latitude: float, longitude: float, azimuth: float, radius_m: float, share: float
) -> None:
    place = Geodesic.WGS84.Direct(latitude, longitude, azimuth, radius_m * share)
    fence = Geofence(latitude, longitude, radius_m)
    assert fence.holds(place["lat2"], place["lon2"]) == (share < 1)


@pytest.mark.parametrize("longitude", [-180.0, 180.0, 179.9999, -179.9999])
def test_the_date_line_is_no_border(longitude: float) -> None:
    assert Geofence(10.0, 180.0, 50.0).holds(10.0, longitude)
