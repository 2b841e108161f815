"""Event records: what makes one, its IO id, priority and generation type."""

import random
from itertools import islice
from math import radians

import pytest

from teltonika.codecs import (
    AVL_CODECS,
    AvlCodec,
    AvlRecord,
    GenerationType,
    Priority,
    decode_packet,
    encode_packet,
)
from teltonika.emulator import Drive, Geofence
from teltonika.emulator.drive import (
    DIGITAL_INPUT_1,
    EXTERNAL_VOLTAGE,
    IGNITION,
    MOVEMENT,
    TOWING,
    TRIP_ODOMETER,
    UNPLUG,
)
from teltonika.emulator.driving_events import (
    GEOFENCE_ZONE_01,
    GREEN_DRIVING_TYPE,
    GREEN_DRIVING_VALUE,
    OVER_SPEEDING,
)

DEGREE_M = 111_320.0  # of longitude, on the equator


class Scripted:
    """Goes east along the equator, or to where it is told, at the speeds it is told."""

    latitude = 0.0
    altitude_m = 100.0
    ignition = True

    def __init__(self, *speeds: float, headings: tuple[float, ...] = ()) -> None:
        self.speed, *self._speeds = speeds
        self.heading, *self._headings = headings or (90.0,)
        self.heading = radians(self.heading)
        self.longitude = self.odometer_m = self.trip_m = 0.0

    def drive(self, seconds: float) -> None:
        self.speed = self._speeds.pop(0) if self._speeds else self.speed
        if self._headings:
            self.heading = radians(self._headings.pop(0))
        self.odometer_m += self.speed * seconds
        self.trip_m += self.speed * seconds
        self.longitude += self.speed * seconds / DEGREE_M


def drive(mover: Scripted, period_s: float = 1.0, **options: object) -> Drive:
    return Drive(
        random.Random(1),
        start_ms=0,
        period_s=period_s,
        generation_type=True,
        mover=mover,
        **options,  # type: ignore[arg-type]
    )


def event(record: AvlRecord, *elements: int) -> tuple[object, ...]:
    values = record.io.by_id()
    return (
        record.event_io_id,
        record.priority,
        record.generation_type,
        *(values.get(element) for element in elements),
    )


NOTHING = (0, Priority.LOW, GenerationType.PERIODICAL)


def test_over_speeding_is_reported_when_it_begins_and_when_it_ends() -> None:
    speeds = (10.0, 12.0, 13.9, 15.0, 13.9, 13.0, 12.0)  # 13.9 m/s are 50 km/h
    made = list(islice(drive(Scripted(*speeds), speed_limit_kmh=50), 7))[1:]
    over = (OVER_SPEEDING, Priority.HIGH, GenerationType.EVENTUAL)
    nothing = (*NOTHING, None)
    assert [event(record, OVER_SPEEDING) for record in made] == [
        *(nothing, nothing, (*over, 54), (*over, 50), nothing, nothing)
    ]


def test_a_speed_that_does_not_fit_its_byte_is_255() -> None:
    made = list(islice(drive(Scripted(70.0, 100.0), speed_limit_kmh=300), 2))
    assert made[1].io.by_id()[OVER_SPEEDING] == 255


def test_crossing_a_geofence_is_an_entrance_and_an_exit() -> None:
    fence = Geofence(0.0, 100 / DEGREE_M, 45.0)
    made = list(islice(drive(Scripted(20.0), geofence=fence), 10))
    events = {i: event(r, GEOFENCE_ZONE_01) for i, r in enumerate(made) if r.event_io_id == 155}
    assert events == {
        3: (GEOFENCE_ZONE_01, Priority.HIGH, GenerationType.ON_ENTRANCE, 1),
        8: (GEOFENCE_ZONE_01, Priority.HIGH, GenerationType.ON_EXIT, 0),
    }
    assert all(r.io.get(GEOFENCE_ZONE_01) is None for i, r in enumerate(made) if i not in events)


def test_who_begins_within_a_geofence_has_not_entered_it() -> None:
    made = list(islice(drive(Scripted(1.0), geofence=Geofence(0.0, 0.0, 50.0)), 20))
    assert GEOFENCE_ZONE_01 not in {record.event_io_id for record in made}


