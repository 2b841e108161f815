"""What a scenario does to devices, as a server sees it."""

import asyncio
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from tiny_server import Answer, TinyServer

from teltonika.codecs import AvlRecord, consecutive_imeis, decode_packet
from teltonika.emulator import EmulatorSettings
from teltonika.emulator.scenario import Scenario, ScenarioFleet, Verdict

IMEIS = consecutive_imeis("356307042441000", 4)
START_MS = 1_760_000_000_000


def scenario(*steps: dict[str, object], **expect: object) -> Scenario:
    return msgspec.convert({"steps": list(steps), "expect": expect}, Scenario)


async def run(
    told: Scenario,
    *,
    imeis: Sequence[str] = IMEIS[:1],
    duration: float | None = 1.0,
    server: TinyServer | None = None,
    **more: object,
) -> tuple[TinyServer, ScenarioFleet]:
    async with server or TinyServer() as server:
        settings = EmulatorSettings(
            port=server.port,
            **{"interval_s": 0.02, "records": 0, "start_ms": START_MS, "give_up_after_s": 5.0}
            | more,
        )
        fleet = ScenarioFleet(told, imeis, settings, duration=duration)
        await fleet.run()
    return server, fleet


def records(server: TinyServer, imei: str = IMEIS[0]) -> list[AvlRecord]:
    return [one for got in server.connections if got.imei == imei for one in got.records]


def io_values(server: TinyServer, io_id: int) -> list[int | bytes | None]:
    return [record.io.get(io_id) for record in records(server)]


async def test_panic_comes_at_its_time_to_the_chosen_devices() -> None:
    server, fleet = await run(
        scenario({"do": "panic", "at": 0.3, "devices": [2]}), imeis=IMEIS, duration=0.6
    )
    assert [record.priority for record in records(server, IMEIS[1])].count(2) == 1
    for imei in (IMEIS[0], IMEIS[2], IMEIS[3]):
        assert all(record.priority < 2 for record in records(server, imei))
    assert [verdict.passed for verdict in fleet.verdicts()] == [True]


async def test_a_condition_is_met_by_each_device_for_itself() -> None:
    server, fleet = await run(
        scenario({"do": "panic", "when": {"records_acknowledged": 5}}), imeis=IMEIS, duration=0.6
    )
    for imei in IMEIS:
        priorities = [record.priority for record in records(server, imei)]
        assert priorities.index(2) in {5, 6}
        assert priorities.count(2) == 1
    assert all(verdict.passed for verdict in fleet.verdicts())


async def test_a_condition_that_is_never_met_fails_the_scenario() -> None:
    _, fleet = await run(
        scenario({"do": "panic", "when": {"records_acknowledged": 10_000}}), duration=0.2
    )
    assert fleet.verdicts()[-1] == Verdict(
        "panic once records_acknowledged is 10000",
        passed=False,
        saw="never for 1 devices: " + IMEIS[0],
    )


async def test_a_lost_network_ends_in_a_flood_that_misses_nothing() -> None:
    server, fleet = await run(
        scenario({"do": "lose-network", "at": 0.2, "for": 0.4}, all_acknowledged=True), duration=0.8
    )
    assert len(server.connections) == 2
    timestamps = [record.timestamp_ms for record in records(server)]
    assert sorted(set(timestamps)) == list(range(START_MS, max(timestamps) + 1, 20))
    assert len(set(timestamps)) >= 35  # all of 0.8 s, one each 20 ms
    assert all(verdict.passed for verdict in fleet.verdicts())


async def test_it_waits_for_what_piled_up_past_the_last_step() -> None:
    server, _ = await run(scenario({"do": "lose-network", "at": 0.1, "for": 0.5}), duration=None)
    timestamps = {record.timestamp_ms for record in records(server)}
    assert len(timestamps) >= 28


