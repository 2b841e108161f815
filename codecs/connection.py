"""One TCP session, seen from each of its two ends, without a socket.

Both classes take the bytes that the other end sent and return events; what they want to send
waits in `data_to_send`. Neither ever raises for what the other end sends.
"""

from enum import Enum, auto

from teltonika.codecs.commands import CommandMessage
from teltonika.codecs.errors import (
    CommandError,
    CrcMismatchError,
    DecodeError,
    DecodeFailure,
    ErrorCode,
)
from teltonika.codecs.events import (
    AvlPacketReceived,
    CommandReceived,
    CommandResponseReceived,
    CrcFailed,
    DeviceEvent,
    FrameEvent,
    FrameReceived,
    FrameSkipped,
    HandshakeAnswered,
    ImeiReceived,
    PacketAcknowledged,
    ProtocolViolation,
    ServerEvent,
)
from teltonika.codecs.framing import (
    ALL_EVENTS,
    HEADER_SIZE,
    MAX_PACKET_SIZE,
    AnyRegistry,
    Framer,
    checked_data,
    decode_data,
    encode_message,
    message_size,
)
from teltonika.codecs.handshake import ACCEPTED, REJECTED, encode_imei
from teltonika.codecs.registry import CODECS, MESSAGE_CODECS

ACK_SIZE = 4


class ConnectionState(Enum):
    """Where a session stands, at either end."""

    AWAITING_IMEI = auto()
    AWAITING_ANSWER = auto()
    OPEN = auto()
    CLOSED = auto()


class Action(Enum):
    """What moves a session on."""

    IMEI_RECEIVED = auto()
    IMEI_SENT = auto()
    ACCEPT = auto()
    REJECT = auto()
    VIOLATE = auto()


_S, _A = ConnectionState, Action
TRANSITIONS: dict[tuple[ConnectionState, Action], ConnectionState] = {
    # the server's end: packets may follow the IMEI at once, so it is open before it has answered
    (_S.AWAITING_IMEI, _A.IMEI_RECEIVED): _S.OPEN,
    (_S.AWAITING_IMEI, _A.VIOLATE): _S.CLOSED,
    (_S.OPEN, _A.REJECT): _S.CLOSED,
    (_S.CLOSED, _A.REJECT): _S.CLOSED,  # what followed the IMEI was broken already
    # the device's end
    (_S.AWAITING_IMEI, _A.IMEI_SENT): _S.AWAITING_ANSWER,
    (_S.AWAITING_ANSWER, _A.ACCEPT): _S.OPEN,
    (_S.AWAITING_ANSWER, _A.REJECT): _S.CLOSED,
    (_S.AWAITING_ANSWER, _A.VIOLATE): _S.CLOSED,
    # both
    (_S.OPEN, _A.VIOLATE): _S.CLOSED,
}
"""Every move a session can make. Any other is a mistake of the caller."""


class _Connection:
    """State and output queue that both ends have."""

    __slots__ = ("_output", "_state")

    def __init__(self) -> None:
        self._state = ConnectionState.AWAITING_IMEI
        self._output = b""

    @property
    def state(self) -> ConnectionState:
        return self._state

    def data_to_send(self) -> bytes:
        """What the transport must write now; empties the queue."""
        data, self._output = self._output, b""
        return data

    def _move(self, action: Action) -> None:
        try:
            self._state = TRANSITIONS[self._state, action]
        except KeyError:
            raise RuntimeError(
                f"a session that is {self._state.name} cannot {action.name}"
            ) from None


class ServerConnection(_Connection):
    """One device's session, seen from the server. Owns buffer and state; never touches a socket.

    After `ImeiReceived` the caller says `accept` or `reject`; after each `AvlPacketReceived`, once
    its records are safe, `acknowledge`, in the packets' order.
    """

    __slots__ = ("_codecs", "_framer")

    def __init__(
        self, *, max_packet_size: int = MAX_PACKET_SIZE, codecs: AnyRegistry = CODECS
    ) -> None:
        super().__init__()
        self._framer = Framer(max_packet_size)
        self._codecs = codecs

    @property
    def unfinished(self) -> bytes:
        """What has come of the handshake or packet that is not all there yet."""
        return self._framer.unfinished

    @property
    def unfinished_size(self) -> int:
        """How many bytes `unfinished` has."""
        return self._framer.unfinished_size

    @property
    def has_more(self) -> bool:
        """Whether the last `receive_data` gave ``most`` events, and there may be more: they come
        with the next call, which can be ``receive_data(b"")``."""
        return self._framer.has_more

    def receive_data(self, data: bytes, most: int = ALL_EVENTS) -> list[ServerEvent]:
        """Events of all that is whole now, at most ``most``. Never raises for what a device sends.

        Packets may stand behind the IMEI in one read; their events come in the same list. A
        caller that rejects the IMEI drops them.
        """
        return self._handle(self._framer.receive_data(data, most))

    def receive_eof(self) -> list[ServerEvent]:
        """The device closed its side: half a packet becomes a `ProtocolViolation`."""
        return self._handle(self._framer.receive_eof())

    def accept(self) -> None:
        """Queue the byte that lets the device send."""
        if self._state is ConnectionState.AWAITING_IMEI:
            raise RuntimeError("a session without an IMEI cannot be accepted")
        self._output += ACCEPTED

    def reject(self) -> None:
        """Queue the byte that turns the device away; the caller then closes."""
        self._move(Action.REJECT)
        self._output += REJECTED

    def acknowledge(self, record_count: int) -> None:
        """Queue the four bytes that let the device forget ``record_count`` records."""
        self._output += record_count.to_bytes(ACK_SIZE)

    def send_command(self, message: CommandMessage) -> None:
        """Queue a command, as one whole frame. Raises EncodeError."""
        self._output += encode_message(message)

    def _handle(self, frames: list[FrameEvent]) -> list[ServerEvent]:
        events: list[ServerEvent] = []
        if self._state is ConnectionState.CLOSED:
            return events
        for frame in frames:
            event = self._decode(frame) if isinstance(frame, FrameReceived) else frame
            events.append(event)
            if isinstance(event, ImeiReceived):
                self._move(Action.IMEI_RECEIVED)
            elif isinstance(event, ProtocolViolation):
                self._move(Action.VIOLATE)
                break
        return events

    def _decode(
        self, frame: FrameReceived
    ) -> AvlPacketReceived | CommandResponseReceived | FrameSkipped | ProtocolViolation:
        try:
            packet = decode_data(frame.data, HEADER_SIZE, self._codecs)
        except CommandError as error:
            return FrameSkipped(error.failure)
        except DecodeError as error:
            return ProtocolViolation(error.failure)
        if isinstance(packet, CommandMessage):
            return CommandResponseReceived(packet)
        return AvlPacketReceived(packet)


