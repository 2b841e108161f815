"""What a device answers: the documented forms, filled with its own state."""

import re

import pytest
from msgspec import structs
from samples import sample

from teltonika.codecs import AvlRecord, IoElement, IoElements
from teltonika.emulator import DeviceReport, Unit
from teltonika.emulator.commands import MAX_COMMAND_LENGTH, Effect, execute

IMEI = "352093081452251"
STARTED_MS = 1_563_780_120_000  # 2019-07-22 07:22:00 UTC
NOW_MS = STARTED_MS + 17_234_500  # 12:09:14.5
RECORD = AvlRecord(
    timestamp_ms=1_187_960_676_000,  # 2007-08-24 13:04:36 UTC
    priority=0,
    longitude_e7=253_030_400,
    latitude_e7=547_147_300,
    altitude=147,
    angle=77,
    satellites=7,
    speed=50,
    io=IoElements.of(
        [
            IoElement(239, 1, 1),
            IoElement(240, 1, 1),
            IoElement(21, 5, 1),
            IoElement(66, 14_123, 2),
            IoElement(241, 24_602, 4),
            IoElement.variable(256, b"WVWZZZ"),
        ]
    ),
)

DOCUMENTED = {
    "getinfo": "INI:2019/7/22 7:22 RTC:2019/7/22 7:53 RST:2 ERR:1 SR:0 BR:0 CF:0 FG:0 FL:0 "
    "TU:0/0 UT:0 SMS:0 NOGPS:0:30 GPS:1 SAT:0 RS:3 RF:65 SF:1 MD:0",
    "getver": "Ver:03.18.14_04 GPS:AXN_5.10_3333 Hw:FMB120 Mod:15 IMEI:352093081452251 "
    "Init:2018-11-22 7:13 Uptime:17234 MAC:60BDD0016261 SPC:1(0) AXL:0 OBD:0 BL:1.6 BT:4",
    "getstatus": "Data Link: 1 GPRS: 1 Phone: 0 SIM: 0 OP: 24602 Signal: 5 NewSMS: 0 Roaming: 0 "
    "SMSFull: 0 LAC: 1 Cell ID: 864",
    "getgps": "GPS:1 Sat:7 Lat:54.71473 Long:25.30304 Alt:147 Speed:0 Dir:77 Date: 2007/8/24 "
    "Time: 13:4:36",
    "getio": "DI1:1 DI2:0 DI3:0 AIN1:0 AIN2:16924 DO1:0 DO2:1",
    "getimeiccid": "IMEI: 358480084593450, CCID: 8937002180500123456",
    "readio 3": "IO ID:3 Value:0",
    "setdigout 10 5 0": "DOUTS are set to:10 TMOs are: 5 0",
    "getparam 2004": "Param ID:2004 Val:example.org",
    "setparam 2004:example.org": "Param ID:2004 New Val:example.org",
}
"""Commands and answers as Teltonika's documentation has them."""


def form(documented: str) -> str:
    """A pattern: the documented answer, with any number where it has one."""
    pattern = re.sub(r"\d+", lambda _: r"\d+", re.escape(documented))
    return pattern.replace(r"MAC:\d+BDD\d+", r"MAC:[0-9A-F]{12}")


def new_unit(record: AvlRecord = RECORD) -> Unit:
    unit = Unit(IMEI, now_ms=STARTED_MS, parameters={2004: "example.org"})
    unit.last_record = record
    unit.tick(NOW_MS)
    return unit


def answer(unit: Unit, command: str, report: DeviceReport | None = None) -> str:
    execution = execute(command.encode(), unit, report or DeviceReport(imei=IMEI))
    assert execution is not None, command
    assert execution.effect is Effect.NONE
    return execution.answer


# the documented forms


@pytest.mark.parametrize("command", DOCUMENTED)
def test_an_answer_has_the_form_of_the_documented_one(command: str) -> None:
    pattern = form(DOCUMENTED[command])
    assert re.fullmatch(pattern, DOCUMENTED[command])
    assert re.fullmatch(pattern, answer(new_unit(), command))


@pytest.mark.parametrize("command", ["getinfo", "getio"])
def test_the_documented_answers_are_the_published_packets(command: str) -> None:
    assert sample(f"codec12-{command}-response").expected["text"] == DOCUMENTED[command]


# the device's own state


def test_getinfo_says_when_it_started_what_time_it_is_and_what_became_of_the_records() -> None:
    report = DeviceReport(
        imei=IMEI,
        restarts=2,
        records_sent=72,
        records_acknowledged=7,
        ack_timeouts=1,
        rejections=2,
        handshake_failures=4,
    )
    assert answer(new_unit(), "getinfo", report) == (
        "INI:2019/7/22 7:22 RTC:2019/7/22 12:9 RST:2 ERR:0 SR:7 BR:0 CF:0 FG:0 FL:7 TU:0/0 UT:0 "
        "SMS:0 NOGPS:0:0 GPS:3 SAT:7 RS:3 RF:65 SF:1 MD:1"
    )


def test_getver_says_the_imei_and_the_uptime() -> None:
    unit = new_unit()
    assert f"IMEI:{IMEI} Init:2019-7-22 7:22 Uptime:17234 MAC:{unit.mac} " in answer(unit, "getver")


def test_getgps_and_ggps_say_the_last_record() -> None:
    assert answer(new_unit(), "getgps") == (
        "GPS:1 Sat:7 Lat:54.71473 Long:25.30304 Alt:147 Speed:50 Dir:77 "
        "Date: 2007/8/24 Time: 13:4:36"
    )
    assert answer(new_unit(), "ggps") == (
        "2007/8/24 13:4:36 https://maps.google.com/?q=54.71473,25.30304"
    )


