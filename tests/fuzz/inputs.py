"""What targets make of the fuzzer's bytes: streams, packets, pieces; and the way back, for seeds.

A fuzzer changes bytes blindly, so every input means something: what is missing at its end is
zeros, or nothing.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from samples import framed

_MOST_CUTS = 8
_MOST_SINGLE_BYTES = 64

_RIGHT, _WRONG, _BARE, _PING = range(4)
"""The kinds of a stream's parts: a packet, one with a wrong CRC, bytes as they are, an ``FF``."""


class Reader:
    """Takes one value after another from the front of an input."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def __bool__(self) -> bool:
        return self._at < len(self._data)

    def number(self, size: int) -> int:
        """An unsigned number of ``size`` bytes."""
        return int.from_bytes(self.take(size).ljust(size, b"\x00"))

    def take(self, size: int) -> bytes:
        """As many bytes, or the fewer that are left."""
        taken = self._data[self._at : self._at + size]
        self._at += len(taken)
        return taken

    def rest(self) -> bytes:
        return self.take(len(self._data))


@dataclass(frozen=True)
class Stream:
    """Bytes that come over a connection, and the same bytes as TCP cuts them."""

    data: bytes
    pieces: list[bytes]
    limit: int
    """The largest packet that is taken."""


_LIMITS = (65_536, 1_280, 64, 17)


def raw_stream(data: bytes) -> Stream:
    """An input whose bytes, behind limit and cuts, are the stream as it is."""
    reader = Reader(data)
    limit, cuts = _read_head(reader)
    return _stream(reader.rest(), limit, cuts)


def packet_stream(data: bytes, start: bytes = b"") -> Stream:
    """``start`` and an input's parts, most of them packets with a right length and CRC."""
    reader = Reader(data)
    limit, cuts = _read_head(reader)
    parts = [start]
    while reader:
        kind = reader.number(1) % 4
        if kind in (_RIGHT, _WRONG):
            crc_change = reader.number(4) if kind == _WRONG else 0
            parts.append(framed(reader.take(reader.number(2)), crc_change=crc_change))
        else:
            parts.append(b"\xff" if kind == _PING else reader.take(reader.number(1)))
    return _stream(b"".join(parts), limit, cuts)


def _read_head(reader: Reader) -> tuple[int, list[int] | None]:
    limit = _LIMITS[reader.number(1) % len(_LIMITS)]
    count = reader.number(1) % (_MOST_CUTS + 2)
    if count > _MOST_CUTS:
        return limit, None
    return limit, [reader.number(2) for _ in range(count)]


def _stream(data: bytes, limit: int, cuts: list[int] | None) -> Stream:
    """Cut at ``cuts``, or, where they are None, into single bytes and a long rest."""
    places: Sequence[int] = [*range(min(_MOST_SINGLE_BYTES, len(data))), len(data)]
    if cuts is not None:
        places = sorted((0, *(cut % (len(data) + 1) for cut in cuts), len(data)))
    return Stream(data, [data[start:end] for start, end in pairwise(places)], limit)


def head_seed(cuts: Iterable[int] | None = None) -> bytes:
    """The front of a stream's input: the largest limit, and where to cut: None is at every byte."""
    if cuts is None:
        return bytes((0, _MOST_CUTS + 1))
    places = tuple(cuts)
    return bytes((0, len(places))) + b"".join(place.to_bytes(2) for place in places)


def packet_seed(data_field: bytes, crc_change: int | None = None) -> bytes:
    """One part of `packet_stream`'s input."""
    kind = bytes((_RIGHT,)) if crc_change is None else bytes((_WRONG,)) + crc_change.to_bytes(4)
    return kind + len(data_field).to_bytes(2) + data_field


def bare_seed(data: bytes) -> bytes:
    """One part of `packet_stream`'s input: at most 255 bytes that are no packet."""
    return bytes((_BARE, len(data))) + data


PING_SEED = bytes((_PING,))
