"""Rates and ages from parts of the telemetry stream."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from teltonika.server.follow import StreamEntry
from teltonika.server.telemetry_sample import (
    KEPT,
    Ages,
    NoisyDevice,
    SlowDevice,
    TelemetrySamples,
)


def entry(taken_s: float, imei: str = "one", ts: str = "1970-01-01T00:00:00.000Z") -> StreamEntry:
    fields = {b"device_id": imei.encode(), b"ts": ts.encode()}
    return StreamEntry(f"{round(taken_s * 1000)}-0", fields)


def test_ages_are_when_redis_took_it_minus_when_it_was() -> None:
    samples = TelemetrySamples()
    assert samples.ages() is None
    samples.add([entry(4.0, ts="1970-01-01T00:00:06.500Z")], 1, 1.0)
    assert samples.ages() == Ages(-2.5, -2.5, -2.5)
    samples.add([entry(float(second)) for second in (3, 2, 1)], 3, 1.0)
    assert samples.ages() == Ages(1.5, pytest.approx(2.85), 3.0)


def test_what_was_not_read_counts_as_what_was() -> None:
    samples = TelemetrySamples()
    samples.add([entry(1, "one"), entry(1, "one"), entry(1, "two")], 300, 2.0)
    assert samples.noisiest(1) == [NoisyDevice("one", 100.0)]
    samples.add([], 0, 2.0)
    assert samples.noisiest(5) == [NoisyDevice("one", 50.0), NoisyDevice("two", 25.0)]


def test_a_device_is_as_slow_as_its_newest_record() -> None:
    samples = TelemetrySamples()
    samples.add([entry(9, "one"), entry(50, "one"), entry(8, "two")], 3, 1.0)
    assert samples.slowest(1) == [SlowDevice("one", 9.0)]
    samples.add([entry(3, "one")], 1, 1.0)
    assert samples.slowest(5) == [SlowDevice("two", 8.0), SlowDevice("one", 3.0)]


def test_old_samples_are_forgotten() -> None:
    samples = TelemetrySamples()
    samples.add([entry(9, "one")], 1, 1.0)
    for _ in range(KEPT):
        samples.add([entry(1, "two")], 1, 1.0)
    assert [device.imei for device in samples.noisiest(5)] == ["two"]
    assert [device.imei for device in samples.slowest(5)] == ["two"]
    assert samples.ages() == Ages(1.0, 1.0, 1.0)


@given(st.binary(), st.binary())
def test_no_entry_makes_it_raise(device_id: bytes, ts: bytes) -> None:
    samples = TelemetrySamples()
    far = b"+584556019-04-03T14:25:51.615Z"
    for value in (ts, far, b"9999-12-31T23:59:59.999Z", b"0001-01-01T00:00:00.000Z"):
        samples.add([StreamEntry("1-0", {b"device_id": device_id, b"ts": value})], 1, 1.0)
    samples.add([StreamEntry("1-0", {})], 1, 1.0)
    samples.ages()
    samples.slowest(1)
