"""What a device does about a command, and what it answers.

The answers have the form of Teltonika's "FMB SMS/GPRS Commands", field by field, and say what the
emulated device is: an FMB120 with two outputs, a SIM card at home, and a GNSS fix from its first
record on. Fields for what it does not have (OBD, BLE, SMS, a profile that breaks) are 0.
"""

import re
from collections.abc import Callable
from enum import Enum, auto

import msgspec

from teltonika.codecs.timestamps import format_timestamp
from teltonika.emulator.drive import (
    ACTIVE_GSM_OPERATOR,
    DIGITAL_OUTPUT_1,
    DIGITAL_OUTPUT_2,
    EXTERNAL_VOLTAGE,
    GSM_SIGNAL,
    IGNITION,
    MOVEMENT,
)
from teltonika.emulator.report import DeviceReport
from teltonika.emulator.unit import Unit

MAX_COMMAND_LENGTH = 160
"""Characters. A device does not read on."""

DIGITAL_INPUT_1 = 1
ANALOG_INPUT_2 = 6  # mV

_WIRED_TO = {DIGITAL_INPUT_1: IGNITION, ANALOG_INPUT_2: EXTERNAL_VOLTAGE}
_OUTPUTS = {DIGITAL_OUTPUT_1: 0, DIGITAL_OUTPUT_2: 1}


class Effect(Enum):
    """What a command does that is not the unit's own to do."""

    NONE = auto()
    RESTART = auto()
    DELETE_RECORDS = auto()


class Execution(msgspec.Struct, frozen=True):
    """What came of a command that the device knows."""

    answer: str = ""
    """Empty where there is none."""
    effect: Effect = Effect.NONE


def execute(command: bytes, unit: Unit, report: DeviceReport) -> Execution | None:
    """Do what ``command`` says, and say what the device answers; None if it is no command of its.

    Commands are case-sensitive. ``report`` is read only. What the unit has an answer of its own to,
    it only answers.
    """
    if len(command) > MAX_COMMAND_LENGTH or not command.isascii():
        return None
    text = command.decode("ascii")
    own = unit.own_answer(text)
    if own is not None:
        return Execution(own)
    effect = _EFFECTS.get(text)
    if effect is not None:
        return Execution(effect=effect)
    for pattern, answer in _ANSWERS.items():
        match = re.fullmatch(pattern, text)
        if match is not None:
            return Execution(answer(unit, report, match))
    return None


def _getinfo(unit: Unit, report: DeviceReport, _: re.Match[str]) -> str:
    record = unit.last_record
    failed_links = report.rejections + report.handshake_failures + report.ack_timeouts
    unacknowledged = report.records_sent - report.records_acknowledged
    return (
        f"INI:{_date(unit.started_ms)} {_hours_and_minutes(unit.started_ms)} "
        f"RTC:{_date(unit.now_ms)} {_hours_and_minutes(unit.now_ms)} "
        f"RST:{report.restarts} ERR:0 SR:{report.records_acknowledged} BR:0 CF:0 FG:0 "
        f"FL:{failed_links} TU:0/0 UT:0 SMS:0 NOGPS:0:0 GPS:{3 if record.satellites else 2} "
        f"SAT:{record.satellites} RS:3 RF:{unacknowledged} SF:1 MD:{_value(unit, MOVEMENT)}"
    )


def _getver(unit: Unit, report: DeviceReport, _: re.Match[str]) -> str:
    year, month, day, hour, minute, _second = _moment(unit.started_ms)
    return unit.getver.format(
        imei=unit.imei,
        init=f"{year}-{month}-{day} {hour}:{minute}",
        uptime_s=unit.uptime_s,
        mac=unit.mac,
    )


def _getstatus(unit: Unit, report: DeviceReport, _: re.Match[str]) -> str:
    return (
        f"Data Link: 1 GPRS: 1 Phone: 0 SIM: 0 OP: {_value(unit, ACTIVE_GSM_OPERATOR)} "
        f"Signal: {_value(unit, GSM_SIGNAL)} NewSMS: 0 Roaming: 0 SMSFull: 0 "
        f"LAC: {unit.lac} Cell ID: {unit.cell_id}"
    )


def _getgps(unit: Unit, report: DeviceReport, _: re.Match[str]) -> str:
    record = unit.last_record
    return (
        f"GPS:{int(record.satellites > 0)} Sat:{record.satellites} "
        f"Lat:{record.latitude:.5f} Long:{record.longitude:.5f} Alt:{record.altitude} "
        f"Speed:{record.speed} Dir:{record.angle} "
        f"Date: {_date(record.timestamp_ms)} Time: {_time(record.timestamp_ms)}"
    )


