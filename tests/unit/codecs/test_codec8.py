"""Codec 8, byte by byte: what no published sample shows."""

import pytest

from teltonika.codecs import AVL_CODECS, AvlRecord, EncodeError, IoElement, IoElements

CODEC8 = AVL_CODECS.by_name("8")

DATA = bytes.fromhex(
    "08 01"  # codec id, number of data 1
    "0000016B40D8EA30"  # timestamp
    "02"  # priority: panic
    "209CCA80"  # longitude, east
    "DF633580"  # latitude, south
    "FFFC"  # altitude: 4 m below the sea
    "0167"  # angle
    "0C"  # satellites
    "0082"  # speed
    "15 06"  # event IO id, N
    "01 15 FF"  # N1
    "02 42 5E0F 43 FFFF"  # N2
    "01 F1 FFFFFFFF"  # N4
    "02 4E FFFFFFFFFFFFFFFF 0B 0020000000000001"  # N8: 2^64 - 1 and 2^53 + 1
    "01"  # number of data 2
)
RECORD = AvlRecord(
    timestamp_ms=1_560_161_086_000,
    priority=2,
    longitude_e7=547_146_368,
    latitude_e7=-547_146_368,
    altitude=-4,
    angle=359,
    satellites=12,
    speed=130,
    event_io_id=21,
    generation_type=None,
    io=IoElements.of(
        [
            IoElement(21, 255, 1),
            IoElement(66, 24_079, 2),
            IoElement(67, 65_535, 2),
            IoElement(241, 4_294_967_295, 4),
            IoElement(78, 18_446_744_073_709_551_615, 8),
            IoElement(11, 9_007_199_254_740_993, 8),
        ]
    ),
)


def test_every_field_stands_where_the_protocol_says() -> None:
    assert CODEC8.decode_data(DATA).records == (RECORD,)
    assert CODEC8.encode_data([RECORD]) == DATA


def test_record_says_nothing_of_why_it_was_made() -> None:
    (record,) = CODEC8.decode_data(DATA).records
    assert record.generation_type is None


@pytest.mark.parametrize("generation_type", [0, 5])
def test_generation_type_has_no_place_in_codec_8(generation_type: int) -> None:
    record = AvlRecord(0, 0, 0, 0, 0, 0, 0, 0, generation_type=generation_type)
    with pytest.raises(EncodeError, match="codec 8 has no generation type") as caught:
        CODEC8.encode_data([record])
    assert caught.value.field == "generation_type"


def test_variable_length_has_no_place_in_codec_8() -> None:
    io = IoElements.of([IoElement.variable(1, b"")])
    with pytest.raises(EncodeError, match="codec 8 has no variable-length") as caught:
        CODEC8.encode_data([AvlRecord(0, 0, 0, 0, 0, 0, 0, 0, io=io)])
    assert caught.value.field == "io"
