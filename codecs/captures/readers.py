"""Each side's stream of a TCP session, cut into what was said, over gaps and spoilt bytes."""

from teltonika.codecs.captures.found import CapturedFinding, Session
from teltonika.codecs.captures.search import PacketSearch
from teltonika.codecs.captures.streams import Payload
from teltonika.codecs.errors import DecodeError, ErrorCode, FramingError
from teltonika.codecs.findings import (
    Finding,
    FoundAck,
    FoundError,
    FoundHandshakeAnswer,
    FoundImei,
    FoundPing,
    found_error,
    found_packet,
)
from teltonika.codecs.framing import (
    HEADER_SIZE,
    PING,
    checked_data,
    decode_data,
    message_size,
    packet_size,
    ping_run,
    truncated_packet,
)
from teltonika.codecs.handshake import (
    ACCEPTED,
    IMEI_FRAME_SIZE,
    REJECTED,
    check_imei_length,
    decode_imei,
)
from teltonika.codecs.records import AvlPacket
from teltonika.codecs.transport import Side

_ACK_SIZE = 4
_THREE_ZEROS = bytes(3)


class _Lost:
    """Bytes that cannot be followed, from ``offset`` on."""

    __slots__ = ("code", "message", "missing", "offset", "search")

    def __init__(self, error: FramingError | None, search: PacketSearch, missing: int = 0) -> None:
        self.search = search
        self.missing = missing
        self.offset = search.end if error is None else error.offset
        self.code = ErrorCode.GAP if error is None else error.code
        self.message = "" if error is None else error.message

    def told(self, end: int) -> str:
        """What is wrong, once it is known where the stream can be followed again."""
        if self.message:
            return self.message
        what = (
            f"bytes that the capture does not have: {self.missing}, from byte {self.offset} on"
            if self.missing
            else "the capture begins inside the stream"
        )
        return f"{what}; nothing before byte {end} can be read"


class _StreamReader:
    """What both sides have: bytes that wait for more, and the way back after a loss."""

    __slots__ = (
        "_at_start",
        "_buffer",
        "_frame",
        "_lost",
        "_max_packet_size",
        "_offset",
        "_session",
        "_time",
    )
    SIDE: Side

    def __init__(self, session: Session, max_packet_size: int, *, from_start: bool) -> None:
        self._session = session
        self._max_packet_size = max_packet_size
        self._buffer = bytearray()
        self._offset = 0  # of the buffer's first byte
        self._at_start = from_start  # the handshake, or the answer to it, is still to come
        self._time, self._frame = 0.0, 0
        self._lost = None if from_start else _Lost(None, PacketSearch(0, max_packet_size))

    @property
    def held(self) -> int:
        return len(self._buffer) if self._lost is None else self._lost.search.held

    @property
    def idle(self) -> bool:
        """Whether the stream can be followed, past its handshake, and nothing waits for more."""
        return not self._buffer and not self._at_start and self._lost is None

    def read_whole(self, data: bytes, time: float, frame: int) -> CapturedFinding | None:
        """While `idle`, what a payload is that holds one thing and no more, as nearly all do; None
        of any other, which is to be received."""
        raise NotImplementedError

    def receive_data(self, payload: Payload) -> list[CapturedFinding]:
        """What is whole now."""
        found: list[CapturedFinding] = []
        if payload.gap:
            self._miss(payload.gap)
        self._time, self._frame = payload.time, payload.frame
        data = payload.data
        lost = self._lost
        if lost is not None:
            if not self._begins(data):
                self._search(lost, data, found)
                return found
            self._resume(lost, lost.search.end, found)
        self._receive(data, found)
        return found

    def receive_eof(self) -> list[CapturedFinding]:
        """Nothing more comes: what is left over is an error."""
        found: list[CapturedFinding] = []
        if self._lost is not None:
            self._resume(self._lost, self._lost.search.end, found)
        elif self._buffer:
            error = self._truncated(bytes(self._buffer))
            end = self._offset + len(self._buffer)
            found.append(self._found(end, b"", found_error(error, end)))
        return found

    def _next(self, data: bytes | bytearray, position: int, found: list[CapturedFinding]) -> int:
        """Append what stands at ``position``, if it is whole; return how many bytes it takes, 0
        while they are not all there. Raises FramingError."""
        raise NotImplementedError

    def _begins(self, data: bytes) -> bool:
        """Whether a payload can be read from its start on, though what stands before is lost."""
        raise NotImplementedError

    def _truncated(self, rest: bytes) -> DecodeError:
        """The error for what came of something before the end."""
        raise NotImplementedError

    def _receive(self, data: bytes, found: list[CapturedFinding]) -> None:
        buffer = self._buffer
        if buffer:
            buffer += data
        available = buffer or data
        position = 0
        try:
            while position < len(available):
                taken = self._next(available, position, found)
                if not taken:
                    break
                position += taken
        except FramingError as error:
            at = self._offset + position + 1
            rest = bytes(available[position + 1 :])
            buffer.clear()
            self._at_start = False
            lost = self._lost = _Lost(error, PacketSearch(at, self._max_packet_size))
            self._search(lost, rest, found)
            return
        self._offset += position
        if buffer:
            del buffer[:position]
        elif position < len(data):
            buffer += data[position:]

    def _miss(self, size: int) -> None:
        if self._lost is None:
            search = PacketSearch(self._offset + len(self._buffer), self._max_packet_size)
            self._buffer.clear()
            self._at_start = False
            self._lost = _Lost(None, search)
        self._lost.missing += size
        self._lost.search.skip(size)

    def _search(self, lost: _Lost, data: bytes, found: list[CapturedFinding]) -> None:
        again = lost.search.receive_data(data)
        if again is not None:
            self._resume(lost, again.offset, found)
            found.append(self._packet(again.packet, again.offset))
            self._offset = again.offset + len(again.packet)
            self._receive(again.rest, found)

    def _resume(self, lost: _Lost, at: int, found: list[CapturedFinding]) -> None:
        """The stream can be followed again from ``at`` on."""
        self._lost = None
        self._offset = at
        if at > lost.offset or lost.message:
            error = FoundError(
                offset=lost.offset,
                length=max(0, at - lost.offset),
                error=str(lost.code),
                message=lost.told(at),
            )
            found.append(self._found(lost.offset, b"", error))

    def _packet(self, packet: bytes, offset: int) -> CapturedFinding:
        try:
            decoded = decode_data(checked_data(packet, offset), offset + HEADER_SIZE)
        except DecodeError as error:
            return self._found(offset, packet, found_error(error, offset + len(packet)))
        if isinstance(decoded, AvlPacket):
            return self._found(offset, packet, decoded)
        return self._found(offset, packet, found_packet(decoded, offset, len(packet)))

    def _found(self, offset: int, data: bytes, content: AvlPacket | Finding) -> CapturedFinding:
        return CapturedFinding(
            session=self._session,
            sender=self.SIDE,
            imei=self._session.imei,
            time=self._time,
            frame=self._frame,
            offset=offset,
            data=data,
            content=content,
        )


