"""Many devices: who they are, when they come, what is counted, and that they end."""

import asyncio
from collections import Counter
from itertools import pairwise
from math import cos, radians
from pathlib import Path

import msgspec
import pytest
from tiny_server import Answer, TinyServer

from teltonika.codecs import consecutive_imeis, luhn_valid
from teltonika.emulator import EmulatorSettings, Fleet, FleetCounts, Route, RouteOffset

FIRST = "356307042441000"
IMEIS = consecutive_imeis(FIRST, 20)


def settings_for(server: TinyServer, **more: object) -> EmulatorSettings:
    defaults = {"records": 3, "interval_s": 0.0, "start_ms": 1_760_000_000_000}
    return EmulatorSettings(port=server.port, **defaults | {"first_retry_s": 0.01} | more)


def test_imeis_follow_each_other_with_right_check_digits() -> None:
    assert all(luhn_valid(imei) for imei in IMEIS)
    assert [imei[:-1] for imei in IMEIS] == [str(35630704244100 + n) for n in range(20)]
    with pytest.raises(ValueError, match="there are no 3 IMEIs"):
        consecutive_imeis("999999999999980", 3)
    with pytest.raises(ValueError, match="15 digits"):
        consecutive_imeis("3563", 3)


async def test_every_device_delivers_its_records() -> None:
    async with TinyServer() as server:
        fleet = Fleet(IMEIS, settings_for(server))
        await fleet.run()
    counts = fleet.counts()
    assert {received.imei for received in server.connections} == set(IMEIS)
    assert all(len(received.records) == 3 for received in server.connections)
    assert (counts.devices, counts.started, counts.finished, counts.connected) == (20, 20, 20, 0)
    assert counts.records_sent == counts.records_acknowledged == 60
    assert counts.most_connected >= 1
    assert counts.complete
    assert counts.latency.count == 60


async def test_the_same_seed_gives_the_same_bytes_from_every_device() -> None:
    async def run(seed: int) -> dict[str, list[bytes]]:
        async with TinyServer() as server:
            await Fleet(IMEIS, settings_for(server, seed=seed)).run()
        return {received.imei: received.packets for received in server.connections}

    first, again, other = await run(1), await run(1), await run(2)
    assert first == again
    assert all(first[imei] != other[imei] for imei in IMEIS)
    assert len({packets[0] for packets in first.values()}) == 20


async def test_devices_set_off_one_after_another() -> None:
    """The ramp is slower than this test: the first are there, the last are not."""
    async with TinyServer() as server:
        fleet = Fleet(IMEIS, settings_for(server, records=0, interval_s=0.05), ramp=0.5)
        running = asyncio.create_task(fleet.run())
        await server.packet_came.wait()
        assert fleet.counts().started == 1
        fleet.stop()
        await running
    assert [received.imei for received in server.connections] == [IMEIS[0]]
    assert fleet.counts().finished == 20
    assert fleet.counts().complete


async def test_they_do_not_send_in_step() -> None:
    """The first packets of devices that set off together are spread over the interval."""
    moments: list[float] = []

    class Watched(TinyServer):
        def answered(self) -> None:
            moments.append(asyncio.get_running_loop().time())

    async with Watched() as server:
        await Fleet(IMEIS, settings_for(server, records=2, interval_s=1.0)).run()
    packets = moments[len(IMEIS) :]
    tenths = Counter(int((moment - moments[0]) * 10) for moment in packets)
    assert max(tenths.values()) <= 10
    assert len(tenths) >= 8


async def test_devices_begin_at_places_of_their_own_on_a_route(tmp_path: Path) -> None:
    """Whether they are one fleet or the parts of one."""
    file = tmp_path / "road.csv"
    file.write_text("lat,lon\n54.70,25.20\n54.70,25.40\n")
    route = Route(file, offset=RouteOffset(metres=500))

    async def begins(*fleets: tuple[list[str], int, int]) -> dict[str, float]:
        async with TinyServer() as server:
            settings = settings_for(server, route=route, records=1)
            for imeis, turn, turns in fleets:
                await Fleet(imeis, settings, turn=turn, turns=turns).run()
        return {received.imei: received.records[0].longitude for received in server.connections}

    whole = await begins((IMEIS[:4], 0, 1))
    parts = await begins((IMEIS[0:4:2], 0, 2), (IMEIS[1:4:2], 1, 2))
    assert whole == parts
    longitudes = [whole[imei] for imei in IMEIS[:4]]
    steps = [second - first for first, second in pairwise(longitudes)]
    metres = [step * 111_320 * cos(radians(54.7)) for step in steps]
    assert metres == pytest.approx([500] * 3, abs=5)


async def test_trouble_is_counted_and_those_who_gave_up_are_named() -> None:
    scripts = [(Answer.HANG_UP,)] * 5
    async with TinyServer(*scripts) as server:
        fleet = Fleet(IMEIS[:5], settings_for(server))
        await fleet.run()
    counts = fleet.counts()
    assert counts.disconnects == 5
    assert sum(counts.reasons.values()) == 5
    assert counts.connections == 10
    assert counts.complete

    async with TinyServer(*([(Answer.RIGHT, Answer.SILENCE)] * 99)) as server:
        fleet = Fleet(IMEIS[:2], settings_for(server, ack_timeout_s=0.05, give_up_after_s=0.2))
        await fleet.run()
    counts = fleet.counts()
    assert (counts.gave_up, counts.complete) == (2, False)
    assert counts.incomplete == IMEIS[:2]


def test_parts_add_up() -> None:
    first = FleetCounts(devices=2, records_sent=5, reasons={"a": 1}, latencies={3: 2})
    second = FleetCounts(devices=3, records_sent=7, reasons={"a": 1, "b": 1}, latencies={3: 1})
    second.latency_max_s = 0.5
    total = FleetCounts.total([first, second])
    assert (total.devices, total.records_sent) == (5, 12)
    assert total.reasons == {"a": 2, "b": 1}
    assert (total.latencies, total.latency_max_s) == ({3: 3}, 0.5)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(total), type=FleetCounts) == total
