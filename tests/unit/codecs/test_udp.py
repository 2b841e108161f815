"""The envelope of a datagram, and its answer."""

import pytest
from samples import Sample, of_kind, sample

from teltonika.codecs import ErrorCode, FramingError
from teltonika.codecs.udp import (
    Datagram,
    DatagramAnswer,
    decode_answer,
    decode_datagram,
    encode_answer,
    encode_datagram,
)

DATAGRAM = sample("codec8-udp").data


@pytest.mark.parametrize("sample", of_kind("avl", transport="udp"), ids=str)
def test_a_documented_datagram_is_opened_and_made_again(sample: Sample) -> None:
    expected = sample.expected
    datagram = decode_datagram(sample.data)
    assert datagram == Datagram(
        expected["packet_id"], expected["avl_packet_id"], expected["imei"], sample.data_field
    )
    assert encode_datagram(datagram) == sample.data


@pytest.mark.parametrize("sample", of_kind("avl", transport="udp"), ids=str)
def test_the_documented_answer_is_made_and_read(sample: Sample) -> None:
    expected = sample.expected
    answer = DatagramAnswer(
        expected["packet_id"], expected["avl_packet_id"], len(expected["records"])
    )
    assert encode_answer(answer) == bytes.fromhex(expected["ack"])
    assert decode_answer(bytes.fromhex(expected["ack"])) == answer


@pytest.mark.parametrize(
    ("datagram", "code", "offset"),
    [
        (b"", ErrorCode.TRUNCATED, 100),
        (DATAGRAM[:5], ErrorCode.TRUNCATED, 105),
        (DATAGRAM[:-1], ErrorCode.BAD_LENGTH, 100),
        (DATAGRAM + b"\0", ErrorCode.BAD_LENGTH, 100),
        (b"\0\x17" + DATAGRAM[2:25], ErrorCode.BAD_LENGTH, 100),
        (DATAGRAM[:4] + b"\0" + DATAGRAM[5:], ErrorCode.UNRECOGNISED, 104),
        (DATAGRAM[:7] + b"\x0e" + DATAGRAM[8:], ErrorCode.IMEI_LENGTH, 106),
        (DATAGRAM[:10] + b"x" + DATAGRAM[11:], ErrorCode.IMEI_DIGITS, 110),
    ],
)
def test_what_is_no_datagram_is_refused_where_it_goes_wrong(
    datagram: bytes, code: ErrorCode, offset: int
) -> None:
    with pytest.raises(FramingError) as caught:
        decode_datagram(datagram, 100)
    assert (caught.value.code, caught.value.offset) == (code, offset)


@pytest.mark.parametrize(
    "answer", ["", "0005cafe0105", "0005cafe01050100", "0006cafe010501", "0005cafe000501"]
)
def test_what_is_no_answer_is_told_from_one(answer: str) -> None:
    assert decode_answer(bytes.fromhex(answer)) is None


def test_a_data_field_that_no_length_can_tell_is_refused() -> None:
    with pytest.raises(ValueError, match="no data field of 65515 bytes"):
        encode_datagram(Datagram(0, 0, "356307042441013", bytes(65_515)))
