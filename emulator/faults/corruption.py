"""Packets that are wrong in one way, and right in all others."""

from random import Random

from teltonika.codecs.crc import crc16_ibm
from teltonika.emulator.faults.plan import Fault

_HEADER = 8
_CRC = 4
MAX_GARBAGE = 64
"""Bytes."""


def corrupt(fault: Fault, packet: bytes, rng: Random) -> bytes:
    """``packet``, a whole one, with ``fault``, one of `CORRUPTIONS`."""
    match fault:
        case Fault.CRC:
            place = len(packet) - 1 - rng.randrange(2)
            return _with_byte(packet, place, packet[place] ^ rng.randrange(1, 256))
        case Fault.LENGTH:
            length = int.from_bytes(packet[4:_HEADER]) + rng.choice((-8, -1, 1, 8))
            return packet[:4] + length.to_bytes(4) + packet[_HEADER:]
        case Fault.COUNTS:
            data = bytearray(packet[_HEADER:-_CRC])
            data[-1] = (data[-1] + rng.randrange(1, 256)) % 256
            return packet[:_HEADER] + data + crc16_ibm(bytes(data)).to_bytes(4)
        case _:
            return rng.randbytes(rng.randint(1, MAX_GARBAGE)) + packet


def _with_byte(data: bytes, place: int, value: int) -> bytes:
    return data[:place] + bytes((value,)) + data[place + 1 :]


CORRUPTIONS = (Fault.CRC, Fault.LENGTH, Fault.COUNTS, Fault.GARBAGE)
"""In the order in which they are done to one packet."""
BROKEN = frozenset((Fault.CRC, Fault.LENGTH, Fault.COUNTS))
"""Of those, the ones after which no server may acknowledge."""
