"""What a tracker records and when it sends, by its periods."""

import asyncio
from itertools import islice, pairwise
from random import Random

import pytest
from tiny_server import Answer, TinyServer

from teltonika.codecs import AvlRecord, Priority
from teltonika.emulator import DeviceLink, DeviceReport, Drive, EmulatorSettings, assemble_device
from teltonika.emulator.drive import MOVEMENT
from teltonika.emulator.profiles import Pace, Paces
from teltonika.emulator.record_buffer import RecordBuffer

IMEI = "356307042441013"
START_MS = 1_760_000_000_000
PACES = Paces(moving=Pace(10, 60), stopped=Pace(300, 900), roaming=Pace(50, 100))


def drive() -> Drive:
    return Drive(Random(1), start_ms=START_MS, period_s=1.0, generation_type=False)


def taken(buffer: RecordBuffer) -> list[AvlRecord]:
    return list(buffer)


def seconds(records: list[AvlRecord]) -> list[int]:
    return [(record.timestamp_ms - START_MS) // 1000 for record in records]


def periodical_gaps(records: list[AvlRecord], *, moving: bool) -> set[int]:
    """Seconds between two records that are no events and in one state, as those between are."""
    return {
        (after.timestamp_ms - before.timestamp_ms) // 1000
        for before, after in pairwise(records)
        if not after.event_io_id and (before.speed > 0) == (after.speed > 0) == moving
    }


def test_it_records_by_the_period_of_the_state_and_every_event_at_once() -> None:
    buffer = RecordBuffer(drive(), PACES, DeviceReport(imei=IMEI))
    buffer.advance(7_200_000)
    records = taken(buffer)
    events = [record for record in records if record.event_io_id]
    everything = list(islice(drive(), 7_201))
    assert events == [record for record in everything if record.event_io_id]
    assert max(periodical_gaps(records, moving=True)) == 10
    assert 300 in periodical_gaps(records, moving=False)


def test_abroad_it_has_a_pace_of_its_own() -> None:
    buffer = RecordBuffer(drive(), PACES, DeviceReport(imei=IMEI), roaming=True)
    buffer.advance(7_200_000)
    assert max(periodical_gaps(taken(buffer), moving=True)) == 50


def test_time_may_come_in_any_pieces() -> None:
    def recorded(step_ms: int) -> list[AvlRecord]:
        buffer = RecordBuffer(drive(), PACES, DeviceReport(imei=IMEI))
        for now_ms in range(0, 600_001, step_ms):
            buffer.advance(now_ms)
        return taken(buffer)

    assert recorded(100) == recorded(1_000) == recorded(60_000)


def test_an_event_is_sent_at_once_and_all_that_waits_with_it() -> None:
    buffer = RecordBuffer(drive(), PACES, DeviceReport(imei=IMEI))
    buffer.advance(0)
    assert buffer.is_due(0)
    assert len(taken(buffer)) == 1
    assert not buffer.is_due(0)
    sendings = []
    for now_ms in range(0, 600_000, 1_000):
        buffer.advance(now_ms)
        if buffer.is_due(now_ms):
            records = taken(buffer)
            sendings.append((now_ms // 1000, records))
            assert not buffer.is_due(now_ms)
    assert any(len(records) > 1 for _, records in sendings)
    for second, records in sendings:
        for record in records:
            if record.event_io_id:
                assert record.timestamp_ms - START_MS == second * 1000
    periods = [
        after - before
        for (before, _), (after, records) in pairwise(sendings)
        if not any(record.event_io_id for record in records)
    ]
    assert min(periods) >= 60


@pytest.mark.parametrize("newest_first", [False, True])
def test_a_full_buffer_loses_the_oldest_and_counts_them(newest_first: bool) -> None:
    paces = Paces(
        moving=Pace(1, 9_000),
        stopped=Pace(1, 9_000),
        roaming=Pace(1, 9_000),
        buffer_size=10,
        newest_first=newest_first,
    )
    report = DeviceReport(imei=IMEI)
    buffer = RecordBuffer(drive(), paces, report)
    buffer.advance(24_000)
    assert report.records_overwritten == 15
    assert seconds(taken(buffer)) == list(range(24, 14, -1) if newest_first else range(15, 25))


def test_without_a_fix_a_vehicle_that_moves_keeps_the_period_of_moving() -> None:
    records = drive()
    records.lose_gnss()
    buffer = RecordBuffer(records, PACES, DeviceReport(imei=IMEI))
    buffer.advance(7_200_000)
    made = taken(buffer)
    assert {record.speed for record in made} == {0}
    gaps = {
        (after.timestamp_ms - before.timestamp_ms) // 1000
        for before, after in pairwise(made)
        if not after.event_io_id and before.io.get(MOVEMENT) == after.io.get(MOVEMENT) == 1
    }
    assert max(gaps) == 10


def first_event_s() -> int:
    return next(second for second, record in enumerate(drive()) if record.event_io_id)


def hourly(buffer_size: int) -> Paces:
    hour = Pace(1, 3_600)
    return Paces(moving=hour, stopped=hour, roaming=hour, buffer_size=buffer_size)


def sent_once(paces: Paces) -> RecordBuffer:
    """A buffer whose first record is sent, and whose next sending is an hour away."""
    buffer = RecordBuffer(drive(), paces, DeviceReport(imei=IMEI))
    buffer.advance(0)
    assert buffer.is_due(0)
    taken(buffer)
    assert not buffer.is_due(0)
    return buffer


def test_an_event_that_a_full_buffer_lost_makes_no_sending_urgent() -> None:
    events = [record.event_io_id != 0 for record in islice(drive(), 300)]
    quiet_s = next(s for s in range(5, 300) if any(events[:s]) and not any(events[s - 4 : s + 1]))
    buffer = sent_once(hourly(5))
    buffer.advance(quiet_s * 1000)
    assert not buffer.is_due(quiet_s * 1000)
    again = sent_once(hourly(300))
    again.advance(quiet_s * 1000)
    assert again.is_due(quiet_s * 1000)


def test_an_event_that_was_cleared_makes_no_sending_urgent() -> None:
    buffer = sent_once(hourly(300))
    now_ms = first_event_s() * 1000
    buffer.advance(now_ms)
    buffer.clear()
    quiet_s = next(
        s for s, record in enumerate(drive()) if s * 1000 > now_ms and not record.event_io_id
    )
    assert quiet_s * 1000 == now_ms + 1000
    buffer.advance(quiet_s * 1000)
    assert not buffer.is_due(quiet_s * 1000)


def test_panic_is_in_the_next_record_and_that_is_due_at_once() -> None:
    buffer = sent_once(hourly(300))
    buffer.advance(500)
    buffer.drive.panic()
    assert buffer.next_ms == 1_000
    buffer.advance(1_000)
    assert buffer.is_due(1_000)
    assert [(record.timestamp_ms - START_MS, record.priority) for record in taken(buffer)] == [
        (1_000, Priority.PANIC)
    ]


def test_asleep_nothing_is_recorded() -> None:
    every_second = Paces(moving=Pace(1, 1), stopped=Pace(1, 1), roaming=Pace(1, 1))
    buffer = RecordBuffer(drive(), every_second, DeviceReport(imei=IMEI))
    buffer.advance(2_000)
    buffer.advance(10_000, asleep=True)
    buffer.advance(12_000)
    assert seconds(taken(buffer)) == [0, 1, 2, 11, 12]


def test_what_is_cleared_is_counted() -> None:
    every_second = Paces(moving=Pace(1, 1), stopped=Pace(1, 1), roaming=Pace(1, 1))
    buffer = RecordBuffer(drive(), every_second, DeviceReport(imei=IMEI))
    buffer.advance(4_000)
    assert buffer.clear() == 5
    assert taken(buffer) == []


def test_what_waits_is_looked_at_when_its_sending_is_due() -> None:
    pace = Pace(1, 2)
    buffer = sent_once(Paces(moving=pace, stopped=pace, roaming=pace))
    assert buffer.next_look_ms == 1_000
    buffer.advance(1_000)
    assert not buffer.is_due(1_000)
    assert buffer.next_look_ms == 2_000
    buffer.advance(2_700)
    assert buffer.is_due(2_700)
    taken(buffer)
    assert not buffer.is_due(2_700)
    buffer.advance(4_000)
    assert (buffer.next_ms, buffer.next_look_ms) == (5_000, 4_700)


async def test_panic_goes_out_when_its_record_is_made_whenever_the_device_got_in() -> None:
    async with TinyServer([Answer.SILENCE]) as server:
        settings = EmulatorSettings(
            port=server.port,
            paces=hourly(300),
            records=2,
            start_ms=START_MS,
            ack_timeout_s=0.6,
            first_retry_s=0.01,
        )
        device = assemble_device(IMEI, settings, 0)
        assert isinstance(device.records, RecordBuffer)
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        run = asyncio.create_task(DeviceLink(device, settings, Random(1)).run())
        await server.packet_came.wait()
        assert 0.6 <= loop.time() - began_s < 0.95
        device.records.drive.panic()
        report = await run
    assert report.complete
    assert 1.0 <= loop.time() - began_s < 1.4
    assert [record.priority for record in server.connections[1].records] == [0, Priority.PANIC]


async def test_a_device_with_periods_delivers_what_it_recorded() -> None:
    paces = Paces(moving=Pace(1, 2), stopped=Pace(1, 2), roaming=Pace(1, 2))
    async with TinyServer() as server:
        settings = EmulatorSettings(
            port=server.port, paces=paces, records=3, records_per_packet=5, start_ms=START_MS
        )
        device = assemble_device(IMEI, settings, 0)
        report = await DeviceLink(device, settings, Random(1)).run()
    assert report.complete
    assert seconds(server.connections[0].records) == [0, 1, 2]
    assert 2 <= len(server.connections[0].packets) <= 3
