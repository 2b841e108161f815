"""Packets that cases put together: records of a car that drives away from Vilnius."""

from collections.abc import Iterable

from teltonika.codecs import (
    AVL_CODECS,
    AvlRecord,
    GenerationType,
    IoElement,
    IoElements,
    Priority,
    encode_packet,
)
from teltonika.codecs.framing import CRC_SIZE, HEADER_SIZE, encode_frame

CODEC8, CODEC8E, CODEC16 = (AVL_CODECS.by_name(name) for name in ("8", "8E", "16"))
START_MS = 1_738_310_400_000
"""2025-01-31T08:00Z. Not the clock's: the same run sends the same bytes."""
PING = b"\xff"


def record(number: int = 0, io: Iterable[IoElement] = (), **fields: int) -> AvlRecord:
    """The record of second ``number``; ``fields`` are other than usual."""
    usual: dict[str, int] = {
        "timestamp_ms": START_MS + 1000 * number,
        "priority": Priority.LOW,
        "longitude_e7": 252_797_000 + 1000 * number,
        "latitude_e7": 546_872_000 + 1000 * number,
        "altitude": 112,
        "angle": 30,
        "satellites": 9,
        "speed": 50,
    }
    return AvlRecord(**(usual | fields), io=IoElements.of(io))


def periodical(number: int = 0, io: Iterable[IoElement] = (), **fields: int) -> AvlRecord:
    """A record with codec 16's generation type."""
    return record(number, io, generation_type=GenerationType.PERIODICAL, **fields)


IGNITION = IoElement(239, 1, 1)
VOLTAGE = IoElement(66, 12_640, 2)


def packet(first: int = 0, count: int = 1) -> bytes:
    """Codec 8: ``count`` records from number ``first`` on."""
    numbers = range(first, first + count)
    return encode_packet(CODEC8, [record(number, [IGNITION, VOLTAGE]) for number in numbers])


def framed(data: bytes, *, crc_change: int = 0) -> bytes:
    """A TCP packet around a data field; its CRC is right unless it is changed (by XOR)."""
    whole = encode_frame(data)
    crc = int.from_bytes(whole[-CRC_SIZE:]) ^ crc_change
    return whole[:-CRC_SIZE] + crc.to_bytes(CRC_SIZE)


def data_field(whole: bytes) -> bytes:
    """What stands between the length and the CRC."""
    return whole[HEADER_SIZE:-CRC_SIZE]


def one_by_one(data: bytes) -> tuple[bytes, ...]:
    """Pieces of one byte."""
    return tuple(bytes((byte,)) for byte in data)
