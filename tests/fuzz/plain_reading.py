"""Data fields read a second time, by the protocol's text and byte by byte.

The decoders are made to be fast; this is made to be compared with Teltonika Data Sending
Protocols. It only says whether a data field is sound: what is in it, the encoders tell.
"""

from dataclasses import dataclass
from io import BytesIO

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
COMMAND_TYPES = {0x0C: (5, 6), 0x0E: (5, 6, 0x11)}
"""The types of message that each command codec knows. Only codec 14 has an IMEI."""


class _EndedError(Exception):
    """The bytes end too soon."""


def is_sound(data: bytes) -> bool:
    """Whether a decoder must take this data field, of any codec that is decoded."""
    if data[0] in AVL_LAYOUTS:
        return _is_sound_avl(AVL_LAYOUTS[data[0]], data)
    return data[0] in COMMAND_TYPES and _is_sound_command(data)


def _is_sound_avl(layout: AvlLayout, data: bytes) -> bool:
    if len(data) < 3 or data[1] != data[-1]:
        return False
    body = BytesIO(data[2:-1])
    try:
        return all(_skip_record(layout, body) for _ in range(data[1])) and not body.read()
    except _EndedError:
        return False


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


def _is_sound_command(data: bytes) -> bool:
    content = data[7:-1]
    if len(data) < 8 or int.from_bytes(data[3:7]) != len(content):
        return False
    if data[2] not in COMMAND_TYPES[data[0]]:
        return False
    if data[0] != 0x0E:
        return True
    nibbles = [nibble for byte in content[:8] for nibble in (byte >> 4, byte & 15)]
    return len(nibbles) == 16 and nibbles[0] == 0 and max(nibbles) <= 9


def _number(body: BytesIO, size: int) -> int:
    return int.from_bytes(_take(body, size))


def _take(body: BytesIO, size: int) -> bytes:
    taken = body.read(size)
    if len(taken) < size:
        raise _EndedError
    return taken
