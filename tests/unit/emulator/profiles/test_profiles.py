"""Profiles: those that come along, and what is wrong with others."""

from itertools import islice, pairwise
from pathlib import Path

import pytest

from teltonika.codecs import AVL_CODECS, MAX_PACKET_SIZE, AvlRecord, decode_packet, encode_packet
from teltonika.codecs.io_catalog import io_catalog
from teltonika.emulator import Drive, EmulatorSettings, Geofence, assemble_device, driving_events
from teltonika.emulator import drive as drive_module
from teltonika.emulator.commands import execute
from teltonika.emulator.profiles import Pace, Paces, ProfileError, built_in_profiles, read_profile
from teltonika.emulator.profiles.driven import DRIVEN, EVENTS
from teltonika.emulator.vehicle import VILNIUS

IMEI = "356307042441013"
START_MS = 1_760_000_000_000
RIGHT = """
model = "FMB120"
codecs = ["8E"]
getver = "Ver:1 IMEI:{imei}"
elements = ["Ignition", 66, "Dallas Temperature 1"]

[values]
"Dallas Temperature 1" = [-50, 250]

[sending]
ack_timeout_s = 20
"""


def records(name: str, count: int = 300, seed: int = 1) -> list[AvlRecord]:
    profile = read_profile(name)
    settings = EmulatorSettings(
        profile=profile, codec=profile.codecs[0], start_ms=START_MS, seed=seed
    )
    return list(islice(assemble_device(IMEI, settings, START_MS).records, count))


def test_the_ones_that_come_along() -> None:
    assert built_in_profiles() == ["fmb120", "fmb640", "fmb920", "fmc130", "tat100"]


@pytest.mark.parametrize("name", ["fmb120", "fmb640", "fmb920", "fmc130", "tat100"])
def test_records_have_its_elements_in_widths_of_the_dictionary(name: str) -> None:
    profile = read_profile(name)
    assert profile.model == name.upper()
    wanted = {element.io_id for element in profile.elements}
    for record in records(name):
        ids = [element.id for element in record.io]
        assert len(ids) == len(set(ids))
        assert wanted <= set(ids)
        for element in record.io:
            row = io_catalog().by_id(element.id, profile.model)
            if element.id in wanted:
                assert row is not None
                assert element.width == row.width
    for codec in profile.codecs:
        reasons = codec.name == "16"
        settings = EmulatorSettings(profile=profile, codec=codec)
        some = tuple(islice(assemble_device(IMEI, settings, START_MS).records, 20))
        decoded = decode_packet(encode_packet(codec, some)).records
        assert decoded == some
        assert all((record.generation_type is not None) == reasons for record in some)


def driven_with(name: str, *, seed: int = 1) -> Drive:
    profile = read_profile(name)
    settings = EmulatorSettings(
        profile=profile,
        codec=profile.codecs[0],
        start_ms=START_MS,
        seed=seed,
        speed_limit_kmh=20,
        geofence=Geofence(*VILNIUS, 100_000),
    )
    drive = assemble_device(IMEI, settings, START_MS).records
    assert isinstance(drive, Drive)
    return drive


def eventful(drive: Drive) -> list[AvlRecord]:
    """Records of a drive in which everything happens that can be an event."""
    made = list(islice(drive, 60))
    for happening in (drive.unplug, drive.tow, drive.panic, drive.plug, drive.end_tow):
        happening()
        made += islice(drive, 10)
    return made


@pytest.mark.parametrize("name", ["fmb120", "fmb640", "fmb920", "fmc130", "tat100"])
def test_events_are_of_elements_that_the_model_has(name: str) -> None:
    profile = read_profile(name)
    meanings = {number: name for name, number in (DRIVEN | EVENTS).items()}
    made = eventful(driven_with(name))
    events = {record.event_io_id for record in made if record.event_io_id}
    for io_id in events | {element.id for record in made for element in record.io}:
        row = io_catalog().by_id(io_id, profile.model)
        assert row is not None
        assert io_id not in meanings or DRIVEN.get(row.name, EVENTS.get(row.name)) == io_id
    assert all(
        record.io.get(record.event_io_id) is not None for record in made if record.event_io_id
    )
    assert all(record.priority == 0 for record in made if not record.event_io_id)
    assert {1, 240, 246, 255} <= events
    assert (239 in events) == (name != "tat100")
    assert (252 in events) == (name != "fmb640")


