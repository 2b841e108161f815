"""Codec 16, byte by byte. The trap: ids of two bytes, counts of one."""

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

CODEC16 = AVL_CODECS.by_name("16")

DATA = bytes.fromhex(
    "10 01"
    "0000016BDBC78330 01"  # timestamp, priority
    "209CCA80 DF633580"  # longitude, latitude
    "8000 0001 03 00FF"  # altitude: the lowest; angle, satellites, speed
    "000B"  # event IO id: two bytes
    "07"  # generation type: periodical
    "05"  # N: one byte
    "02 0001 00 0103 7F"  # N1: ids of two bytes
    "01 000B 0027"  # N2
    "01 FFFF 00000001"  # N4
    "01 0042 0000000000000102"  # N8
    "01"
)
RECORD = AvlRecord(
    timestamp_ms=1_562_760_414_000,
    priority=1,
    longitude_e7=547_146_368,
    latitude_e7=-547_146_368,
    altitude=-32_768,
    angle=1,
    satellites=3,
    speed=255,
    event_io_id=11,
    generation_type=7,
    io=IoElements.of(
        [
            IoElement(1, 0, 1),
            IoElement(259, 127, 1),
            IoElement(11, 39, 2),
            IoElement(65_535, 1, 4),
            IoElement(66, 258, 8),
        ]
    ),
)


def test_every_field_stands_where_the_protocol_says() -> None:
    assert CODEC16.decode_data(DATA).records == (RECORD,)
    assert CODEC16.encode_data([RECORD]) == DATA


@pytest.mark.parametrize("generation_type", range(256))
def test_any_generation_type_is_kept_documented_or_not(generation_type: int) -> None:
    record = AvlRecord(0, 0, 0, 0, 0, 0, 0, 0, generation_type=generation_type)
    assert CODEC16.decode_data(CODEC16.encode_data([record])).records == (record,)


@pytest.mark.parametrize("generation_type", [-1, 256])
def test_generation_type_is_one_byte(generation_type: int) -> None:
    record = AvlRecord(0, 0, 0, 0, 0, 0, 0, 0, generation_type=generation_type)
    with pytest.raises(EncodeError) as caught:
        CODEC16.encode_data([record])
    assert caught.value.field == "generation_type"


def test_record_without_a_generation_type_is_not_written() -> None:
    with pytest.raises(EncodeError, match="codec 16 needs a generation type") as caught:
        CODEC16.encode_data([AvlRecord(0, 0, 0, 0, 0, 0, 0, 0)])
    assert caught.value.field == "generation_type"


def test_variable_length_has_no_place_in_codec_16() -> None:
    io = IoElements.of([IoElement.variable(1, b"")])
    with pytest.raises(EncodeError, match="codec 16 has no variable-length") as caught:
        CODEC16.encode_data([AvlRecord(0, 0, 0, 0, 0, 0, 0, 0, generation_type=0, io=io)])
    assert caught.value.field == "io"


def test_record_of_codec_8_extended_is_not_read_as_codec_16() -> None:
    published = bytes.fromhex(
        "8e010000016b412cee000100000000000000000000000000000000010005000100010100010011001d0001"
        "0010015e2c880002000b000000003544c87a000e000000001dd7e06a000001"
    )
    with pytest.raises(RecordError) as caught:
        CODEC16.decode_data(b"\x10" + published[1:])
    assert caught.value.code is ErrorCode.IO_COUNT_MISMATCH
