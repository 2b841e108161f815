"""Codecs 12 and 14: messages to devices, and what they answer."""

import pytest
from samples import framed

from teltonika.codecs import (
    COMMAND_CODECS,
    CommandError,
    CommandMessage,
    EncodeError,
    MessageType,
    decode_packet,
    encode_message,
)

IMEI = "352093081452251"
CODEC12, CODEC14 = (COMMAND_CODECS.by_name(name) for name in ("12", "14"))
PACKED = bytes.fromhex("0352093081452251")


def data_field(
    codec_id: int, message_type: int, content: bytes, *, size: int | None = None
) -> bytes:
    size = len(content) if size is None else size
    return bytes((codec_id, 1, message_type)) + size.to_bytes(4) + content + b"\x01"


def test_a_command_is_made_of_its_text() -> None:
    assert CODEC12.encode_data(CODEC12.command("getver", IMEI)) == data_field(12, 5, b"getver")
    assert CODEC14.encode_data(CODEC14.command("getver", IMEI)) == data_field(
        14, 5, PACKED + b"getver"
    )


def test_an_answer_goes_out_in_the_codec_of_its_command() -> None:
    for codec, prefix in ((CODEC12, b""), (CODEC14, PACKED)):
        answer = codec.answer(codec.command("getver", IMEI), b"Ver:1")
        assert codec.encode_data(answer) == data_field(codec.codec_id, 6, prefix + b"Ver:1")


def test_a_nack_is_an_imei_without_text() -> None:
    nack = CommandMessage(14, MessageType.NACK, b"", IMEI)
    assert CODEC14.encode_data(nack) == data_field(14, 0x11, PACKED)
    assert CODEC14.decode_data(data_field(14, 0x11, PACKED)) == nack


def test_an_answer_can_be_any_bytes() -> None:
    content = bytes(range(256))
    message = CODEC12.decode_data(data_field(12, 6, content))
    assert message.content == content
    assert message.text.startswith("\x00\x01")
    assert message.text.endswith("\\xfe\\xff")


def test_an_answer_may_be_empty() -> None:
    assert CODEC12.decode_data(data_field(12, 6, b"")).content == b""
    assert CODEC14.decode_data(data_field(14, 6, PACKED)).content == b""


@pytest.mark.parametrize("quantities", [(0, 0), (1, 2), (255, 0)])
def test_the_quantities_are_read_over(quantities: tuple[int, int]) -> None:
    data = bytearray(data_field(12, 6, b"ok"))
    data[1], data[-1] = quantities
    assert CODEC12.decode_data(bytes(data)).content == b"ok"


@pytest.mark.parametrize(
    ("data", "code", "offset", "expected", "found"),
    [
        (data_field(12, 6, b"ok", size=3), "size_mismatch", 11, 2, 3),
        (data_field(12, 6, b"ok", size=1), "size_mismatch", 11, 2, 1),
        (data_field(12, 6, b"ok", size=2**32 - 1), "size_mismatch", 11, 2, 2**32 - 1),
        (data_field(12, 7, b"ok"), "unknown_type", 10, "0x05, 0x06", 7),
        (data_field(12, 0x11, b"ok"), "unknown_type", 10, "0x05, 0x06", 0x11),
        (data_field(14, 0x0B, PACKED), "unknown_type", 10, "0x05, 0x06, 0x11", 0x0B),
        (data_field(14, 6, PACKED[:7]), "truncated", 22, 8, 7),
        (b"\x0c\x01\x06\x00\x00\x01", "truncated", 14, 8, 6),
        (b"\x0c\x01\x01", "truncated", 11, 8, 3),
        (
            data_field(14, 6, b"\x13" + PACKED[1:]),
            "imei_digits",
            15,
            "0 and 15 digits",
            "1352093081452251",
        ),
        (
            data_field(14, 6, PACKED[:7] + b"\x5f"),
            "imei_digits",
            15,
            "0 and 15 digits",
            "035209308145225f",
        ),
    ],
)
def test_a_message_that_contradicts_itself_is_told_with_byte_and_values(
    data: bytes, code: str, offset: int, expected: object, found: object
) -> None:
    with pytest.raises(CommandError) as caught:
        decode_packet(framed(data))
    error = caught.value
    assert (error.code, error.offset) == (code, offset)
    assert (error.expected, error.found) == (expected, found)


def test_what_does_not_fit_a_codec_is_refused() -> None:
    with pytest.raises(EncodeError, match="'é' is not"):
        CODEC12.command("setparam é", IMEI)
    with pytest.raises(EncodeError, match="no place for an IMEI"):
        encode_message(CommandMessage(12, MessageType.COMMAND, b"x", IMEI))
    with pytest.raises(EncodeError, match="needs an IMEI"):
        encode_message(CommandMessage(14, MessageType.COMMAND, b"x"))
    with pytest.raises(EncodeError, match="15 digits"):
        encode_message(CommandMessage(14, MessageType.COMMAND, b"x", "12"))
    with pytest.raises(EncodeError, match="no place for"):
        encode_message(CommandMessage(12, MessageType.NACK, b""))
    with pytest.raises(EncodeError, match="no place for"):
        CODEC12.encode_data(CODEC14.command("x", IMEI))
