"""TCP put together again: whatever order, cut and repetition a capture shows, one stream a side."""

from enum import Enum

import msgspec

from teltonika.codecs.captures.packets import ACK, FIN, RST, SYN, Endpoint, Segment

_NEAR = 2**26
"""Further from what a connection has sent than this, bytes belong to another one."""


class Payload(msgspec.Struct, frozen=True, gc=False):
    """What one segment or datagram brought that had not come before."""

    time: float
    """Seconds since 1970-01-01 UTC at which it and all before it was there."""
    data: bytes
    frame: int = 0
    """The number in the file of the frame that brought it, or brought what it waited for."""
    gap: int = 0
    """Bytes that are missing before it."""


class Closing(Enum):
    """How an end closed a connection."""

    FIN = "fin"
    RST = "rst"


class Closed(msgspec.Struct, frozen=True, gc=False):
    time: float
    frame: int
    how: Closing


class _Piece(msgspec.Struct, frozen=True, gc=False):
    offset: int
    frame: int
    time: float
    data: bytes


class Stream:
    """One direction of a connection: its segments in, its payloads out."""

    def __init__(self) -> None:
        self._pieces: list[_Piece] = []
        self._begin: int | None = None  # offset of the first byte, where a SYN told it
        self._last_seq: int | None = None
        self._last_offset = 0
        self.closed: Closed | None = None

    @property
    def began(self) -> bool:
        """Whether the capture shows its beginning."""
        return self._begin is not None

    def holds(self, seq: int) -> bool:
        """Whether a sequence number can belong to it."""
        return self._last_seq is None or abs(_distance(seq, self._last_seq)) < _NEAR

    def is_begun_by(self, seq: int) -> bool:
        """Whether a SYN with this sequence number is its own."""
        if self._last_seq is None:
            return True
        offset = self._last_offset + _distance(seq + 1, self._last_seq)
        if self._begin is not None:
            return offset == self._begin
        return abs(offset) < _NEAR and all(offset <= piece.offset for piece in self._pieces)

    def add(self, segment: Segment, time: float, frame: int) -> None:
        if segment.flags & RST:
            self._close(Closing.RST, time, frame)
            return
        seq = segment.seq + bool(segment.flags & SYN)
        offset = self._last_offset
        if self._last_seq is not None:
            offset += _distance(seq, self._last_seq)
        if segment.flags & SYN:
            self._begin = offset
        self._last_seq, self._last_offset = seq, offset
        if segment.data:
            self._pieces.append(_Piece(offset, frame, time, segment.data))
        if segment.flags & FIN:
            self._close(Closing.FIN, time, frame)

    def _close(self, how: Closing, time: float, frame: int) -> None:
        if self.closed is None:
            self.closed = Closed(time, frame, how)

    def payloads(self) -> list[Payload]:
        """The stream's bytes, each once. Where bytes came twice, those that begin earlier count,
        of these the first."""
        pieces = sorted(self._pieces, key=lambda piece: (piece.offset, piece.frame))
        if not pieces:
            return []
        position = pieces[0].offset if self._begin is None else self._begin
        payloads: list[Payload] = []
        time, frame = pieces[0].time, 0
        for piece in pieces:
            end = piece.offset + len(piece.data)
            if end <= position:
                continue
            gap = max(0, piece.offset - position)
            data = piece.data[max(0, position - piece.offset) :]
            time, frame = max(time, piece.time), max(frame, piece.frame)
            payloads.append(Payload(time, data, frame, gap))
            position = end
        return payloads


class Connection:
    """One TCP connection as far as the capture has it."""

    def __init__(self, segment: Segment, time: float, frame: int) -> None:
        self.started = time
        self.frame = frame
        self.first_sender = segment.source
        self.opener: Endpoint | None = None
        """Who sent the SYN; None where the capture begins after it."""
        self.streams = {segment.source: Stream(), segment.destination: Stream()}

    def takes(self, segment: Segment) -> bool:
        """Whether a segment between its two ends belongs to it, and not to one after it."""
        stream = self.streams[segment.source]
        if segment.flags & SYN:
            return stream.is_begun_by(segment.seq)
        if segment.flags & RST:  # whose number may be 0
            return True
        return stream.holds(segment.seq)

    def add(self, segment: Segment, time: float, frame: int) -> None:
        if segment.flags & SYN:
            if not segment.flags & ACK:
                self.opener = segment.source
            elif self.opener is None:
                self.opener = segment.destination
        self.streams[segment.source].add(segment, time, frame)


def _distance(seq: int, other: int) -> int:
    """How far ``seq`` lies behind ``other``, in sequence numbers that wrap around."""
    return (seq - other + 2**31) % 2**32 - 2**31