def test_an_event_has_the_id_that_the_model_calls_the_element_by(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    text = RIGHT.replace("FMB120", "FMC650").replace('"Ignition"', '10883, "Movement"')
    path.write_text(text.replace("Dallas Temperature 1", "PCB Temperature"))
    events = [record.event_io_id for record in records(str(path))]
    assert 10_883 in events
    assert 239 not in events


def test_what_the_profile_itself_says_does_not_change(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text(RIGHT.replace("[values]", "[values]\nIgnition = 1"))
    made = records(str(path))
    assert {(record.event_io_id, record.io.get(239)) for record in made} == {(0, 1)}


def test_another_element_of_that_id_keeps_its_own_value(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    text = RIGHT.replace("FMB120", "FMB640").replace("66", '"Authorized Driving"')
    text = text.replace('"Dallas Temperature 1" =', '"Authorized Driving" = 3\n"PCB Temperature" =')
    path.write_text(text.replace("Dallas Temperature 1", "PCB Temperature"))
    drive = driven_with(str(path))
    drive.unplug()
    assert {record.io.get(252) for record in islice(drive, 20)} == {3}


def test_what_the_drive_knows_comes_from_the_drive() -> None:
    settings = EmulatorSettings(start_ms=START_MS, seed=1)
    plain = list(islice(assemble_device(IMEI, settings, START_MS).records, 300))
    for with_profile, without in zip(records("fmb920"), plain, strict=True):
        assert with_profile.timestamp_ms == without.timestamp_ms
        assert with_profile.latitude_e7 == without.latitude_e7
        for io_id in (239, 240, 66, 67, 24, 16, 199, 21):
            assert with_profile.io.get(io_id) == without.io.get(io_id)
    assert any(record.io.get(239) for record in plain)


def test_the_drive_calls_them_by_the_ids_it_has() -> None:
    for name, constant in (
        ("Ignition", drive_module.IGNITION),
        ("GNSS Status", drive_module.GNSS_STATUS),
        ("Speed", drive_module.SPEED),
        ("Total Odometer", drive_module.TOTAL_ODOMETER),
        ("External Voltage", drive_module.EXTERNAL_VOLTAGE),
    ):
        assert DRIVEN[name] == constant
    for name, constant in (
        ("Digital Input 1", drive_module.DIGITAL_INPUT_1),
        ("Geofence zone 01", driving_events.GEOFENCE_ZONE_01),
        ("Towing", drive_module.TOWING),
        ("Unplug", drive_module.UNPLUG),
        ("Green driving type", driving_events.GREEN_DRIVING_TYPE),
        ("Green Driving Value", driving_events.GREEN_DRIVING_VALUE),
        ("Over Speeding", driving_events.OVER_SPEEDING),
    ):
        assert EVENTS[name] == constant


def test_values_wander_in_their_range_and_signed_ones_are_twos_complement(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text(RIGHT)
    values = [record.io.get(72) for record in records(str(path), 2_000)]
    signed = [value - (1 << 32) if value >> 31 else value for value in values if value is not None]
    assert -50 <= min(signed) < 0 < max(signed) <= 250
    steps = [abs(after - before) for before, after in pairwise(signed)]
    assert 0 < max(steps) <= 6
    assert values == [record.io.get(72) for record in records(str(path), 2_000)]
    assert values != [record.io.get(72) for record in records(str(path), 2_000, seed=2)]


@pytest.mark.parametrize("name", ["fmb120", "fmb640", "fmb920", "fmc130", "tat100"])
def test_getver_says_the_model(name: str) -> None:
    device = assemble_device(IMEI, EmulatorSettings(profile=read_profile(name)), START_MS)
    execution = execute(b"getver", device.unit, device.report)
    assert execution is not None
    assert f"Hw:{name.upper()} " in execution.answer
    assert f"IMEI:{IMEI} Init:2025-10-9 8:53 Uptime:0 MAC:60BDD0" in execution.answer


def test_a_profile_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text(RIGHT)
    profile = read_profile(str(path))
    assert (profile.name, profile.model, profile.ack_timeout_s) == ("own", "FMB120", 20)
    assert (profile.connect_timeout_s, profile.reconnect_s) == (10, 0.25)
    path.write_text(RIGHT + "connect_timeout_s = 20\nreconnect_s = 5\n")
    profile = read_profile(str(path))
    assert (profile.connect_timeout_s, profile.reconnect_s) == (20, 5)
    assert profile.codecs == (AVL_CODECS.by_name("8E"),)
    assert [element.io_id for element in profile.elements] == [239, 66, 72]


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        (("FMB120", "FMB121x"), "line 2: model: 'FMB121x' is not in the IO dictionary"),
        (('["8E"]', '["9"]'), "line 3: codecs: .*9"),
        (('["8E"]', "[]"), "line 3: codecs: expected a list"),
        (("{imei}", "{imie}"), "line 4: getver: the names in braces are imei"),
        (('"Ignition"', '"Ignitoin"'), "line 5: elements: .*'Ignitoin'; did you mean 'Ignition'"),
        (("66,", "66, 66,"), "line 5: elements: External Voltage stands there twice"),
        (("66,", '"Battery Level",'), r"line 5: elements: say under \[values\] what Battery Level"),
        (("66,", "70000,"), "line 5: elements: FMB120 has no IO element 70000"),
        (
            ("[-50, 250]", "[250, -50]"),
            r"line 8: \[values\] Dallas Temperature 1: expected a number",
        ),
        (("[-50, 250]", "'x'"), r"line 8: \[values\] Dallas .*found 'x'"),
        (("[-50, 250]", "[0, 9999999999]"), r"line 8: \[values\] Dallas .*expected -2147483648 to"),
        (
            ('"Dallas Temperature 1" =', '"Speed" = 1\n"Dallas Temperature 1" ='),
            "line 8: .*Speed: is not among",
        ),
        (
            ("ack_timeout_s = 20", "ack_timeout_s = 'x'"),
            r"line 11: \[sending\] ack_timeout_s: expected a number",
        ),
        (("ack_timeout_s = 20", "ack_timeout_s = 0"), "line 11: .*expected 1 to 86400, found 0"),
        (
            ("ack_timeout_s", "ack_timout_s"),
            "line 11: .*no field of a profile; did you mean 'ack_timeout_s'",
        ),
        (("codecs", "codec"), "codec: is no field of a profile; did you mean 'codecs'"),
        (("[values]", "[values"), "line 7"),
        (('"FMB120"', '["FMB120"]'), r"line 2: model: \['FMB120'\] is not in the IO dictionary"),
        (('"FMB120"', "{ a = 1 }"), "line 2: model: .* is not in the IO dictionary"),
        (('"Ver:1 IMEI:{imei}"', '["x"]'), "line 4: getver: expected printable ASCII text"),
        (("Ver:1", "Ver:\\n1"), "line 4: getver: expected printable ASCII text"),
        (("Ver:1", "Ver:\\u00e41"), "line 4: getver: expected printable ASCII text"),
        (("Ver:1", "Ver:\\u007f1"), "line 4: getver: expected printable ASCII text"),
        (("{imei}", "{imei:>1000000}"), "line 4: getver: expected nothing but a name in"),
        (("{imei}", "{imei!r}"), "line 4: getver: expected nothing but a name in"),
        (("{imei}", "{imei.real}"), "line 4: getver: the names in braces are imei"),
        (("{imei}", "{}"), "line 4: getver: the names in braces are imei"),
        (("{imei}", "{imei"), "line 4: getver: the names in braces are imei"),
        (("66,", "true,"), "line 5: elements: expected names and ids, found True"),
        (("66,", "1.0,"), "line 5: elements: expected names and ids, found 1.0"),
        (("66,", "\n66,\n'Speedo',"), "line 7: elements: .*'Speedo'; did you mean 'Speed'"),
        (("66,", "\n66,\n66,"), "line 7: elements: External Voltage stands there twice"),
        (("66,", f"0x1{'0' * 5_000},"), "line 5: elements: FMB120 has no IO element"),
        (("66,", f"1{'0' * 5_000},"), "own.toml: "),
        (('"FMB120"', f"0x1{'0' * 5_000}"), "line 2: model: a number of too many digits is not in"),
        (
            ('"Dallas Temperature 1" =', '72 = 5\n"Dallas Temperature 1" ='),
            r"line 9: \[values\] Dallas Temperature 1: stands there twice",
        ),
        (
            ('"Dallas Temperature 1" =', '24 = 5\n"Dallas Temperature 1" ='),
            r"line 8: \[values\] 24: is not among the elements",
        ),
        (
            ('"Dallas Temperature 1" =', '"Ignitoin" = 5\n"Dallas Temperature 1" ='),
            r"line 8: \[values\] Ignitoin: is not among the elements; did you mean 'Ignition'",
        ),
        (
            ('[values]\n"Dallas Temperature 1" =', '\nvalues."Dallas Temperature 1" = 1.5 #'),
            r"line 8: \[values\] Dallas Temperature 1: expected a number",
        ),
        (
            ("[sending]\nack_timeout_s = 20", "[sending]\nrecords_per_packet = 2.7"),
            r"line 11: \[sending\] records_per_packet: expected a whole number, found 2.7",
        ),
        (
            ("[sending]\nack_timeout_s = 20", "[sending]\nrecords_per_packet = true"),
            r"line 11: \[sending\] records_per_packet: expected a whole number, found True",
        ),
        (
            ("[sending]\nack_timeout_s = 20", "[sending]\nack_timeout_s = nan"),
            "line 11: .*expected 1 to 86400, found nan",
        ),
    ],
)
def test_what_is_wrong_is_named_with_line_and_field(
    tmp_path: Path, wrong: tuple[str, str], complaint: str
) -> None:
    path = tmp_path / "own.toml"
    assert wrong[0] in RIGHT
    path.write_text(RIGHT.replace(wrong[0], wrong[1], 1))
    with pytest.raises(ProfileError, match=complaint):
        read_profile(str(path))


@pytest.mark.parametrize(
    ("key", "value"),
    [('"dallas temperature 1"', 7), ("72", 7), ("'72'", 7), ('"DALLAS Temperature 1"', -7)],
)
def test_values_are_of_names_in_whatever_case_or_of_ids(
    tmp_path: Path, key: str, value: int
) -> None:
    path = tmp_path / "own.toml"
    text = RIGHT.replace('"Dallas Temperature 1"]', "72]")
    path.write_text(text.replace('"Dallas Temperature 1" = [-50, 250]', f"{key} = {value}"))
    assert [(element.low, element.high) for element in read_profile(str(path)).elements] == [
        *((0, 0), (0, 0), (value, value))
    ]


@pytest.mark.parametrize(
    ("top", "complaint"),
    [
        ("sending.ack_timeout_s = 0", r"line 7: \[sending\] ack_timeout_s: expected 1 to"),
        ("sending = { ack_timeout_s = 0 }", r"line 7: \[sending\] ack_timeout_s: expected 1 to"),
        ("sending . 'reconnect_s' = 0", r"line 7: \[sending\] reconnect_s: expected 0.01 to"),
        ("moving.send_period_s = 1", "line 1: stopped: is missing"),
        (
            "stopped = { send_period_s = 1, record_period_s = 1 }\nmoving.send_period_s = 1",
            r"line 8: \[moving\] record_period_s: is missing",
        ),
    ],
)
def test_the_line_is_right_however_the_table_is_written(
    tmp_path: Path, top: str, complaint: str
) -> None:
    path = tmp_path / "own.toml"
    path.write_text(RIGHT.split("[sending]", maxsplit=1)[0].replace("[values]", f"{top}\n[values]"))
    with pytest.raises(ProfileError, match=complaint):
        read_profile(str(path))


def with_widths(*widths: str, elements: str = "", values: str = "") -> str:
    text = RIGHT.replace("66,", f"66, {elements}").replace("[values]", f"[values]\n{values}")
    return text + "\n".join(("[widths]", *widths))


def test_a_width_is_that_of_the_profile_where_it_says_one(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text(with_widths("'external voltage' = 4", "72 = 2", "Ignition = 8"))
    assert [(element.io_id, element.width) for element in read_profile(str(path)).elements] == [
        *((72, 2), (66, 4), (239, 8))
    ]
    made = records(str(path))
    assert {record.io.counts for record in made if not record.event_io_id} == {(0, 1, 1, 1)}
    path.write_text(RIGHT)
    for wide, usual in zip(made, records(str(path)), strict=True):
        assert wide.io.get(66) == usual.io.get(66)
        assert wide.io.get(239) == usual.io.get(239)
    codec = AVL_CODECS.by_name("8E")
    assert decode_packet(encode_packet(codec, tuple(made[:20]))).records == tuple(made[:20])


def test_a_variable_width_is_that_of_the_text_under_values(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text(
        with_widths(
            *(
                "VIN = 'variable'",
                '"Driver Name" = "variable"',
                "281 = 'variable'",
                "24 = 'variable'",
            ),
            elements="'VIN', 'Driver Name', 281, 'Speed',",
            values="vin = 'WVWZZZ1JZXW000001'\n403 = '00ffA0'\n'Fault Codes' = ''\nSpeed = '01'",
        )
    )
    made = records(str(path))
    for record in made:
        assert record.io.variable == (
            *((256, b"WVWZZZ1JZXW000001"), (403, b"\x00\xff\xa0"), (281, b""), (24, b"\x01")),
        )
    codec = AVL_CODECS.by_name("8E")
    assert decode_packet(encode_packet(codec, tuple(made[:20]))).records == tuple(made[:20])


def test_an_element_without_a_width_in_the_dictionary_can_have_one(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text(with_widths("VIN = 8", elements="'VIN',", values="VIN = 7"))
    assert {record.io.get(256) for record in records(str(path))} == {7}


def test_as_many_records_as_fit_a_packet_fit_whatever_happens(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    values = f"VIN = '{'a' * 1_000}'"
    text = with_widths("VIN = 'variable'", elements="'VIN',", values=values)
    path.write_text(text)
    most = read_profile(str(path)).records_that_fit
    assert most == 61
    made = eventful(driven_with(str(path)))
    largest = max(made, key=lambda record: len(record.io))
    assert len(encode_packet(AVL_CODECS.by_name("8E"), (largest,) * most)) <= MAX_PACKET_SIZE
    path.write_text(text.replace("[sending]", "[sending]\nrecords_per_packet = 61"))
    assert read_profile(str(path)).records_per_packet == 61
    path.write_text(text.replace("[sending]", "[sending]\nrecords_per_packet = 62"))
    complaint = (
        r"line 12: \[sending\] records_per_packet: of these elements at most 61 fit a packet"
    )
    with pytest.raises(ProfileError, match=complaint):
        read_profile(str(path))


def test_what_a_profile_says_in_text_is_no_event(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text(with_widths("1 = 'variable'", elements="1,", values="1 = 'FF'"))
    drive = driven_with(str(path))
    drive.panic()
    made = list(islice(drive, 5))
    assert {record.event_io_id for record in made} <= {0, 239}
    assert {record.io.get(1) for record in made} == {b"\xff"}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (with_widths("66 = 3"), r"14: \[widths\] 66: expected 1, 2, 4, 8 or 'variable', found 3"),
        (with_widths("66 = true"), r"14: \[widths\] 66: expected 1, 2, .*, found True"),
        (with_widths("66 = 2.0"), r"14: \[widths\] 66: expected 1, 2, .*, found 2.0"),
        (with_widths("66 = [1]"), r"14: \[widths\] 66: expected 1, 2, .*, found \[1\]"),
        (with_widths("66 = 'Variable'"), r"14: \[widths\] 66: expected 1, 2, .*'Variable'"),
        (with_widths("Speed = 2"), r"14: \[widths\] Speed: is not among the elements"),
        (with_widths("Ignitoin = 2"), r"14: \[widths\] Ignitoin: is not .*did you mean 'Ignition'"),
        (with_widths("66 = 1", '"External Voltage" = 2'), r"15: \[widths\] External .* twice"),
        (
            with_widths("72 = 1").replace("[-50, 250]", "[-50, 128]"),
            r"9: \[values\] Dallas Temperature 1: expected -128 to 127",
        ),
        (
            with_widths(elements="'VIN',"),
            r"5: elements: VIN has no fixed width: say one under \[wi",
        ),
        (
            with_widths("66 = 'variable'"),
            r"5: elements: say under \[values\] what External Voltage is",
        ),
        (
            with_widths("VIN = 'variable'", elements="'VIN',", values="VIN = 7"),
            r"8: \[values\] VIN: expected ASCII text, found 7",
        ),
        (
            with_widths("VIN = 'variable'", elements="'VIN',", values="VIN = '\u00e4'"),
            r"8: \[values\] VIN: expected ASCII text",
        ),
        (
            with_widths("403 = 'variable'", elements="403,", values="403 = 'xy'"),
            r"8: \[values\] 403: expected hex digits, found 'xy'",
        ),
        (
            with_widths("VIN = 'variable'", elements="'VIN',", values=f"VIN = '{'a' * 1_300}'"),
            r"8: \[values\] VIN: expected at most 1200 bytes, found 1300",
        ),
        (
            with_widths("VIN = 'variable'", elements="'VIN',", values="VIN = 'a'").replace(
                '["8E"]', '["8E", "16"]'
            ),
            "3: codecs: codec 16 cannot carry VIN: its width is variable",
        ),
    ],
)
def test_what_is_wrong_with_widths(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "own.toml"
    path.write_text(text)
    with pytest.raises(ProfileError, match=f"line {complaint}"):
        read_profile(str(path))


def test_codec_8_has_no_ids_above_255(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    text = RIGHT.replace('["8E"]', '["8E", "8"]').replace("66", '"BT Status"')
    path.write_text(text.replace("[values]", '[values]\n"BT Status" = 1'))
    with pytest.raises(
        ProfileError, match="line 3: codecs: codec 8 cannot carry BT Status: its id is 263"
    ):
        read_profile(str(path))


def test_what_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match=r"'fmb9' is none of fmb120, .*, and no TOML file"):
        read_profile("fmb9")
    with pytest.raises(ProfileError, match=r"cannot read .*: No such file"):
        read_profile(str(tmp_path / "none.toml"))


PERIODS = """
[moving]
record_period_s = 5
send_period_s = 30
[stopped]
record_period_s = 600
send_period_s = 600
[buffer]
size = 100
order = "newest first"
"""


def test_periods_and_the_buffer(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text(RIGHT)
    assert read_profile(str(path)).paces is None
    path.write_text(RIGHT + PERIODS)
    assert read_profile(str(path)).paces == Paces(
        moving=Pace(5, 30),
        stopped=Pace(600, 600),
        roaming=Pace(5, 30),
        buffer_size=100,
        newest_first=True,
    )
    assert all(read_profile(name).paces for name in built_in_profiles())


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        (
            ("record_period_s = 5", "record_period_s = 0"),
            r"line 14: \[moving\] record_period_s: exp",
        ),
        (("send_period_s = 30", ""), r"line 13: \[moving\] send_period_s: is missing"),
        (("[stopped]", "[roaming]"), "stopped: is missing"),
        (
            ("newest first", "random"),
            r"line 21: \[buffer\] order: expected one of oldest first, ne",
        ),
        (("size = 100", "size = 0"), r"line 20: \[buffer\] size: expected 1 to"),
        (("size = 100", "size = 2.7"), r"line 20: \[buffer\] size: expected a whole number"),
        (("size", "sise"), r"line 20: \[buffer\] sise: .*did you mean 'size'"),
    ],
)
def test_what_is_wrong_with_periods(tmp_path: Path, wrong: tuple[str, str], complaint: str) -> None:
    path = tmp_path / "own.toml"
    path.write_text(RIGHT + PERIODS.replace(wrong[0], wrong[1], 1))
    with pytest.raises(ProfileError, match=complaint):
        read_profile(str(path))
