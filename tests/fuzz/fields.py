"""Targets: single fields, the IMEI and the time."""

import re
from datetime import UTC, datetime, timedelta

from fuzz.inputs import Reader

from teltonika.codecs import FramingError, decode_imei, encode_imei, luhn_valid, parse_imei
from teltonika.codecs.timestamps import format_timestamp

_DIGITS = b"0123456789"
_ISO = re.compile(r"(\d{4}|\+\d{6,})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)\.(\d{3})Z", re.ASCII)


def check_imei(data: bytes) -> None:
    """Bytes are a handshake, or an error inside them; a text is an IMEI, or a ValueError."""
    sound = data[:2] == b"\x00\x0f" and len(data) == 17 and all(b in _DIGITS for b in data[2:])
    try:
        imei = decode_imei(data)
    except FramingError as error:
        assert not sound, f"sound, and refused: {error}"
        assert 0 <= error.offset <= len(data), f"{error.offset}: {error}"
    else:
        assert sound
        assert encode_imei(imei) == data
        assert sum(luhn_valid(f"{imei[:-1]}{digit}") for digit in range(10)) == 1
    for text in (data[2:].decode("latin-1"), data[2:].decode("utf-8", "replace")):
        try:
            imei = parse_imei(text)
        except ValueError:
            assert not re.fullmatch(r"[0-9]{15}", text)
        else:
            assert re.fullmatch(r"[0-9]{15}", text)
            assert encode_imei(imei)[2:].decode() == text


def check_timestamps(data: bytes) -> None:
    """Every uint64 is a moment whose text says it again to the millisecond."""
    reader = Reader(data)
    while reader:
        timestamp_ms = reader.number(8)
        text = format_timestamp(timestamp_ms)
        assert _milliseconds(text) == timestamp_ms, text
        if not text.startswith("+"):
            moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=timestamp_ms)
            iso = moment.isoformat(timespec="milliseconds")
            assert text == iso.replace("+00:00", "Z")


def _milliseconds(text: str) -> int:
    """Since 1970, counted by the calendar's rules: no table, no `datetime`, any year."""
    match = _ISO.fullmatch(text)
    assert match, text
    year, month, day, hour, minute, second, millisecond = map(int, match.groups())
    assert (year > 9999) == text.startswith("+")
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    months = (31, 29 if leap else 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
    assert 1 <= month <= 12
    assert 1 <= day <= months[month - 1]
    assert (hour < 24, minute < 60, second < 60) == (True, True, True)
    before = year - 1
    days = before * 365 + before // 4 - before // 100 + before // 400
    days += sum(months[: month - 1]) + day - 1 - 719_162  # of those, before 1970
    return (((days * 24 + hour) * 60 + minute) * 60 + second) * 1000 + millisecond
