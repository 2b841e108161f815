"""A histogram against counting by hand."""

import math

from hypothesis import given
from hypothesis import strategies as st

from teltonika.server.histogram import Histogram

BOUNDS = (0.5, 1.0, 10.0)


@given(st.lists(st.floats(0, 20) | st.sampled_from(BOUNDS)))
def test_each_bound_has_what_is_at_most_as_large(values: list[float]) -> None:
    histogram = Histogram(BOUNDS)
    for value in values:
        histogram.observe(value)
    assert list(histogram.cumulative()) == [
        (bound, sum(value <= bound for value in values)) for bound in (*BOUNDS, math.inf)
    ]
    assert math.isclose(histogram.total, math.fsum(values), abs_tol=1e-9)


def test_no_two_histograms_share_their_counts() -> None:
    one, other = Histogram(BOUNDS), Histogram(BOUNDS)
    one.observe(1)
    assert other == Histogram(BOUNDS)
