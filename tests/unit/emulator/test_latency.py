"""Quantiles of many durations, from few buckets."""

from statistics import quantiles

import pytest
from hypothesis import given
from hypothesis import strategies as st

from teltonika.emulator.latency import LatencyHistogram

DURATIONS = st.lists(st.floats(1e-5, 100), min_size=1, max_size=300)


def histogram_of(durations: list[float]) -> LatencyHistogram:
    histogram = LatencyHistogram()
    for duration in durations:
        histogram.add(duration)
    return histogram


@given(DURATIONS, st.floats(0.01, 1))
def test_a_quantile_is_a_duration_that_so_many_do_not_exceed(
    durations: list[float], share: float
) -> None:
    found = histogram_of(durations).quantile(share)
    assert sum(one <= found * 1.011 for one in durations) >= share * len(durations) - 1e-6
    assert any(one == pytest.approx(found, rel=0.011) for one in durations)


def test_the_median_of_many() -> None:
    durations = [number / 1000 for number in range(1, 10_000)]
    found = histogram_of(durations).quantile(0.5)
    assert found == pytest.approx(quantiles(durations)[1], rel=0.02)


@given(DURATIONS, DURATIONS)
def test_merged_is_as_counted_together(first: list[float], second: list[float]) -> None:
    merged, other = histogram_of(first), histogram_of(second)
    merged.merge(other.buckets, other.max_s)
    together = histogram_of(first + second)
    assert (merged.buckets, merged.count, merged.max_s) == (
        together.buckets,
        together.count,
        together.max_s,
    )


def test_of_none_it_is_nothing() -> None:
    assert LatencyHistogram().quantile(0.5) == 0.0
