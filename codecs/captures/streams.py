"""TCP put together again: whatever order, cut and repetition a capture shows, one stream a side.

Bytes are handed on as soon as all before them are there. What came too early waits; how much, and
how long, has a bound, behind which the missing bytes become a gap.
"""

from bisect import insort
from enum import Enum
from operator import attrgetter

import msgspec

from teltonika.codecs.captures.packets import ACK, FIN, RST, SYN, Flow, Segment, opposite

_LAST_SEQ = 2**32 - 1
_NEAR = 2**26
"""Further from what a connection has sent than this, bytes belong to another one."""
MAX_HELD = 2**18
"""Bytes of one stream that wait for those before them."""
_MAX_PIECES = 512
_MAX_BEFORE_START = 16
"""Pieces that wait for an earlier one, or for a SYN, where a capture begins inside a connection."""
_PATIENCE = 8
"""Segments that missing bytes may still be in, once the other end has acknowledged them."""


class Payload(msgspec.Struct, frozen=True, gc=False):
    """What one segment or datagram brought that had not come before; without data what is missing
    at the end."""

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
    at: int | None
    """The offset behind its last byte, where a FIN told it."""


class _Piece(msgspec.Struct, frozen=True, gc=False):
    offset: int
    frame: int
    time: float
    data: bytes
    missing: int


_place = attrgetter("offset", "frame")


class Stream:
    """One direction of a connection: its segments in, its payloads out, each byte once.

    Where bytes came twice, those that came first count.
    """

    __slots__ = (
        "_acknowledged",
        "_begin",
        "_frame",
        "_gap",
        "_last_offset",
        "_last_seq",
        "_lowest",
        "_position",
        "closed",
        "expected",
        "held",
        "pieces",
        "time",
    )

    def __init__(self) -> None:
        self.pieces: list[_Piece] = []
        """What came too early."""
        self._position: int | None = None  # offset of the next byte; None until the start is known
        self._begin: int | None = None  # offset of the first byte, where a SYN told it
        self._lowest = 0
        self._last_seq: int | None = None
        self._last_offset = 0
        self.expected: int | None = None
        """The sequence number of what goes on where the last segment ended, if nothing waits."""
        self._gap = 0  # bytes missing before the next payload
        self.time = 0.0
        """When the last payload was there."""
        self._frame = 0
        self._acknowledged = 0  # times that bytes were, for which others wait here
        self.held = 0
        """Bytes that wait."""
        self.closed: Closed | None = None

    @property
    def began(self) -> bool:
        """Whether the capture shows its beginning."""
        return self._begin is not None

    @property
    def is_over(self) -> bool:
        """Whether its end was captured, and everything before it."""
        if self.closed is None or self.pieces:
            return False
        return self.closed.at in (None, self._position) or self._position is None

    def holds(self, seq: int) -> bool:
        """Whether a sequence number can belong to it."""
        last = self._last_seq
        return last is None or -_NEAR < (seq - last + 2**31) % 2**32 - 2**31 < _NEAR

    def is_begun_by(self, seq: int) -> bool:
        """Whether a SYN with this sequence number is its own."""
        if self._last_seq is None:
            return True
        offset = self._last_offset + _distance(seq + 1, self._last_seq)
        if self._begin is not None:
            return offset == self._begin
        return abs(offset) < _NEAR and offset <= self._lowest

    def add(self, segment: Segment, time: float, frame: int) -> list[Payload]:
        """What can be handed on now."""
        flags, data, missing = segment.flags, segment.data, segment.missing
        if flags & RST:
            self._close(Closing.RST, time, frame, None)
            return []
        self.expected = None
        seq = segment.seq + bool(flags & SYN)
        offset = self._last_offset
        if self._last_seq is not None:
            offset += (seq - self._last_seq + 2**31) % 2**32 - 2**31
        self._last_seq, self._last_offset = seq, offset
        end = offset + len(data) + missing
        if flags & (SYN | FIN):
            if flags & SYN and self._begin is None:
                self._begin = offset
                if self._position is None:
                    self._position = offset
            if flags & FIN:
                self._close(Closing.FIN, time, frame, end)
        if offset == self._position and data and not (missing or self.pieces):
            self.expected = seq
            self.go_on(len(data), max(time, self.time), frame)
            gap, self._gap = self._gap, 0
            return [Payload(self.time, data, frame, gap)]
        if end > offset and (self._position is None or end > self._position):
            self._lowest = min(self._lowest, offset)
            insort(self.pieces, _Piece(offset, frame, time, data, missing), key=_place)
            self.held += len(data)
        return self._release() if self.pieces else []

    def go_on(self, size: int, time: float, frame: int) -> None:
        """So many bytes came with the sequence number that is `expected`."""
        seq, offset = self.expected, self._position
        assert seq is not None
        assert offset is not None
        self._last_seq, self._last_offset = seq, offset
        self._position = offset + size
        self.expected = (seq + size) & _LAST_SEQ
        self.time, self._frame = time, frame

    def acknowledge(self, ack: int) -> list[Payload]:
        """What can be handed on, now that the other end has all before ``ack``.

        It tells where a stream starts whose beginning was not captured. And what waits for bytes
        that the other end has waits for the capture's order only, which is seldom far wrong.
        """
        if self._last_seq is None or not self.pieces:
            return []
        distance = _distance(ack, self._last_seq)
        beyond = self._last_offset + distance - self.pieces[0].offset
        if abs(distance) >= _NEAR or beyond < 0:
            return []
        if self._position is None:
            return self._give_up() if beyond else []
        self._acknowledged += 1
        return self._give_up() if self._acknowledged > _PATIENCE else []

    def finish(self) -> list[Payload]:
        """Nothing more comes: everything that waits, with gaps for what is missing."""
        payloads: list[Payload] = []
        while self.pieces:
            payloads += self._give_up()
        position = self._position
        if position is not None and self.closed is not None and self.closed.at is not None:
            self._gap += max(0, self.closed.at - position)  # the FIN tells how much there was
        if self._gap:
            payloads.append(Payload(self.time, b"", self._frame, self._gap))
            self._gap = 0
        return payloads

    def _close(self, how: Closing, time: float, frame: int, at: int | None) -> None:
        if self.closed is None:
            self.closed = Closed(time, frame, how, at)

    def _give_up(self) -> list[Payload]:
        """Whatever the first piece waits for is missing."""
        first = self.pieces[0].offset
        if self._position is not None and first > self._position:
            self._gap += first - self._position
            self._position = first
        elif self._position is None:
            self._position = first
        return self._release()

    def _release(self) -> list[Payload]:
        if self._position is None:
            if len(self.pieces) < _MAX_BEFORE_START and self.held < MAX_HELD:
                return []
            self._position = self.pieces[0].offset
        payloads: list[Payload] = []
        count = 0
        for piece in self.pieces:
            if piece.offset > self._position:
                break
            count += 1
            self._hand_on(piece, payloads)
        if count:
            del self.pieces[:count]
            self._acknowledged = 0
        if self.held > MAX_HELD or len(self.pieces) > _MAX_PIECES:
            payloads += self._give_up()
        return payloads

    def _hand_on(self, piece: _Piece, payloads: list[Payload]) -> None:
        assert self._position is not None
        self.held -= len(piece.data)
        data = piece.data[self._position - piece.offset :]
        self.time, self._frame = max(self.time, piece.time), max(self._frame, piece.frame)
        if data:
            payloads.append(Payload(self.time, data, self._frame, self._gap))
            self._gap = 0
            self._position += len(data)
        end = piece.offset + len(piece.data) + piece.missing
        if end > self._position:
            self._gap += end - self._position
            self._position = end


