"""Codec 8 Extended, byte by byte: wide ids, wide counts, values of variable length."""

import pytest

from teltonika.codecs import (
    AVL_CODECS,
    AvlRecord,
    EncodeError,
    ErrorCode,
    IoElement,
    IoElements,
    RecordError,
)

CODEC8E = AVL_CODECS.by_name("8E")

HEAD = bytes.fromhex(
    "0000016B40D8EA30 00"  # timestamp, priority
    "DF633580 209CCA80"  # longitude, west; latitude, north
    "22CE 0000 00 0000"  # altitude: 8,910 m; angle, satellites, speed
    "2816"  # event IO id: 10,262
)
DATA = (
    bytes.fromhex("8E 01")
    + HEAD
    + bytes.fromhex(
        "0007"  # N
        "0001 0101 05"  # N1
        "0001 2816 8000"  # N2
        "0001 F001 00010000"  # N4
        "0001 000B 8000000000000000"  # N8
        "0003"  # NX
        "0181 0005 1103FF0000"
        "0182 0000"  # a value of no bytes
        "0181 0001 FF"  # the id stands twice
        "01"
    )
)
RECORD = AvlRecord(
    timestamp_ms=1_560_161_086_000,
    priority=0,
    longitude_e7=-547_146_368,
    latitude_e7=547_146_368,
    altitude=8_910,
    angle=0,
    satellites=0,
    speed=0,
    event_io_id=10_262,
    io=IoElements.of(
        [
            IoElement(257, 5, 1),
            IoElement(10_262, 32_768, 2),
            IoElement(61_441, 65_536, 4),
            IoElement(11, 2**63, 8),
            IoElement.variable(385, b"\x11\x03\xff\x00\x00"),
            IoElement.variable(386, b""),
            IoElement.variable(385, b"\xff"),
        ]
    ),
)


def data_of(io_elements: str) -> bytes:
    """A data field of one record with these IO element bytes, from N on."""
    return bytes.fromhex("8E 01") + HEAD + bytes.fromhex(io_elements) + b"\x01"


IO_AT = len(data_of("")) - 1


def test_every_field_stands_where_the_protocol_says() -> None:
    assert CODEC8E.decode_data(DATA).records == (RECORD,)
    assert CODEC8E.encode_data([RECORD]) == DATA


def test_variable_value_of_the_greatest_length_is_read_and_written() -> None:
    value = bytes(range(256)) * 256
    io = IoElements.of([IoElement.variable(1, value[:65_535])])
    record = AvlRecord(0, 0, 0, 0, 0, 0, 0, 0, io=io)
    assert CODEC8E.decode_data(CODEC8E.encode_data([record])).records == (record,)

    too_long = AvlRecord(0, 0, 0, 0, 0, 0, 0, 0, io=IoElements.of([IoElement.variable(9, value)]))
    with pytest.raises(EncodeError) as caught:
        CODEC8E.encode_data([too_long])
    assert caught.value.field == "length of IO element 9"


def test_count_has_two_bytes_so_a_group_holds_more_than_255() -> None:
    io = IoElements.of(IoElement(io_id, io_id % 256, 1) for io_id in range(300))
    record = AvlRecord(0, 0, 0, 0, 0, 0, 0, 0, io=io)
    data = CODEC8E.encode_data([record])
    assert data[IO_AT : IO_AT + 4] == bytes.fromhex("012C 012C")
    assert CODEC8E.decode_data(data).records == (record,)


@pytest.mark.parametrize(
    ("io_elements", "code", "at"),
    [
        pytest.param("0000" + "0000" * 4, ErrorCode.TRUNCATED, 10, id="no NX"),
        pytest.param("0000" + "0000" * 4 + "00", ErrorCode.TRUNCATED, 11, id="half of NX"),
        pytest.param("0001" + "0000" * 4 + "0001", ErrorCode.TRUNCATED, 12, id="no element"),
        pytest.param(
            "0001" + "0000" * 4 + "0001 0181 00", ErrorCode.TRUNCATED, 15, id="half a length"
        ),
        pytest.param(
            "0001" + "0000" * 4 + "0001 0181 0002 11", ErrorCode.TRUNCATED, 17, id="half a value"
        ),
        pytest.param(
            "0001" + "0000" * 4 + "FFFF 0181 0000", ErrorCode.TRUNCATED, 16, id="65,535 elements"
        ),
        pytest.param(
            "0001" + "FFFF 0181 00" + "0000" * 4, ErrorCode.TRUNCATED, 15, id="65,535 in N1"
        ),
        pytest.param(
            "0000" + "0000" * 4 + "0001 0181 0000", ErrorCode.IO_COUNT_MISMATCH, 0, id="NX counts"
        ),
    ],
)
def test_variable_length_elements_are_checked_to_the_byte(
    io_elements: str, code: ErrorCode, at: int
) -> None:
    """``at`` counts from the byte where N stands."""
    with pytest.raises(RecordError) as caught:
        CODEC8E.decode_data(data_of(io_elements), 8)
    assert (caught.value.code, caught.value.offset) == (code, 8 + IO_AT + at)


def test_last_byte_of_the_data_field_is_never_read_as_part_of_a_value() -> None:
    whole = data_of("0001" + "0000" * 4 + "0001 0181 0001 01")
    assert len(CODEC8E.decode_data(whole).records) == 1
    with pytest.raises(RecordError) as caught:
        CODEC8E.decode_data(whole[:-1])  # the value's 01 is now number of data 2
    assert caught.value.code is ErrorCode.TRUNCATED
