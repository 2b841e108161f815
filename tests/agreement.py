"""The annotated reading and the fast decoders, held against each other."""

from teltonika.codecs import (
    AvlPacket,
    CommandMessage,
    DecodeError,
    decode_imei,
    decode_packet,
)
from teltonika.codecs.annotate import Annotation, Form, annotate
from teltonika.codecs.framing import decode_data
from teltonika.codecs.udp import ENVELOPE_SIZE, decode_datagram

ANY_SIZE = 2**33
OFFSET = 1000

Decoded = AvlPacket | CommandMessage | str


def fast_reading(data: bytes, form: Form) -> Decoded:
    """What the decoders make of it. Raises DecodeError."""
    if form is Form.HANDSHAKE:
        return decode_imei(data, OFFSET)
    if form is Form.PACKET:
        return decode_packet(data, OFFSET, max_packet_size=ANY_SIZE)
    datagram = decode_datagram(data, OFFSET)
    return decode_data(datagram.data, OFFSET + ENVELOPE_SIZE)


def check_agreement(data: bytes, form: Form) -> Annotation:
    annotation = annotate(data, form, OFFSET)
    end = OFFSET
    for field in annotation.fields:  # every byte once
        assert field.offset == end
        end += field.length
        assert field.hex == data[field.offset - OFFSET : end - OFFSET].hex()
        assert field.length
    assert end == OFFSET + len(data)
    try:
        decoded = fast_reading(data, form)
    except DecodeError as error:
        fault = annotation.fault
        assert fault is not None, f"refused: {error}"
        assert (fault.code, fault.offset) == (error.code, error.offset), str(error)
    else:
        assert annotation.fault is None
        if isinstance(decoded, AvlPacket):
            decoded = AvlPacket(decoded.codec_id, decoded.records)
        if not isinstance(decoded, str):
            assert annotation.content == decoded
    return annotation
