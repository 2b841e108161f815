"""The records that a tracker in the car would have made."""

import random
from itertools import islice, pairwise

import pytest
from geographiclib.geodesic import Geodesic
from hypothesis import given, settings
from hypothesis import strategies as st

from teltonika.codecs import (
    AVL_CODECS,
    AvlCodec,
    AvlRecord,
    GenerationType,
    Priority,
    decode_packet,
    encode_packet,
)
from teltonika.emulator import DigitalOutput, Drive
from teltonika.emulator.drive import (
    BATTERY_VOLTAGE,
    DIGITAL_OUTPUT_1,
    DIGITAL_OUTPUT_2,
    EXTERNAL_VOLTAGE,
    GNSS_HDOP,
    GNSS_PDOP,
    GSM_SIGNAL,
    IGNITION,
    MOVEMENT,
    SPEED,
    TOTAL_ODOMETER,
    TRIP_ODOMETER,
)

START_MS = 1_760_000_000_000


def records(
    seed: int, count: int, *, period_s: float = 1.0, generation_type: bool = False
) -> list[AvlRecord]:
    drive = Drive(
        random.Random(seed),
        start_ms=START_MS,
        period_s=period_s,
        generation_type=generation_type,
    )
    return list(islice(drive, count))


def io(record: AvlRecord, io_id: int) -> int:
    value = record.io.get(io_id)
    assert isinstance(value, int)
    return value


@settings(max_examples=40)
@given(seed=st.integers(0, 2**32))
def test_distance_speed_angle_and_odometer_of_successive_records_agree(seed: int) -> None:
    for before, after in pairwise(records(seed, 200)):
        line = Geodesic.WGS84.Inverse(
            before.latitude, before.longitude, after.latitude, after.longitude
        )
        mean_speed = (before.speed + after.speed) / 2 / 3.6  # m/s, so metres in this second
        assert line["s12"] == pytest.approx(mean_speed, abs=0.2)
        driven = io(after, TOTAL_ODOMETER) - io(before, TOTAL_ODOMETER)
        assert line["s12"] == pytest.approx(driven, abs=1.1)
        if line["s12"] > 2:
            turned = (after.angle - before.angle + 180) % 360 - 180
            off = (line["azi1"] - before.angle - turned / 2 + 180) % 360 - 180
            assert abs(off) < 2


@given(
    seed=st.integers(0, 2**32),
    period_s=st.sampled_from([0.001, 1 / 255, 0.1, 1 / 3, 1.0, 7.0, 60.0]),
)
def test_timestamps_grow_strictly_and_do_not_drift(seed: int, period_s: float) -> None:
    times = [record.timestamp_ms for record in records(seed, 50, period_s=period_s)]
    assert times[0] == START_MS
    assert all(before < after for before, after in pairwise(times))
    assert times[-1] - times[0] == pytest.approx(49 * period_s * 1000, abs=0.5)


def test_values_are_those_of_a_car_parked_and_driving() -> None:
    for record in records(1, 20_000):
        ignition, movement = io(record, IGNITION), io(record, MOVEMENT)
        assert ignition in (0, 1)
        assert movement == 1 or record.speed == 0
        assert movement <= ignition
        assert io(record, SPEED) == record.speed
        assert 1 <= io(record, GSM_SIGNAL) <= 5
        voltage = io(record, EXTERNAL_VOLTAGE)
        assert (14_000 < voltage < 14_200) if ignition else (12_500 < voltage < 12_700)
        assert 3_900 < io(record, BATTERY_VOLTAGE) < 4_200
        assert 3 < io(record, GNSS_HDOP) < io(record, GNSS_PDOP) < 30
        assert 4 <= record.satellites <= 20
        assert 0 <= record.angle < 360
        assert 0 < record.altitude < 400
        assert io(record, TRIP_ODOMETER) <= io(record, TOTAL_ODOMETER)
        assert len(record.io) == 15


def test_a_change_of_ignition_or_movement_is_an_event_of_high_priority() -> None:
    seen = set()
    for before, after in pairwise(records(7, 20_000)):
        changed = {i for i in (IGNITION, MOVEMENT) if io(before, i) != io(after, i)}
        if changed:
            assert after.event_io_id in changed
            assert after.priority == Priority.HIGH
            seen.add(after.event_io_id)
        else:
            assert after.event_io_id == 0
            assert after.priority == Priority.LOW
    assert seen == {IGNITION, MOVEMENT}


def test_the_ignition_comes_before_the_movement_where_both_changed() -> None:
    both = [
        after
        for before, after in pairwise(records(7, 2_000, period_s=120))
        if all(io(before, i) != io(after, i) for i in (IGNITION, MOVEMENT))
    ]
    assert both
    assert {record.event_io_id for record in both} == {IGNITION}


def test_the_car_has_set_off_within_ten_records() -> None:
    assert all(records(seed, 10)[-1].speed > 0 for seed in range(50))


@pytest.mark.parametrize("codec", list(AVL_CODECS), ids=lambda codec: codec.name)
def test_every_codec_carries_the_records_and_255_fit_one_packet(codec: AvlCodec) -> None:
    made = records(1, 255, generation_type=codec.name == "16")
    assert list(decode_packet(encode_packet(codec, made)).records) == made


def test_codec_16_records_say_why_they_were_made() -> None:
    made = records(1, 2_000, generation_type=True)
    assert {record.generation_type for record in made if record.event_io_id} == {
        GenerationType.ON_CHANGE
    }
    assert {record.generation_type for record in made if not record.event_io_id} == {
        GenerationType.PERIODICAL
    }


def test_the_same_seed_gives_the_same_records_and_another_seed_others() -> None:
    assert records(1, 500) == records(1, 500)
    assert records(1, 500)[0] != records(2, 500)[0]


def test_a_record_shows_the_outputs_as_they_are_when_it_is_made() -> None:
    first, second = DigitalOutput(), DigitalOutput()
    drive = Drive(
        random.Random(1),
        start_ms=START_MS,
        period_s=1.0,
        generation_type=False,
        outputs=(first, second),
    )
    seen = []
    for level_1, level_2 in ((0, 0), (1, 0), (1, 1), (0, 1)):
        first.set(level_1, 0, now_ms=0)
        second.set(level_2, 0, now_ms=0)
        record = next(drive)
        seen.append((io(record, DIGITAL_OUTPUT_1), io(record, DIGITAL_OUTPUT_2)))
    assert seen == [(0, 0), (1, 0), (1, 1), (0, 1)]