@pytest.mark.parametrize(
    ("mover", "green"),
    [
        (Scripted(10.0, 13.0), None),
        (Scripted(10.0, 14.0), (1, 41)),
        (Scripted(20.0, 16.5), None),
        (Scripted(20.0, 15.0), (2, 51)),
        (Scripted(30.0, 1.0), (2, 255)),
        (Scripted(10.0, headings=(350, 10)), None),
        (Scripted(10.0, headings=(345, 15)), (3, 52)),
        (Scripted(10.0, headings=(15, 345)), (3, 52)),
    ],
)
def test_harsh_driving_has_a_type_and_a_value(
    mover: Scripted, green: tuple[int, int] | None
) -> None:
    records = drive(mover)
    next(records)
    record = next(records)
    if green is None:
        assert event(record) == NOTHING
    else:
        assert event(record, GREEN_DRIVING_TYPE, GREEN_DRIVING_VALUE) == (
            *(GREEN_DRIVING_TYPE, Priority.HIGH, GenerationType.EVENTUAL),
            *green,
        )


def test_one_harsh_braking_is_one_event_however_long() -> None:
    made = list(islice(drive(Scripted(30.0, 25.0, 20.0, 15.0, 15.0, 10.0)), 6))
    assert [r.event_io_id == GREEN_DRIVING_TYPE for r in made] == [0, 1, 0, 0, 0, 1]


def test_unplugged_it_says_so_until_it_is_plugged_in_again() -> None:
    records = drive(Scripted(10.0))
    next(records)
    assert event(next(records), UNPLUG) == (*NOTHING, None)
    records.unplug()
    records.unplug()
    made = [next(records), next(records)]
    records.plug()
    made += [next(records), next(records)]
    change = (UNPLUG, Priority.HIGH, GenerationType.ON_CHANGE)
    assert [event(record, UNPLUG) for record in made] == [
        *((*change, 1), (*NOTHING, 1), (*change, 0), (*NOTHING, None))
    ]
    assert [record.io.by_id()[EXTERNAL_VOLTAGE] > 0 for record in made] == [0, 0, 1, 1]


def test_towed_it_moves_without_ignition_and_without_a_trip() -> None:
    records = drive(Scripted(10.0))
    next(records)
    records.tow()
    made = [next(records) for _ in range(3)]
    records.end_tow()
    made += [next(records) for _ in range(3)]
    change = (Priority.HIGH, GenerationType.ON_CHANGE)
    assert [event(record, TOWING, IGNITION) for record in made] == [
        (IGNITION, *change, 1, 0),
        (TOWING, *change, 1, 0),
        (*NOTHING, 1, 0),
        (IGNITION, *change, None, 1),
        (TOWING, *change, 0, 1),
        (*NOTHING, None, 1),
    ]
    assert {record.io.by_id()[MOVEMENT] for record in made} == {1}
    assert [record.io.by_id()[TRIP_ODOMETER] for record in made] == [0, 0, 0, 10, 20, 30]


def test_who_is_towed_but_stands_is_not_towing() -> None:
    records = drive(Scripted(0.0))
    records.tow()
    assert {event(record, TOWING) for record in islice(records, 5)} == {(*NOTHING, None)}


def test_panic_comes_first_with_its_own_priority_and_the_others_wait() -> None:
    records = drive(Scripted(0.0, 10.0, 10.0))
    records.unplug()
    records.panic()
    made = list(islice(records, 5))
    assert event(made[0], DIGITAL_INPUT_1) == (
        *(DIGITAL_INPUT_1, Priority.PANIC, GenerationType.ON_CHANGE),
        1,
    )
    assert [record.event_io_id for record in made[1:]] == [
        *(MOVEMENT, UNPLUG, IGNITION, GREEN_DRIVING_TYPE)
    ]
    assert all(record.io.get(DIGITAL_INPUT_1) is None for record in made[1:])


@pytest.mark.parametrize("codec", list(AVL_CODECS), ids=lambda codec: codec.name)
def test_every_codec_carries_event_records(codec: AvlCodec) -> None:
    records = Drive(
        random.Random(1),
        start_ms=0,
        period_s=1.0,
        generation_type=codec.name == "16",
        mover=Scripted(0.0, 30.0, 10.0, 20.0),
        speed_limit_kmh=20,
        geofence=Geofence(0.0, 0.0, 25.0),
    )
    records.unplug()
    records.tow()
    records.panic()
    made = list(islice(records, 20))
    assert {r.event_io_id for r in made} >= {1, 252, 246, 253, 255, 155}
    assert list(decode_packet(encode_packet(codec, made)).records) == made
