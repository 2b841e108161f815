"""The IMEI as text and as bytes."""

import pytest
from samples import of_kind

from teltonika.codecs import (
    FramingError,
    decode_imei,
    encode_imei,
    luhn_check_digit,
    luhn_valid,
    parse_imei,
)

(SAMPLE,) = of_kind("imei")


def test_the_documented_handshake() -> None:
    assert decode_imei(SAMPLE.data) == SAMPLE.expected["imei"]
    assert encode_imei(SAMPLE.expected["imei"]) == SAMPLE.data


@pytest.mark.parametrize(
    "text", ["", "35630704244101", "3563070424410134", "35630704244101x", "35630704244101 ",
             "٣٥٦٣٠٧٠٤٢٤٤١٠١٣"]
)  # fmt: skip
def test_what_is_no_imei_is_refused_in_a_sentence(text: str) -> None:
    with pytest.raises(ValueError, match="an IMEI is 15 digits"):
        parse_imei(text)
    with pytest.raises(ValueError, match="an IMEI is 15 digits"):
        encode_imei(text)


@pytest.mark.parametrize(
    ("data", "code", "offset"),
    [
        (b"", "truncated", 40),
        (b"\x00", "truncated", 41),
        (b"\x00\x0f123", "truncated", 45),
        (b"\x00\x0e" + b"1" * 15, "imei_length", 40),
        (b"\x00\x0f12345678901234a", "imei_digits", 56),
    ],
)
def test_a_broken_handshake_says_where(data: bytes, code: str, offset: int) -> None:
    with pytest.raises(FramingError) as caught:
        decode_imei(data, offset=40)
    assert (caught.value.code, caught.value.offset) == (code, offset)


def test_luhn() -> None:
    assert luhn_valid("356307042441013")
    assert luhn_valid("490154203237518")  # the example of the IMEI's own standard
    assert not luhn_valid("356307042441014")
    assert luhn_check_digit("35630704244101") == 3
    assert luhn_check_digit("7992739871") == 3