def test_south_and_west_are_below_zero() -> None:
    record = structs.replace(RECORD, latitude_e7=-338_688_201, longitude_e7=-1_234_567)
    assert " Lat:-33.86882 Long:-0.12346 " in answer(new_unit(record), "getgps")


def test_getstatus_says_operator_and_signal_of_the_last_record() -> None:
    assert "OP: 24602 Signal: 5 " in answer(new_unit(), "getstatus")


def test_getio_says_ignition_and_voltage_of_the_last_record() -> None:
    assert answer(new_unit(), "getio") == "DI1:1 DI2:0 DI3:0 AIN1:0 AIN2:14123 DO1:0 DO2:0"


@pytest.mark.parametrize(
    ("io_id", "value"), [(66, 14_123), (241, 24_602), (1, 1), (6, 14_123), (2, 0), (256, 0)]
)
def test_readio_says_what_the_last_record_has(io_id: int, value: int) -> None:
    assert answer(new_unit(), f"readio {io_id}") == f"IO ID:{io_id} Value:{value}"


def test_before_its_first_record_a_device_has_no_fix() -> None:
    unit = Unit(IMEI, now_ms=STARTED_MS)
    assert answer(unit, "getgps").startswith("GPS:0 Sat:0 Lat:0.00000 Long:0.00000 ")
    assert " GPS:2 SAT:0 " in answer(unit, "getinfo")


def test_a_clock_gone_wrong_is_told_as_it_is() -> None:
    unit = new_unit(AvlRecord(2**64 - 1, 0, 0, 0, 0, 0, 4, 0))
    assert answer(unit, "getgps").endswith("Date: 584556019/4/3 Time: 14:25:51")


# outputs


@pytest.mark.parametrize(
    ("command", "levels", "timeouts"),
    [
        ("setdigout 10", "10", "0 0"),
        ("setdigout 00", "00", "0 0"),
        ("setdigout ?1", "01", "0 0"),
        ("setdigout 1? 5", "11", "5 0"),
        ("setdigout ?? 5 5", "01", "0 0"),
        ("setdigout 11 5 60", "11", "5 60"),
    ],
)
def test_setdigout_says_what_is_set_and_leaves_alone_what_has_a_question_mark(
    command: str, levels: str, timeouts: str
) -> None:
    unit = new_unit()
    answer(unit, "setdigout 01")
    assert answer(unit, command) == f"DOUTS are set to:{levels} TMOs are: {timeouts}"
    assert "".join(str(output.level) for output in unit.outputs) == levels


def test_getio_and_readio_show_the_outputs_at_once_and_until_their_time_is_over() -> None:
    unit = new_unit()
    answer(unit, "setdigout 11 5 0")
    assert answer(unit, "getio").endswith("DO1:1 DO2:1")
    assert answer(unit, "readio 179") == "IO ID:179 Value:1"
    unit.tick(NOW_MS + 5_000)
    assert answer(unit, "getio").endswith("DO1:0 DO2:1")
    assert answer(unit, "readio 180") == "IO ID:180 Value:1"


# parameters


def test_a_parameter_is_what_it_was_set_to_also_after_a_restart() -> None:
    unit = new_unit()
    assert answer(unit, "setparam 2004:host:with;2005:5027") == (
        "Param ID:2004 New Val:host:with;Param ID:2005 New Val:5027"
    )
    unit.restart()
    assert (
        answer(unit, "getparam 2005;2004") == "Param ID:2005 Val:5027;Param ID:2004 Val:host:with"
    )


def test_a_parameter_that_was_never_set_is_empty() -> None:
    assert answer(new_unit(), "getparam 9") == "Param ID:9 Val:"


def test_a_restart_begins_the_uptime_at_0_and_switches_the_outputs_off() -> None:
    unit = new_unit()
    answer(unit, "setdigout 11")
    unit.restart()
    unit.tick(NOW_MS + 1_000)
    assert " Uptime:1 " in answer(unit, "getver")
    assert answer(unit, "getio").endswith("DO1:0 DO2:0")


# commands without an answer


@pytest.mark.parametrize(
    ("command", "effect"),
    [(b"cpureset", Effect.RESTART), (b"deleterecords", Effect.DELETE_RECORDS)],
)
def test_what_has_no_answer_has_an_effect(command: bytes, effect: Effect) -> None:
    execution = execute(command, new_unit(), DeviceReport(imei=IMEI))
    assert execution is not None
    assert (execution.answer, execution.effect) == ("", effect)


@pytest.mark.parametrize(
    "command",
    [
        b"",
        b"GETINFO",
        b"getinfo ",
        b" getinfo",
        b"getinfo\r\n",
        b"getinfo 1",
        b"nonsense",
        b"readio",
        b"readio x",
        b"setdigout",
        b"setdigout 1",
        b"setdigout 111",
        b"setdigout 12",
        b"setdigout 11 -5",
        b"setdigout 11 1 2 3",
        b"getparam",
        b"setparam 2004",
        b"setparam 2004:a\nb",
        "setparam 2004:é".encode(),
        b"setparam 2004:\xff",
        b"cpureset ",
        b"setparam 1:" + b"x" * MAX_COMMAND_LENGTH,
    ],
)
def test_what_is_no_command_changes_nothing_and_has_no_answer(command: bytes) -> None:
    unit = new_unit()
    assert execute(command, unit, DeviceReport(imei=IMEI)) is None
    assert unit.parameters == {2004: "example.org"}
    assert [output.level for output in unit.outputs] == [0, 0]


def test_a_command_may_have_160_characters() -> None:
    value = "x" * (MAX_COMMAND_LENGTH - len("setparam 1:"))
    assert answer(new_unit(), f"setparam 1:{value}") == f"Param ID:1 New Val:{value}"