class DeviceConnection(_Connection):
    """The same session, seen from the device: one packet at a time, each acknowledged.

    `start` queues the handshake; after `HandshakeAnswered` each `send_packet` is followed by one
    `PacketAcknowledged`. A `CommandReceived` may come at any moment after the handshake.

    An ACK of no records and the preamble of a command are the same four zero bytes. They are held
    until what follows tells; where nothing follows, the caller's clock does: `settle`.
    """

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        super().__init__()
        self._buffer = bytearray()

    def start(self, imei: str) -> None:
        """Queue the IMEI. Raises ValueError if it is none."""
        handshake = encode_imei(imei)
        self._move(Action.IMEI_SENT)
        self._output += handshake

    def send_packet(self, packet: bytes) -> None:
        """Queue a whole encoded packet; the server must have accepted the IMEI."""
        if self._state is not ConnectionState.OPEN:
            raise RuntimeError(f"a session that is {self._state.name} cannot send packets")
        self._output += packet

    def receive_data(self, data: bytes) -> list[DeviceEvent]:
        """Events of all that is whole now. Never raises for what a server sends.

        At most one event for every four bytes of ``data``, and three more: a caller who bounds
        what it hands over bounds what it gets. Between calls one frame is held at most.
        """
        events: list[DeviceEvent] = []
        buffer = self._buffer
        buffer += data
        position = 0
        if self._state is ConnectionState.AWAITING_ANSWER and buffer:
            events.append(self._answered(buffer[0]))
            position = 1
        if self._state is ConnectionState.OPEN:
            while (size := server_message_size(buffer, position)) is not None:
                message = bytes(buffer[position : position + size])
                position += size
                if size == ACK_SIZE:
                    events.append(PacketAcknowledged(int.from_bytes(message)))
                else:
                    events.append(_decode_frame(message))
            del buffer[:position]
        elif self._state is ConnectionState.CLOSED:
            buffer.clear()  # whatever a server goes on sending, nothing reads it any more
        return events

    @property
    def undecided(self) -> bool:
        """Whether zero bytes are held that may be an ACK of no records, or begin a command."""
        held = len(self._buffer)
        return self._state is ConnectionState.OPEN and ACK_SIZE <= held <= HEADER_SIZE

    def settle(self) -> list[DeviceEvent]:
        """Nothing more came for a while: what is `undecided` was an ACK."""
        if not self.undecided:
            return []
        del self._buffer[:ACK_SIZE]
        return [PacketAcknowledged(0)]

    def _answered(self, answer: int) -> DeviceEvent:
        if answer == ACCEPTED[0]:
            self._move(Action.ACCEPT)
            return HandshakeAnswered(accepted=True)
        if answer == REJECTED[0]:
            self._move(Action.REJECT)
            return HandshakeAnswered(accepted=False)
        self._move(Action.VIOLATE)
        return ProtocolViolation(
            DecodeFailure(
                ErrorCode.UNRECOGNISED,
                0,
                f"the answer to the IMEI: expected 0x01 or 0x00, found 0x{answer:02X}",
                expected="0x01 or 0x00",
                found=f"0x{answer:02X}",
            )
        )


def server_message_size(data: bytes | bytearray, position: int = 0) -> int | None:
    """How long what a server says at ``position`` is: an ACK, or the frame of a command.

    None while that is not all there, or not decided: an ACK of no records and the preamble of a
    command are the same bytes. What cannot become a frame of `MAX_PACKET_SIZE` is an ACK.
    """
    held = len(data) - position
    if held < ACK_SIZE:
        return None
    if any(data[position : position + ACK_SIZE]):
        return ACK_SIZE
    if held <= HEADER_SIZE:
        return None
    size = message_size(data, position)
    if size is None:
        return ACK_SIZE
    return size if size <= held else None


def _decode_frame(packet: bytes) -> CommandReceived | FrameSkipped | CrcFailed:
    try:
        data = checked_data(packet)
        codec = MESSAGE_CODECS.by_id(data[0], HEADER_SIZE)
        return CommandReceived(codec.decode_data(data, HEADER_SIZE))
    except CrcMismatchError as error:
        return CrcFailed(error.failure)
    except DecodeError as error:
        return FrameSkipped(error.failure)
