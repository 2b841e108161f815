"""UDP: one datagram a packet, with the IMEI in each, and the server's answer to it.

A datagram is: length of what follows (2), packet id (2), ``01``, AVL packet id (1), IMEI length and
IMEI (2 + 15), data field as in TCP. There is no CRC: UDP has its own (Teltonika Data Sending
Protocols, "Communication with server over UDP").
"""

import struct

import msgspec

from teltonika.codecs.errors import ErrorCode, FramingError
from teltonika.codecs.handshake import IMEI_FRAME_SIZE, decode_imei, encode_imei

_HEAD = struct.Struct(">HHBB")  # length, packet id, not usable byte, AVL packet id
_LENGTH_SIZE = 2
_NOT_USABLE_AT = 4
_NOT_USABLE = 0x01
_ANSWER = struct.Struct(">HHBBB")  # as the head, and how many records were accepted
_MIN_DATA_SIZE = 3

ENVELOPE_SIZE = _HEAD.size + IMEI_FRAME_SIZE
"""Bytes before the data field: 23."""
MIN_DATAGRAM_SIZE = ENVELOPE_SIZE + _MIN_DATA_SIZE
ANSWER_SIZE = _ANSWER.size
"""Bytes of a server's answer: 7."""


class Datagram(msgspec.Struct, frozen=True, gc=False):
    """What a device sends: the envelope's fields, and the data field as it came."""

    packet_id: int
    """0 to 65,535; a datagram that is sent again keeps it."""
    avl_packet_id: int
    """0 to 255; likewise."""
    imei: str
    data: bytes
    """Codec id to number of data 2."""


class DatagramAnswer(msgspec.Struct, frozen=True, gc=False):
    """What the server answers: the datagram's ids, and how many records it accepted (0 to 255)."""

    packet_id: int
    avl_packet_id: int
    accepted: int


def decode_datagram(datagram: bytes, offset: int = 0) -> Datagram:
    """The envelope of a whole datagram; what its data field holds is not looked at.

    ``offset`` is added to an error's own. Raises FramingError: ``truncated``, ``bad_length``,
    ``unrecognised``, ``imei_length`` or ``imei_digits``.
    """
    if len(datagram) < _HEAD.size:
        at = offset + len(datagram)
        raise FramingError(
            ErrorCode.TRUNCATED,
            at,
            f"the datagram ends at byte {at}: expected {MIN_DATAGRAM_SIZE} bytes or more, "
            f"found {len(datagram)}",
            expected=MIN_DATAGRAM_SIZE,
            found=len(datagram),
        )
    length, packet_id, not_usable, avl_packet_id = _HEAD.unpack_from(datagram)
    found = len(datagram) - _LENGTH_SIZE
    if length < MIN_DATAGRAM_SIZE - _LENGTH_SIZE:
        raise FramingError(
            ErrorCode.BAD_LENGTH,
            offset,
            f"UDP datagram length at byte {offset}: expected "
            f"{MIN_DATAGRAM_SIZE - _LENGTH_SIZE} or more, found {length}",
            expected=MIN_DATAGRAM_SIZE - _LENGTH_SIZE,
            found=length,
        )
    if length != found:
        raise FramingError(
            ErrorCode.BAD_LENGTH,
            offset,
            f"UDP datagram length at byte {offset}: it says that {length} bytes follow, "
            f"found {found}",
            expected=length,
            found=found,
        )
    if not_usable != _NOT_USABLE:
        at = offset + _NOT_USABLE_AT
        raise FramingError(
            ErrorCode.UNRECOGNISED,
            at,
            f"the byte between the two ids of a datagram, byte {at}: expected 0x01, "
            f"found 0x{not_usable:02X}",
            expected=_NOT_USABLE,
            found=not_usable,
        )
    imei = decode_imei(datagram[_HEAD.size : ENVELOPE_SIZE], offset + _HEAD.size)
    return Datagram(packet_id, avl_packet_id, imei, datagram[ENVELOPE_SIZE:])


def encode_datagram(datagram: Datagram) -> bytes:
    """The bytes of a datagram. Raises ValueError for what is no IMEI, or too long a data field."""
    behind_length = ENVELOPE_SIZE - _LENGTH_SIZE + len(datagram.data)
    if behind_length > 0xFFFF:
        raise ValueError(f"a datagram holds no data field of {len(datagram.data)} bytes")
    head = _HEAD.pack(behind_length, datagram.packet_id, _NOT_USABLE, datagram.avl_packet_id)
    return head + encode_imei(datagram.imei) + datagram.data


def decode_answer(answer: bytes) -> DatagramAnswer | None:
    """What a server's datagram says; None if it is no answer."""
    if len(answer) != ANSWER_SIZE:
        return None
    length, packet_id, not_usable, avl_packet_id, accepted = _ANSWER.unpack(answer)
    if (length, not_usable) != (ANSWER_SIZE - _LENGTH_SIZE, _NOT_USABLE):
        return None
    return DatagramAnswer(packet_id, avl_packet_id, accepted)


def encode_answer(answer: DatagramAnswer) -> bytes:
    """The 7 bytes that answer a datagram."""
    return _ANSWER.pack(
        ANSWER_SIZE - _LENGTH_SIZE,
        answer.packet_id,
        _NOT_USABLE,
        answer.avl_packet_id,
        answer.accepted,
    )


def begins_datagram(data: bytes, start: int) -> bool:
    """Whether a device's datagram seems to stand there: its fixed bytes, then an IMEI."""
    envelope = data[start : start + ENVELOPE_SIZE]
    return (
        envelope[_NOT_USABLE_AT : _NOT_USABLE_AT + 1] == b"\x01"
        and envelope[_HEAD.size : _HEAD.size + 2] == b"\x00\x0f"
        and envelope[_HEAD.size + 2 :].isdigit()
    )


def datagram_imei(datagram: bytes) -> str | None:
    """The IMEI in the envelope of a device's datagram, whatever its length says; None if it is no
    such datagram."""
    if len(datagram) < ENVELOPE_SIZE or not begins_datagram(datagram, 0):
        return None
    return datagram[_HEAD.size + 2 : ENVELOPE_SIZE].decode("ascii")


def datagram_size(data: bytes, start: int) -> int:
    """How long the datagram at ``start`` says it is, its length field included."""
    return _LENGTH_SIZE + int.from_bytes(data[start : start + _LENGTH_SIZE])
