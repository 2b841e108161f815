"""Lines of logs to the hex in them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from teltonika.codecs import logtext
from teltonika.codecs.logtext import LogHex, LogReader

HELLO = "000f333536333037303432343431303133"
PACKET = (
    "000000000000002808010000016b40d9ad80010000000000000000000000000000000103021503010101425e1000000"
    "10000f22a"
)
DATAGRAM = "003dcafe0105" + HELLO + PACKET[16:-8]
SPACED = " ".join(HELLO[n : n + 2] for n in range(0, len(HELLO), 2))
TIME = "2024-05-14 08:30:00"
UTC = "2024-05-14T08:30:00Z"


def read(*lines: str) -> list[tuple[str | None, str]]:
    reader = LogReader()
    return [(each.time, each.data.hex()) for line in lines for each in reader.read_line(line)]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (f"{TIME}  INFO: [T4c5a33b6: teltonika < 198.51.100.7] {HELLO}", HELLO),
        (f"{TIME}  INFO: [T4c5a33b6: teltonika > 198.51.100.7] 01", "01"),
        (f"{TIME}  INFO: [T4c5a33b6: teltonika < 198.51.100.7] ff", "ff"),
        (f"{TIME} DEBUG: [4C5A33B6: 5027 < 198.51.100.7] HEX: {PACKET.upper()}", PACKET),
        (f"{TIME} DEBUG: [4C5A33B6: 192.0.2.1 > 198.51.100.7] HEX: {PACKET}", PACKET),
        (f"{TIME} [U4c5a33b6: teltonika < 2001:db8::7] {DATAGRAM}", DATAGRAM),
        (f"{TIME} RAW: {PACKET}", PACKET),
        (f"{TIME} got 0x{HELLO}", HELLO),
        (f'{TIME} {{"payload":"{PACKET}"}}', PACKET),
        (f"{TIME} received {SPACED}", HELLO),
        (f"{TIME} received {SPACED.replace(' ', ':')}", HELLO),
        (f"{TIME} data [{', '.join('0x' + byte for byte in SPACED.split())}]", HELLO),
        (f"{TIME} data {''.join(chr(92) + 'x' + byte for byte in SPACED.split())}", HELLO),
        (f"{TIME} len 17 {HELLO}", HELLO),
        (f"{TIME} <Buffer {SPACED}>", HELLO),
        (f"{TIME} sent 00000001", "00000001"),
        (f'{TIME} -> "01"', "01"),
        (f"{TIME} reply 0005cafe010501", "0005cafe010501"),
    ],
)
def test_hex_is_found_however_a_line_writes_it(line: str, expected: str) -> None:
    assert read(line) == [(TIME, expected)]


@pytest.mark.parametrize(
    "line",
    [
        f"{TIME}  INFO: [T4c5a33b6: gl200 < 198.51.100.7] {HELLO}",
        f"{TIME}  INFO: [4c5a33b6: 5023 < 198.51.100.7] HEX: 7878110103518",
        f"{TIME}  INFO: [4c5a33b6: 5023 > 198.51.100.7] HEX: 00000001",
        f"{TIME}  INFO: [T4c5a33b6] connected",
        f"{TIME} sha deadbeefdeadbeefdeadbeefdeadbeefdeadbeef",
        f"{TIME} 00000000000000000000000000000000",
        f"{TIME} records 00000001",
        f"{TIME} sent 01 of 12 records",
        f"{TIME} id 1715675400000000",
        f"{TIME} x{HELLO}",
        "",
    ],
)
def test_what_is_not_a_device_s_is_passed_over(line: str) -> None:
    assert read(line) == []


def test_a_connection_that_is_known_for_a_device_s_brings_everything() -> None:
    received = "[4c5a33b6: 5027 < 198.51.100.7] HEX: "
    sent = "[4c5a33b6: 5027 > 198.51.100.7] HEX: "
    assert read(sent + "01", received + HELLO, sent + "01", received + "dead") == [
        (None, HELLO),
        (None, "01"),
        (None, "dead"),
    ]


def test_the_connection_that_was_new_for_longest_is_forgotten_past_a_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(logtext, "_MAX_CONNECTIONS", 2)
    hellos = [f"[T{n:08x}: 5027 < 198.51.100.7] {HELLO}" for n in range(3)]
    later = [f"[T{n:08x}: 5027 < 198.51.100.7] dead" for n in range(3)]
    assert [data for _, data in read(*hellos, *later)] == [HELLO] * 3 + ["dead"] * 2


@pytest.mark.parametrize(
    "time",
    [
        TIME,
        f"{TIME},123",
        f"{TIME}.123456",
        "2024-05-14T08:30:00Z",
        "2024-05-14T08:30:00.5+02:00",
        "2024-05-14T08:30:00-0530",
        "2024-05-14 08:30:00 +0200",
        "2024/05/14 08:30:00.123456",
        "14.05.2024 08:30:00,123",
        "05/14/2024, 08:30:00",
        "14/May/2024:08:30:00 +0000",
        "May  4 08:30:00",
        "May 14 08:30:00",
        "1715675400",
        "1715675400.123",
        "1715675400123",
    ],
)
def test_a_line_s_time_is_kept_as_it_stands(time: str) -> None:
    assert read(f"[{time}] INFO {HELLO}, later 2025-01-01 00:00:00") == [(time, HELLO)]
    assert read(f"{time} {HELLO}") == [(time, HELLO)]
    assert read(f"{time} INFO rx {SPACED}") == [(time, HELLO)]


@pytest.mark.parametrize(
    ("line", "time"),
    [
        (f'{{"level":"info","msg":"rx {HELLO}","time":"{UTC}"}}', UTC),
        (f'{{"level":30,"time":1715675400123,"pid":7,"hex":"{HELLO}"}}', "1715675400123"),
        (f'{{"hex":"{HELLO}","ts":1715675400.123}}', "1715675400.123"),
        (f"rx {HELLO} {TIME}", TIME),
        (f"rx {SPACED} {TIME}", TIME),
        (f"port 1715675400 {HELLO}", None),
    ],
)
def test_a_time_may_stand_anywhere_and_no_hex_is_lost_by_it(line: str, time: str | None) -> None:
    assert read(line) == [(time, HELLO)]


def test_a_number_in_front_is_no_time_where_it_is_hex() -> None:
    assert read("1715675400123456 01", f"{PACKET} 1") == [(None, PACKET)]


def test_a_line_may_have_no_time_and_several_runs() -> None:
    assert read(f"{HELLO} then {PACKET}") == [(None, HELLO), (None, PACKET)]


@given(
    st.lists(
        st.text(max_size=60) | st.text("0123456789abcdefx \\:,-<>[]T", max_size=200), max_size=3
    )
)
def test_no_line_raises_anything(lines: list[str]) -> None:
    reader = LogReader()
    for line in lines:
        assert all(isinstance(each, LogHex) for each in reader.read_line(line))
        prefix = "[T4c5a33b6: teltonika < 198.51.100.7] "
        assert all(each.data for each in reader.read_line(prefix + line))
