"""Targets: packets and their data fields, one codec at a time and as they come."""

from fuzz.plain_reading import defect
from samples import framed

from teltonika.codecs import (
    MESSAGE_CODECS,
    AvlCodec,
    AvlPacket,
    CommandCodec,
    CommandMessage,
    CrcMismatchError,
    DecodeError,
    crc16_ibm,
    decode_packet,
    encode_message,
    encode_packet,
)
from teltonika.codecs.registry import AVL_CODECS

HEADER_SIZE = 8
CRC_SIZE = 4


def check_data_field(codec: AvlCodec | CommandCodec, data: bytes) -> None:
    """``data`` is what stands behind the codec id.

    It is taken, or refused for the defect that it has, at a byte inside; what is taken encodes back
    to the same bytes. The same in a packet with a right length and CRC, all offsets 8 bytes on.
    """
    data_field = bytes((codec.codec_id,)) + data
    try:
        packet = codec.decode_data(data_field)
    except DecodeError as error:
        assert error.code == defect(data_field), f"{defect(data_field)}, not {error.code}: {error}"
        assert 0 <= error.offset <= len(data_field), f"{error.offset}: {error}"
        assert error.message == str(error)
        found: AvlPacket | CommandMessage | DecodeError = error
    else:
        assert defect(data_field) is None, f"{defect(data_field)}, and taken: {packet!r}"
        check_encodes_back(packet, data_field)
        found = packet
    if len(data_field) < 3:
        return  # no packet has so few
    try:
        framed_packet = decode_packet(framed(data_field), max_packet_size=2**32)
    except DecodeError as error:
        assert isinstance(found, DecodeError), f"taken alone, refused in a packet: {error}"
        assert error.offset == found.offset + HEADER_SIZE
        assert (type(error), error.code) == (type(found), found.code)
    else:
        assert framed_packet == found


def check_packet(data: bytes) -> None:
    """Any bytes as one whole packet: taken if and only if length, CRC and inside are right."""
    data_field, crc = data[HEADER_SIZE:-CRC_SIZE], data[-CRC_SIZE:]
    whole = len(data_field) >= 3 and data[:HEADER_SIZE] == len(data_field).to_bytes(HEADER_SIZE)
    right = whole and crc == crc16_ibm(data_field).to_bytes(CRC_SIZE)
    try:
        packet = decode_packet(data)
    except DecodeError as error:
        assert 0 <= error.offset <= len(data), f"{error.offset}: {error}"
        assert isinstance(error, CrcMismatchError) == (whole and not right)
        assert not right or error.code == defect(data_field), f"{defect(data_field)}: {error}"
    else:
        assert right
        check_encodes_back(packet, data_field)


def check_encodes_back(packet: AvlPacket | CommandMessage, data_field: bytes) -> None:
    """``packet``, encoded, is the data field that it was decoded from.

    In every byte for AVL packets; a message's two quantities are read over, and written as 1.
    """
    if isinstance(packet, CommandMessage):
        written = data_field[:1] + b"\x01" + data_field[2:-1] + b"\x01"
        assert MESSAGE_CODECS.by_id(packet.codec_id).encode_data(packet) == written
        assert encode_message(packet) == framed(written)
        packet.text.encode()
        return
    codec = AVL_CODECS.by_id(packet.codec_id)
    assert codec.encode_data(packet.records) == data_field
    assert encode_packet(codec, packet.records) == framed(data_field)
    assert b"".join(packet.encoded) == data_field[2:-1]
    assert len(packet.encoded) == len(packet.records) == data_field[1]