class DeviceReader(_StreamReader):
    """What a device sends: its IMEI, packets, pings."""

    __slots__ = ()
    SIDE = Side.DEVICE

    def read_whole(self, data: bytes, time: float, frame: int) -> CapturedFinding | None:
        offset = self._offset
        try:
            if packet_size(data, 0, self._max_packet_size, offset) != len(data):
                return None
        except FramingError:
            return None
        self._time, self._frame = time, frame
        self._offset = offset + len(data)
        return self._packet(data, offset)

    def _next(self, data: bytes | bytearray, position: int, found: list[CapturedFinding]) -> int:
        offset = self._offset + position
        available = len(data) - position
        if self._at_start:
            if available >= 2:
                check_imei_length(data[position] << 8 | data[position + 1], offset)
            if available < IMEI_FRAME_SIZE:
                return 0
            handshake = bytes(data[position : position + IMEI_FRAME_SIZE])
            self._at_start = False
            imei = self._session.imei = decode_imei(handshake, offset)
            content = FoundImei(offset=offset, length=IMEI_FRAME_SIZE, imei=imei)
            found.append(self._found(offset, handshake, content))
            return IMEI_FRAME_SIZE
        if data[position] == PING:
            count = ping_run(data, position)
            pings = bytes(data[position : position + count])
            found.append(self._found(offset, pings, FoundPing(offset=offset, length=count)))
            return count
        size = packet_size(data, position, self._max_packet_size, offset)
        if size is None or size > available:
            return 0
        found.append(self._packet(bytes(data[position : position + size]), offset))
        return size

    def _begins(self, data: bytes) -> bool:
        return data == b"\xff"

    def _truncated(self, rest: bytes) -> DecodeError:
        if self._at_start:
            try:
                decode_imei(rest, self._offset)
            except FramingError as error:
                return error
        size = packet_size(rest, 0, self._max_packet_size, self._offset)
        return truncated_packet(len(rest), size, self._offset)