class Connection:
    """One TCP connection as far as the capture has it."""

    __slots__ = ("_ways", "flow", "frame", "opener", "started", "streams")

    def __init__(self, segment: Segment, time: float, frame: int) -> None:
        self.started = time
        self.frame = frame
        self.flow = segment.flow
        """The direction of the first segment."""
        self.opener: Flow | None = None
        """The direction of the SYN; None where the capture begins after it."""
        there, back = segment.flow, opposite(segment.flow)
        said, answered = Stream(), Stream()
        self.streams = {there: said, back: answered}
        self._ways = {there: (said, back, answered), back: (answered, there, said)}

    @property
    def waits(self) -> bool:
        """Whether something came too early."""
        said, answered = self.streams.values()
        return bool(said.pieces or answered.pieces)

    @property
    def held(self) -> int:
        """Bytes of both sides that wait for others."""
        said, answered = self.streams.values()
        return said.held + answered.held

    @property
    def is_over(self) -> bool:
        """Whether an end was captured, and everything before it."""
        streams = self.streams.values()
        reset = any(
            stream.closed is not None and stream.closed.how is Closing.RST for stream in streams
        )
        if reset:
            return not any(stream.pieces for stream in streams)
        return all(stream.is_over for stream in streams)

    def takes(self, segment: Segment) -> bool:
        """Whether a segment between its two ends belongs to it, and not to one after it."""
        stream = self.streams[segment.flow]
        if segment.flags & SYN:
            return stream.is_begun_by(segment.seq)
        if segment.flags & RST:  # whose number may be 0
            return True
        return stream.holds(segment.seq)

    def add(self, segment: Segment, time: float, frame: int) -> list[tuple[Flow, Payload]]:
        """What can be handed on now, of either direction."""
        flags = segment.flags
        if flags & SYN:
            if not flags & ACK:
                self.opener = segment.flow
            elif self.opener is None:
                self.opener = opposite(segment.flow)
        flow = segment.flow
        stream, back, answered = self._ways[flow]
        earlier = (
            answered.acknowledge(segment.ack)
            if answered.pieces and flags & ACK and segment.ack  # 0 is written where it is unknown
            else []
        )
        payloads = stream.add(segment, time, frame)
        return [(back, each) for each in earlier] + [(flow, each) for each in payloads]

    def finish(self) -> list[tuple[Flow, Payload]]:
        """Nothing more comes: everything that waits, in the order of its frames."""
        rest = [
            (flow, payload) for flow, stream in self.streams.items() for payload in stream.finish()
        ]
        return sorted(rest, key=lambda each: each[1].frame)


def _distance(seq: int, other: int) -> int:
    """How far ``seq`` lies behind ``other``, in sequence numbers that wrap around."""
    return (seq - other + 2**31) % 2**32 - 2**31
