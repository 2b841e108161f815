"""Where a stream can be read again of which bytes are missing or spoilt: at a right packet."""

import re
from heapq import heappop, heappush

import msgspec

from teltonika.codecs.errors import DecodeError
from teltonika.codecs.framing import HEADER_SIZE, checked_data, packet_size
from teltonika.codecs.registry import CODECS

_HEAD_SIZE = HEADER_SIZE + 1
_HEAD = re.compile(
    b"(?=\\x00{4}.{4}[" + re.escape(bytes(codec.codec_id for codec in CODECS)) + b"])", re.DOTALL
)
"""What a packet's header and codec id look like, wherever they stand."""
_MAX_CANDIDATES = 64


class FoundAgain(msgspec.Struct, frozen=True, gc=False):
    """A packet with a right CRC, where it begins, and the bytes behind it that came with it."""

    offset: int
    packet: bytes
    rest: bytes


class PacketSearch:
    """Bytes in, until a packet with a right CRC is whole: the first to be so, however TCP cut it.

    Holds what may be such a packet, at most twice ``max_packet_size``.
    """

    __slots__ = ("_buffer", "_candidates", "_max_packet_size", "_offset", "_scanned")

    def __init__(self, offset: int, max_packet_size: int) -> None:
        self._max_packet_size = max_packet_size
        self._buffer = bytearray()
        self._offset = offset  # of the buffer's first byte
        self._scanned = offset
        self._candidates: list[tuple[int, int]] = []  # end and start, the first end first

    @property
    def held(self) -> int:
        return len(self._buffer)

    @property
    def end(self) -> int:
        """The offset behind all that came."""
        return self._offset + len(self._buffer)

    @property
    def hopeful(self) -> bool:
        """Whether something may become a packet."""
        return bool(self._candidates)

    def skip(self, size: int) -> None:
        """So many bytes are missing."""
        self._offset = self._scanned = self.end + size
        self._buffer.clear()
        self._candidates.clear()

    def receive_data(self, data: bytes) -> FoundAgain | None:
        """The packet, if it is whole; after it nothing more is to be asked."""
        buffer = self._buffer
        buffer += data
        for match in _HEAD.finditer(buffer, self._scanned - self._offset):
            self._consider(match.start())
        self._scanned = max(self._scanned, self.end - _HEAD_SIZE + 1)
        while self._candidates and self._candidates[0][0] <= self.end:
            end, start = heappop(self._candidates)
            packet = bytes(buffer[start - self._offset : end - self._offset])
            try:
                checked_data(packet)
            except DecodeError:
                continue
            return FoundAgain(start, packet, bytes(buffer[end - self._offset :]))
        keep = min((start for _, start in self._candidates), default=self._scanned)
        del buffer[: keep - self._offset]
        self._offset = keep
        return None

    def _consider(self, at: int) -> None:
        try:
            size = packet_size(self._buffer, at, self._max_packet_size)
        except DecodeError:
            return
        if size is not None and len(self._candidates) < _MAX_CANDIDATES:
            start = self._offset + at
            heappush(self._candidates, (start + size, start))