class ServerReader(_StreamReader):
    """What a server sends: the byte after the IMEI, ACKs, commands.

    An ACK of no records and the preamble of a command are the same four zero bytes. They are held
    until what follows tells; where nothing follows, `settle` does.
    """

    __slots__ = ("_since",)
    SIDE = Side.SERVER

    def __init__(self, session: Session, max_packet_size: int, *, from_start: bool) -> None:
        super().__init__(session, max_packet_size, from_start=from_start)
        self._since: tuple[float, int] | None = None  # when zero bytes came that are undecided

    @property
    def undecided(self) -> bool:
        """Whether zero bytes are held that may be an ACK."""
        return self._since is not None

    def read_whole(self, data: bytes, time: float, frame: int) -> CapturedFinding | None:
        if len(data) != _ACK_SIZE or not data.startswith(_THREE_ZEROS) or not data[-1]:
            return None
        self._time, self._frame = time, frame
        offset = self._offset
        self._offset = offset + _ACK_SIZE
        return self._ack(offset, data)

    def receive_data(self, payload: Payload) -> list[CapturedFinding]:
        found = self.settle() if payload.gap else []
        found += super().receive_data(payload)
        if self._buffer or self._since is not None:
            self._hold_zeros()
        return found

    def receive_eof(self) -> list[CapturedFinding]:
        return self.settle() + super().receive_eof()

    def settle(self) -> list[CapturedFinding]:
        """Nothing more came for a while: what is `undecided` was an ACK."""
        found: list[CapturedFinding] = []
        while self._since is not None:
            self._append_ack(self._offset, bytes(_ACK_SIZE), found)
            self._offset += _ACK_SIZE
            del self._buffer[:_ACK_SIZE]
            self._receive(b"", found)
            self._hold_zeros()
        return found

    def _next(self, data: bytes | bytearray, position: int, found: list[CapturedFinding]) -> int:
        offset = self._offset + position
        if self._at_start:
            answer = bytes(data[position : position + 1])
            self._at_start = False
            if answer not in (ACCEPTED, REJECTED):
                raise _unrecognised("the answer to an IMEI is 0x01 or 0x00", offset, answer[0])
            accepted = answer == ACCEPTED
            content = FoundHandshakeAnswer(offset=offset, length=1, imei_accepted=accepted)
            found.append(self._found(offset, answer, content))
            return 1
        head = bytes(data[position : position + _ACK_SIZE])
        if not _THREE_ZEROS.startswith(head[:3]):
            place, byte = next((place, byte) for place, byte in enumerate(head) if byte)
            raise _unrecognised(
                "an ACK and a command begin with three zero bytes", offset + place, byte
            )
        if len(head) < _ACK_SIZE:
            return 0
        if not head[-1]:
            if len(data) - position <= HEADER_SIZE:
                return 0
            size = message_size(data, position, self._max_packet_size)
            if size is not None:
                if size > len(data) - position:
                    return 0
                self._since = None
                found.append(self._packet(bytes(data[position : position + size]), offset))
                return size
        self._append_ack(offset, head, found)
        return _ACK_SIZE

    def _hold_zeros(self) -> None:
        if self._lost is not None or not _ACK_SIZE <= len(self._buffer) <= HEADER_SIZE:
            self._since = None
        elif self._since is None:
            self._since = self._time, self._frame

    def _append_ack(self, offset: int, ack: bytes, found: list[CapturedFinding]) -> None:
        now = self._time, self._frame
        if self._since is not None:
            self._time, self._frame = self._since
            self._since = None
        found.append(self._ack(offset, ack))
        self._time, self._frame = now

    def _ack(self, offset: int, ack: bytes) -> CapturedFinding:
        content = FoundAck(offset=offset, length=_ACK_SIZE, accepted=ack[-1])
        return self._found(offset, ack, content)

    def _begins(self, data: bytes) -> bool:
        """A payload of nothing but ACKs, or one that begins as a command does."""
        if data[:_ACK_SIZE] == bytes(_ACK_SIZE):
            return len(data) == _ACK_SIZE or (
                len(data) > HEADER_SIZE and message_size(data, 0, self._max_packet_size) is not None
            )
        if not data:
            return False
        acks = [data[at : at + _ACK_SIZE] for at in range(0, len(data), _ACK_SIZE)]
        return all(len(ack) == _ACK_SIZE and ack[:3] == bytes(3) and ack[3] for ack in acks)

    def _truncated(self, rest: bytes) -> DecodeError:
        if len(rest) > HEADER_SIZE:
            size = packet_size(rest, 0, self._max_packet_size, self._offset)
            return truncated_packet(len(rest), size, self._offset)
        at = self._offset + len(rest)
        return FramingError(
            ErrorCode.TRUNCATED,
            at,
            f"the answer ends at byte {at}: expected {_ACK_SIZE} bytes, found {len(rest)}",
            expected=_ACK_SIZE,
            found=len(rest),
        )


def _unrecognised(expected: str, offset: int, found: int) -> FramingError:
    return FramingError(
        ErrorCode.UNRECOGNISED,
        offset,
        f"byte {offset}: found 0x{found:02X}, but {expected}",
        found=found,
    )