async def test_devices_that_are_never_idle_together_do_not_hold_up_the_end() -> None:
    async def answer_late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(17)
        writer.write(b"\x01")
        while await reader.read(1_000):
            await asyncio.sleep(0.05)  # half of the interval: at any time half of them wait
            writer.write((1).to_bytes(4))
        writer.close()

    server = await asyncio.start_server(answer_late, "127.0.0.1", 0)
    settings = EmulatorSettings(
        port=server.sockets[0].getsockname()[1], records=0, interval_s=0.1, give_up_after_s=5.0
    )
    fleet = ScenarioFleet(scenario(), consecutive_imeis(IMEIS[0], 40), settings, duration=0.3)
    async with server, asyncio.timeout(4):
        await fleet.run()
    assert all(verdict.passed for verdict in fleet.verdicts())


async def test_what_would_be_recorded_asleep_is_never_recorded() -> None:
    server, _ = await run(scenario({"do": "sleep", "at": 0.2, "for": 0.4}), duration=0.8)
    assert len(server.connections) == 2
    timestamps = [record.timestamp_ms for record in records(server)]
    gaps = [after - before for before, after in pairwise(timestamps)]
    assert max(gaps) == 400 + 20
    assert len(timestamps) <= 25


async def test_a_reboot_is_another_connection() -> None:
    server, fleet = await run(
        scenario({"do": "reboot", "at": 0.2}), duration=0.5, restart_after_s=0.1
    )
    assert len(server.connections) == 2
    assert fleet.counts().disconnects == 1


async def test_without_a_fix_it_stays_where_it_was_with_no_satellites() -> None:
    server, _ = await run(
        scenario({"do": "lose-gnss", "at": 0.2, "for": 0.2}), duration=0.6, interval_s=0.01
    )
    got = records(server)
    lost = [place for place, record in enumerate(got) if record.satellites == 0]
    assert 15 <= len(lost) <= 25
    assert lost == list(range(lost[0], lost[-1] + 1))
    last_fix = got[lost[0] - 1]
    for record in got[lost[0] : lost[-1] + 1]:
        assert (record.latitude_e7, record.longitude_e7) == (
            last_fix.latitude_e7,
            last_fix.longitude_e7,
        )
        assert (record.speed, record.angle, record.io.get(69), record.io.get(24)) == (0, 0, 2, 0)
    assert got[-1].io.get(69) == 1


def when(records_acknowledged: int, verb: str) -> dict[str, object]:
    return {"do": verb, "when": {"records_acknowledged": records_acknowledged}}


async def test_parked_it_stands_without_ignition_until_it_drives() -> None:
    server, _ = await run(
        scenario(when(100, "park"), when(1_000, "drive")),
        duration=60.0,
        interval_s=0.0,
        records=1_100,
    )
    got = records(server)
    assert len({record.io.get(16) for record in got[130:1_000]}) == 1
    assert {(record.io.get(239), record.speed) for record in got[130:1_000]} == {(0, 0)}
    assert got[1_010].io.get(239) == 1
    assert got[1_060].io.get(16) > got[1_000].io.get(16)


async def test_towed_it_moves_without_ignition() -> None:
    server, _ = await run(
        scenario(when(100, "tow"), when(300, "end-tow")),
        duration=60.0,
        interval_s=0.0,
        records=400,
    )
    got = records(server)
    assert {record.io.get(239) for record in got[101:300]} == {0}
    assert any(record.speed for record in got[101:300])
    assert any(record.event_io_id == 246 for record in got[101:300])
    assert any(record.io.get(239) for record in got[302:])


async def test_unplugged_it_says_so_for_a_while() -> None:
    server, _ = await run(scenario({"do": "unplug", "at": 0.1, "for": 0.2}), duration=0.6)
    unplugged = [place for place, value in enumerate(io_values(server, 252)) if value == 1]
    assert 6 <= len(unplugged) <= 14
    assert unplugged == list(range(unplugged[0], unplugged[-1] + 1))


@pytest.mark.parametrize(("name", "codec_id", "reasons"), [("16", 0x10, True), ("8", 0x08, False)])
async def test_the_codec_changes(name: str, codec_id: int, reasons: bool) -> None:
    server, _ = await run(
        scenario({"do": "codec", "codec": name, "when": {"packets_acknowledged": 3}}), duration=0.3
    )
    packets = [decode_packet(packet) for packet in server.connections[0].packets]
    assert [packet.codec_id for packet in packets[:3]] == [0x8E] * 3
    assert packets[-1].codec_id == codec_id
    assert (packets[-1].records[0].generation_type is not None) == reasons


