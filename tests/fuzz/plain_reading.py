"""Data fields read a second time, by the protocol's text and byte by byte.

The decoders are made to be fast; this is made to be compared with Teltonika Data Sending
Protocols. It only says what is wrong with a data field: what is in a sound one, the encoders tell.
"""

from dataclasses import dataclass
from io import BytesIO

from teltonika.codecs import ErrorCode

FIXED_SIZE = 8 + 1 + 4 + 4 + 2 + 2 + 1 + 2
"""Timestamp, priority, longitude, latitude, altitude, angle, satellites, speed."""


@dataclass(frozen=True)
class AvlLayout:
    id_width: int
    count_width: int
    generation_type: bool = False
    variable_length: bool = False


AVL_LAYOUTS = {
    0x08: AvlLayout(1, 1),
    0x8E: AvlLayout(2, 2, variable_length=True),
    0x10: AvlLayout(2, 1, generation_type=True),
}
COMMAND_TYPES = {0x0C: (5, 6), 0x0D: (6,), 0x0E: (5, 6, 0x11), 0x0F: (0x0B,)}
"""The types of message that each message codec knows."""
TIMESTAMP_SIZES = {0x0C: 0, 0x0D: 4, 0x0E: 0, 0x0F: 4}


class _EndedError(Exception):
    """The bytes end too soon."""


def defect(data: bytes) -> ErrorCode | None:
    """The first thing that is wrong with a data field of any codec; None if it must be taken."""
    if data[0] in AVL_LAYOUTS:
        return _avl_defect(AVL_LAYOUTS[data[0]], data)
    if data[0] in COMMAND_TYPES:
        return _command_defect(data)
    return ErrorCode.UNKNOWN_CODEC


def _avl_defect(layout: AvlLayout, data: bytes) -> ErrorCode | None:
    if len(data) < 3:
        return ErrorCode.TRUNCATED
    body = BytesIO(data[2:-1])
    try:
        for _ in range(data[1]):
            if not _skip_record(layout, body):
                return ErrorCode.IO_COUNT_MISMATCH
    except _EndedError:
        return ErrorCode.TRUNCATED
    if body.read():
        return ErrorCode.TRAILING_BYTES
    return None if data[-1] == data[1] else ErrorCode.RECORD_COUNT_MISMATCH


def _skip_record(layout: AvlLayout, body: BytesIO) -> bool:
    """Whether the record says as many elements as it has."""
    _take(body, FIXED_SIZE + layout.id_width + layout.generation_type)
    total = _number(body, layout.count_width)
    elements = 0
    for width in (1, 2, 4, 8):
        for _ in range(_number(body, layout.count_width)):
            _take(body, layout.id_width)
            _take(body, width)
            elements += 1
    if layout.variable_length:
        for _ in range(_number(body, 2)):
            _take(body, 2)
            _take(body, _number(body, 2))
            elements += 1
    return elements == total


def _command_defect(data: bytes) -> ErrorCode | None:
    content = data[7:-1]
    if len(data) < 8:
        return ErrorCode.TRUNCATED
    if data[2] not in COMMAND_TYPES[data[0]]:
        return ErrorCode.UNKNOWN_TYPE
    if int.from_bytes(data[3:7]) != len(content):
        return ErrorCode.SIZE_MISMATCH
    if len(content) < TIMESTAMP_SIZES[data[0]]:
        return ErrorCode.TRUNCATED
    content = content[TIMESTAMP_SIZES[data[0]] :]
    if data[0] not in (0x0E, 0x0F):
        return None
    if len(content) < 8:
        return ErrorCode.TRUNCATED
    nibbles = [nibble for byte in content[:8] for nibble in (byte >> 4, byte & 15)]
    return None if nibbles[0] == 0 and max(nibbles) <= 9 else ErrorCode.IMEI_DIGITS


def _number(body: BytesIO, size: int) -> int:
    return int.from_bytes(_take(body, size))


def _take(body: BytesIO, size: int) -> bytes:
    taken = body.read(size)
    if len(taken) < size:
        raise _EndedError
    return taken