def _ggps(unit: Unit, report: DeviceReport, _: re.Match[str]) -> str:
    record = unit.last_record
    return (
        f"{_date(record.timestamp_ms)} {_time(record.timestamp_ms)} "
        f"https://maps.google.com/?q={record.latitude:.5f},{record.longitude:.5f}"
    )


def _getio(unit: Unit, report: DeviceReport, _: re.Match[str]) -> str:
    return (
        f"DI1:{_value(unit, DIGITAL_INPUT_1)} DI2:0 DI3:0 "
        f"AIN1:0 AIN2:{_value(unit, ANALOG_INPUT_2)} "
        f"DO1:{_value(unit, DIGITAL_OUTPUT_1)} DO2:{_value(unit, DIGITAL_OUTPUT_2)}"
    )


def _getimeiccid(unit: Unit, report: DeviceReport, _: re.Match[str]) -> str:
    return f"IMEI: {unit.imei}, CCID: {unit.iccid}"


def _readio(unit: Unit, report: DeviceReport, match: re.Match[str]) -> str:
    io_id = int(match[1])
    return f"IO ID:{io_id} Value:{_value(unit, io_id)}"


def _setdigout(unit: Unit, report: DeviceReport, match: re.Match[str]) -> str:
    levels, timeouts = match.groups()[:2], match.groups("0")[2:]
    for output, level, timeout_s in zip(unit.outputs, levels, timeouts, strict=True):
        if level != "?":
            output.set(int(level), int(timeout_s), unit.now_ms)
    shown_levels = "".join(str(output.level) for output in unit.outputs)
    shown_timeouts = " ".join(str(output.timeout_s) for output in unit.outputs)
    return f"DOUTS are set to:{shown_levels} TMOs are: {shown_timeouts}"


def _getparam(unit: Unit, report: DeviceReport, match: re.Match[str]) -> str:
    ids = [int(text) for text in match[1].split(";")]
    return ";".join(f"Param ID:{id_} Val:{unit.parameters.get(id_, '')}" for id_ in ids)


def _setparam(unit: Unit, report: DeviceReport, match: re.Match[str]) -> str:
    answers = []
    for pair in match[1].split(";"):
        id_, _, value = pair.partition(":")
        unit.set_parameter(int(id_), value)
        answers.append(f"Param ID:{int(id_)} New Val:{value}")
    return ";".join(answers)


def _value(unit: Unit, io_id: int) -> int:
    """The value of an IO element now; 0 where the device has none of that id."""
    if io_id in _OUTPUTS:
        return unit.outputs[_OUTPUTS[io_id]].level
    value = unit.last_record.io.get(_WIRED_TO.get(io_id, io_id))
    return value if isinstance(value, int) else 0


def _moment(timestamp_ms: int) -> list[int]:
    """Year, month, day, hour, minute and second, UTC."""
    return [int(part) for part in re.split("[-T:.]", format_timestamp(timestamp_ms))[:6]]


def _date(timestamp_ms: int) -> str:
    return "/".join(map(str, _moment(timestamp_ms)[:3]))


def _time(timestamp_ms: int) -> str:
    return ":".join(map(str, _moment(timestamp_ms)[3:]))


def _hours_and_minutes(timestamp_ms: int) -> str:
    return ":".join(map(str, _moment(timestamp_ms)[3:5]))


_EFFECTS = {"cpureset": Effect.RESTART, "deleterecords": Effect.DELETE_RECORDS}
_ANSWERS: dict[str, Callable[[Unit, DeviceReport, re.Match[str]], str]] = {
    r"getinfo": _getinfo,
    r"getver": _getver,
    r"getstatus": _getstatus,
    r"getgps": _getgps,
    r"ggps": _ggps,
    r"getio": _getio,
    r"getimeiccid": _getimeiccid,
    r"readio (\d{1,5})": _readio,
    r"setdigout ([01?])([01?])(?: (\d{1,9}))?(?: (\d{1,9}))?": _setdigout,
    r"getparam (\d{1,5}(?:;\d{1,5})*)": _getparam,
    r"setparam (\d{1,5}:[ -:<-~]*(?:;\d{1,5}:[ -:<-~]*)*)": _setparam,
}
"""Pattern of a whole command to what answers it, and does it."""