async def test_a_fault_strikes_the_chosen_device_once() -> None:
    server, fleet = await run(
        scenario({"do": "fault", "fault": "duplicate", "at": 0.1, "devices": [2]}),
        imeis=IMEIS,
        duration=0.4,
    )
    assert fleet.counts().faults == {"duplicate": 1}
    doubled = [
        imei for imei in IMEIS if len(set(records(server, imei))) < len(records(server, imei))
    ]
    assert doubled == [IMEIS[1]]


async def test_refusal_can_be_expected() -> None:
    server = TinyServer(*([[Answer.WRONG]] * 50))
    _, fleet = await run(scenario(refused=True), server=server, duration=0.3, give_up_after_s=0.3)
    assert [verdict.passed for verdict in fleet.verdicts()] == [True]
    _, fleet = await run(scenario(refused=True), duration=0.3)
    assert [verdict.passed for verdict in fleet.verdicts()] == [False]


async def test_a_packet_sent_again_fails_where_none_is_expected() -> None:
    server = TinyServer([Answer.RIGHT, Answer.WRONG])
    _, fleet = await run(scenario(no_resend=True), server=server, duration=0.3)
    assert [verdict.passed for verdict in fleet.verdicts()] == [True, False]


async def test_a_program_asks_and_its_failure_is_told(tmp_path: Path) -> None:
    asked = tmp_path / "asked"
    step = {"do": "ask", "at": 0.1, "run": ["sh", "-c", f"echo {{imei}} >> {asked}"]}
    _, fleet = await run(scenario(step, command_answered_within=5), imeis=IMEIS, duration=None)
    assert sorted(asked.read_text().split()) == IMEIS
    assert all(verdict.passed for verdict in fleet.verdicts())
    step["run"] = ["sh", "-c", "echo no such device >&2; exit 3"]
    _, fleet = await run(scenario(step, command_answered_within=5), duration=None)
    assert "sh ended with 3: no such device" in fleet.verdicts()[-1].saw
    step["run"] = ["no-such-program"]
    _, fleet = await run(scenario(step, command_answered_within=5), duration=None)
    assert "cannot run 'no-such-program'" in fleet.verdicts()[-1].saw


async def test_counts_can_be_expected() -> None:
    told = scenario(at_least={"records_acknowledged": 5}, at_most={"connections": 0})
    _, fleet = await run(told, duration=0.3)
    assert [verdict.passed for verdict in fleet.verdicts()] == [True, True, False]


def _without_duration(settings: EmulatorSettings) -> None:
    ScenarioFleet(scenario({"do": "panic", "when": {"connections": 1}}), IMEIS, settings)


def _no_such_device(settings: EmulatorSettings) -> None:
    ScenarioFleet(scenario({"do": "panic", "at": 1, "devices": [5]}), IMEIS, settings)


@pytest.mark.parametrize(
    ("make", "complaint"),
    [(_without_duration, "with a duration"), (_no_such_device, "step 1: .*no device 5 among 4")],
)
async def test_what_cannot_run_is_refused(
    make: Callable[[EmulatorSettings], None], complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint):
        make(EmulatorSettings())


async def test_nothing_sent_is_not_everything_acknowledged() -> None:
    server = TinyServer(*([[Answer.HANG_UP]] * 50))
    _, fleet = await run(scenario(), server=server, duration=0.2, give_up_after_s=0.3)
    assert [verdict.passed for verdict in fleet.verdicts()] == [False]


async def test_a_text_comes_once_even_where_the_network_is_lost_meanwhile() -> None:
    server, fleet = await run(
        scenario(
            {"do": "lose-network", "at": 0.1, "for": 0.2},
            {"do": "text", "at": 0.2, "text": "door \u00e9"},
            {"do": "text", "at": 0.4, "text": "RS-232", "codec": "15"},
        ),
        duration=0.6,
    )
    before, after = server.connections
    assert before.messages == []
    first, second = after.messages
    assert (first.codec_id, first.text, first.imei) == (0x0D, "door \u00e9", None)
    assert (second.codec_id, second.text, second.imei) == (0x0F, "RS-232", IMEIS[0])
    assert fleet.counts().texts == 2
    assert fleet.counts().complete
