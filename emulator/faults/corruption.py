"""Packets that are wrong in one way, and right in all others."""

from random import Random

from teltonika.codecs.framing import CRC_SIZE, HEADER_SIZE, encode_frame
from teltonika.emulator.faults.plan import Fault

MAX_GARBAGE = 64
"""Bytes."""


def corrupt(fault: Fault, packet: bytes, rng: Random) -> bytes:
    """``packet``, a whole one, with ``fault``, one of `CORRUPTIONS`."""
    match fault:
        case Fault.CRC:
            place = len(packet) - 1 - rng.randrange(2)
            return _with_byte(packet, place, packet[place] ^ rng.randrange(1, 256))
        case Fault.LENGTH:
            length = int.from_bytes(packet[4:HEADER_SIZE]) + rng.choice((-8, -1, 1, 8))
            return packet[:4] + length.to_bytes(4) + packet[HEADER_SIZE:]
        case Fault.COUNTS:
            data = bytearray(packet[HEADER_SIZE:-CRC_SIZE])
            data[-1] = (data[-1] + rng.randrange(1, 256)) % 256
            return encode_frame(bytes(data))
        case _:
            return rng.randbytes(rng.randint(1, MAX_GARBAGE)) + packet


def _with_byte(data: bytes, place: int, value: int) -> bytes:
    return data[:place] + bytes((value,)) + data[place + 1 :]


CORRUPTIONS = (Fault.COUNTS, Fault.CRC, Fault.LENGTH, Fault.GARBAGE)
"""In the order in which they are done to one packet."""
BROKEN = frozenset((Fault.CRC, Fault.LENGTH, Fault.COUNTS))
"""Of those, the ones after which no server may acknowledge."""
