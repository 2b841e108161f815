"""Every sample that Teltonika published, against the decoder and the encoder."""

import pytest
from samples import SAMPLES, Sample, of_kind

from teltonika.codecs import (
    AVL_CODECS,
    CODECS,
    MESSAGE_CODECS,
    AvlPacket,
    CommandMessage,
    DecodeError,
    ErrorCode,
    decode_packet,
    encode_message,
    encode_packet,
)

AVL_TCP = of_kind("avl")
AVL_UDP = of_kind("avl", transport="udp")
MESSAGES = of_kind("command", "response", "nack")
DEFECTIVE_TCP = of_kind("error")
DEFECTIVE_UDP = of_kind("error", transport="udp")


def test_no_sample_is_left_out() -> None:
    imeis = of_kind("imei")  # test_handshake reads them
    groups = [AVL_TCP, AVL_UDP, MESSAGES, DEFECTIVE_TCP, DEFECTIVE_UDP, imeis]
    assert sorted(s.name for group in groups for s in group) == sorted(s.name for s in SAMPLES)
    assert all(groups)


@pytest.mark.parametrize("sample", AVL_TCP, ids=str)
def test_tcp_packet_decodes_to_the_published_values_in_every_field(sample: Sample) -> None:
    codec = AVL_CODECS.by_name(sample.expected["codec"])
    packet = decode_packet(sample.data)
    assert isinstance(packet, AvlPacket)
    assert (packet.codec_id, packet.records) == (codec.codec_id, sample.records)
    assert b"".join(packet.encoded) == sample.data[10:-5]


@pytest.mark.parametrize("sample", AVL_TCP, ids=str)
def test_published_values_encode_to_the_published_bytes(sample: Sample) -> None:
    codec = AVL_CODECS.by_name(sample.expected["codec"])
    assert encode_packet(codec, sample.records) == sample.data


@pytest.mark.parametrize("sample", AVL_UDP, ids=str)
def test_data_field_of_a_datagram_decodes_and_encodes_alike(sample: Sample) -> None:
    codec = AVL_CODECS.by_name(sample.expected["codec"])
    assert sample.data_field[0] == codec.codec_id
    assert codec.decode_data(sample.data_field).records == sample.records
    assert codec.encode_data(sample.records) == sample.data_field


@pytest.mark.parametrize("sample", MESSAGES, ids=str)
def test_a_message_decodes_to_what_is_published_and_encodes_back(sample: Sample) -> None:
    expected = sample.expected
    message = decode_packet(sample.data)
    assert isinstance(message, CommandMessage)
    assert message.codec_id == MESSAGE_CODECS.by_name(expected["codec"]).codec_id
    assert message.type == expected["type"]
    assert (message.text, message.imei) == (expected["text"], expected.get("imei"))
    assert message.timestamp_s == expected.get("timestamp_s")
    assert encode_message(message) == sample.data


DEFECTS = {
    "codec13-published": (ErrorCode.TRUNCATED, 31, 35, 31),
    "codec14-nack-published": (ErrorCode.CRC_MISMATCH, 24, 0x32AC, 0x635E),
}


@pytest.mark.parametrize("sample", DEFECTIVE_TCP, ids=str)
def test_defective_tcp_sample_is_refused_with_its_defect(sample: Sample) -> None:
    with pytest.raises(DecodeError) as caught:
        decode_packet(sample.data)
    error = caught.value
    assert (error.code, error.offset, error.expected, error.found) == DEFECTS[sample.name]


@pytest.mark.parametrize("sample", DEFECTIVE_UDP, ids=str)
def test_defective_datagram_is_not_decoded_as_seven_records(sample: Sample) -> None:
    with pytest.raises(DecodeError) as caught:
        CODECS.by_id(sample.data_field[0]).decode_data(sample.data_field)
    assert caught.value.code is ErrorCode.TRUNCATED
