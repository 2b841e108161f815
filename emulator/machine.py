"""One device as a state machine: bytes in, events out, no socket and no clock.

The device keeps one packet, as bytes, until the server acknowledges it, and sends nothing else
before, unless it is told to. An ACK names no packet, so it can only be understood where a
connection has at most one copy without an answer. Hence:

- a wrong ACK has answered its copy: the same bytes go out again on this connection. A second wrong
  one in a row means another connection, and whoever drives the device waits before that;
- no ACK in time leaves the copy unanswered, and its ACK may still come: a second copy here could
  then be acknowledged for the packet after it. The device closes, and sends the same bytes first
  thing on the next connection (Teltonika Data Sending Protocols allow both ways).

A command is executed as soon as it is there, whatever the device waits for meanwhile. Its answer
comes in an event, as a whole frame: when it goes out is not the device's concern.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from enum import Enum, auto
from itertools import islice

import msgspec

from teltonika.codecs import (
    COMMAND_CODECS,
    MAX_PACKET_SIZE,
    AvlCodec,
    AvlRecord,
    CommandMessage,
    CommandReceived,
    CrcFailed,
    DeviceConnection,
    EncodeError,
    FrameSkipped,
    HandshakeAnswered,
    MessageType,
    PacketAcknowledged,
    ProtocolViolation,
    encode_message,
    encode_packet,
    parse_imei,
)
from teltonika.codecs import DeviceEvent as ConnectionEvent
from teltonika.emulator.commands import Effect, execute
from teltonika.emulator.events import (
    AckRefused,
    BytesAnswered,
    CommandExecuted,
    CommandIgnored,
    CommandRefused,
    DeviceEvent,
    ImeiAccepted,
    PacketDelivered,
    RecordsDeleted,
    Restarted,
)
from teltonika.emulator.report import DeviceReport
from teltonika.emulator.unit import Unit

REJECTED = "the server rejected the IMEI"
"""A device's complaint, where that is why it closes."""


class DeviceState(Enum):
    """Where a device stands, and so what it wants from whoever drives it."""

    __hash__ = object.__hash__  # ten times as fast as that of an enum's name

    DISCONNECTED = auto()
    """Wants a connection: `DeviceMachine.connection_made`."""
    AWAITING_ANSWER = auto()
    """Has said its IMEI: wants the server's bytes, or `DeviceMachine.answer_timed_out`."""
    READY = auto()
    """Nothing in flight: wants `DeviceMachine.send_next` when the next packet is due."""
    AWAITING_ACK = auto()
    """A packet in flight: wants the server's bytes, or `DeviceMachine.answer_timed_out`."""
    CLOSING = auto()
    """Wants its connection closed; `DeviceMachine.complaint` says why."""
    DONE = auto()
    """Every record was acknowledged; wants its connection closed, and no other."""


class Action(Enum):
    """What moves a device on."""

    __hash__ = object.__hash__

    CONNECT = auto()
    ACCEPT = auto()
    SEND = auto()
    ANSWER = auto()
    """The copy in flight was answered, rightly or wrongly."""
    BREAK_OFF = auto()
    LOSE = auto()
    FINISH = auto()


_S, _A = DeviceState, Action
TRANSITIONS: dict[tuple[DeviceState, Action], DeviceState] = {
    (_S.DISCONNECTED, _A.CONNECT): _S.AWAITING_ANSWER,
    (_S.AWAITING_ANSWER, _A.ACCEPT): _S.READY,
    (_S.READY, _A.SEND): _S.AWAITING_ACK,
    (_S.AWAITING_ACK, _A.ANSWER): _S.READY,
    # the device wants to leave
    (_S.AWAITING_ANSWER, _A.BREAK_OFF): _S.CLOSING,
    (_S.READY, _A.BREAK_OFF): _S.CLOSING,
    (_S.AWAITING_ACK, _A.BREAK_OFF): _S.CLOSING,
    # the connection is gone
    (_S.AWAITING_ANSWER, _A.LOSE): _S.DISCONNECTED,
    (_S.READY, _A.LOSE): _S.DISCONNECTED,
    (_S.AWAITING_ACK, _A.LOSE): _S.DISCONNECTED,
    (_S.CLOSING, _A.LOSE): _S.DISCONNECTED,
    (_S.DONE, _A.LOSE): _S.DONE,
    # no record is left; with one in flight a device cannot finish
    (_S.DISCONNECTED, _A.FINISH): _S.DONE,
    (_S.AWAITING_ANSWER, _A.FINISH): _S.DONE,
    (_S.READY, _A.FINISH): _S.DONE,
    (_S.CLOSING, _A.FINISH): _S.DONE,
    (_S.DONE, _A.FINISH): _S.DONE,
}
"""Every move a device can make. Any other is a mistake of the caller: RuntimeError."""


class _Packet(msgspec.Struct, frozen=True, gc=False):
    encoded: bytes
    record_count: int


class DeviceMachine:
    """One device, its records and the session it is in.

    ``records`` are sent in their order, ``records_per_packet`` (1 to 255) at a time, until
    ``record_count`` of them are delivered, or, where that is None, until they end. ``unit`` is what
    commands act on and ask; without, one as it comes from the factory.

    After each call `data_to_send` holds what the transport must write, and `state` what the device
    wants next. Raises ValueError if ``imei`` is none.
    """

    __slots__ = (
        "_awaited",
        "_connection",
        "_ignores_acks",
        "_records_left",
        "_refused_in_a_row",
        "_unacknowledged",
        "codec",
        "complaint",
        "imei",
        "records",
        "records_per_packet",
        "report",
        "state",
        "unit",
    )

    def __init__(
        self,
        imei: str,
        codec: AvlCodec,
        records: Iterator[AvlRecord],
        *,
        unit: Unit | None = None,
        records_per_packet: int = 1,
        record_count: int | None = None,
    ) -> None:
        self.imei = parse_imei(imei)
        self.unit = unit or Unit(imei)
        self.codec = codec
        self.state = DeviceState.DISCONNECTED
        self.complaint = ""
        """Why the device closed, or closes, its last connection; empty if it did not."""
        self.report = DeviceReport(imei=imei)
        self.records = records
        """Taken from as packets are made, `records_per_packet` at a time."""
        self.records_per_packet = records_per_packet
        self._records_left = record_count
        self._connection = DeviceConnection()
        self._unacknowledged: deque[_Packet] = deque()
        # copies on this connection without an answer; None is for bytes that may get any
        self._awaited: deque[_Packet | None] = deque()
        self._ignores_acks = False
        self._refused_in_a_row = 0

    @property
    def has_unacknowledged(self) -> bool:
        """Whether records were sent and not acknowledged, on this connection or one before."""
        return bool(self._unacknowledged)

    def connection_made(self) -> None:
        """The transport stands: queues the IMEI."""
        self._move(Action.CONNECT)
        self.report.connections += 1
        self.complaint = ""
        self._refused_in_a_row = 0
        self._connection = DeviceConnection()
        self._connection.start(self.imei)

    def connection_lost(self) -> None:
        """The transport is gone, whoever closed it. What was in flight is kept."""
        self._awaited.clear()
        self._ignores_acks = False
        self._move(Action.LOSE)

    def receive_data(self, data: bytes) -> list[DeviceEvent]:
        """Take what the server sent, and answer it. Never raises for what a server sends."""
        if self.state in _DEAF:
            return []
        return self._take(self._connection.receive_data(data))

    @property
    def undecided(self) -> bool:
        """Whether zero bytes came that may be an ACK of no records, or begin a command.

        Then nothing new is to be sent before the next bytes, or `settle`.
        """
        return self.state not in _DEAF and self._connection.undecided

    def settle(self) -> list[DeviceEvent]:
        """Nothing more came for a while: what is `undecided` was an ACK."""
        return self._take([*self._connection.settle(), *self._connection.receive_data(b"")])

    def answer_timed_out(self) -> None:
        """The IMEI or the packet in flight got no answer in time."""
        if self.state is DeviceState.AWAITING_ACK:
            self.report.ack_timeouts += 1
            self._break_off("no ACK in time")
        else:
            self.report.handshake_failures += 1
            self._break_off("no answer to the IMEI in time")

    def send_next(self, *, packets: int = 1, copies: int = 1, clock_off_ms: int = 0) -> None:
        """The next packet is due: queues it, or finds that the records have ended.

        A device that works queues one packet, once. ``packets`` go out together; each comes
        ``copies`` times; ``clock_off_ms`` is added to the timestamps of its records. Raises
        EncodeError for records that do not fit one packet.
        """
        self._after(Action.SEND)  # raises before a record is taken that could not be sent
        for _ in range(packets):
            if not self._make_packet(clock_off_ms):
                break
        if not self._unacknowledged:
            self._move(Action.FINISH)
            return
        self._send(self._unacknowledged, copies)

    def send_bytes(self, data: bytes) -> None:
        """Queue these very bytes, right or wrong; the next ACK answers them, whatever it says.

        They are no records of the device's own: they count nowhere, and are not sent again.
        """
        self._move(Action.SEND)
        self._awaited.append(None)
        self._connection.send_packet(data)

    def ignore_acks(self) -> None:
        """Take no ACK for one any more, until the connection has ended."""
        self._ignores_acks = True

    def _make_packet(self, clock_off_ms: int) -> bool:
        """Whether there was a record left to make one of."""
        count = self.records_per_packet
        if self._records_left is not None:
            count = min(count, self._records_left)
        batch = tuple(islice(self.records, count))
        if not batch:
            return False
        if clock_off_ms:
            batch = tuple(_with_clock_off(record, clock_off_ms) for record in batch)
        packet = encode_packet(self.codec, batch)
        if len(packet) > MAX_PACKET_SIZE:
            raise EncodeError(
                "records",
                f"{len(batch)} records make a packet of {len(packet)} bytes; "
                f"{MAX_PACKET_SIZE} is the most: put fewer into one",
            )
        if self._records_left is not None:
            self._records_left -= len(batch)
        self.unit.last_record = batch[-1]
        self.report.packets_sent += 1
        self.report.records_sent += len(batch)
        self._unacknowledged.append(_Packet(packet, len(batch)))
        return True

    def restart(self, complaint: str = "it starts again") -> None:
        """Start again, whatever it was doing: wants its connection closed, if it has one."""
        self.report.restarts += 1
        self.unit.restart()
        if self.state not in _DEAF:
            self._break_off(complaint)

    def skip(self, packet_count: int) -> None:
        """Never send the records of the next ``packet_count`` packets."""
        count = packet_count * self.records_per_packet
        self.report.records_deleted += sum(1 for _ in islice(self.records, count))

    def stop(self) -> None:
        """Send no new records: once the packet in flight, if any, is acknowledged, it is DONE."""
        self._records_left = 0
        if not self._unacknowledged:
            self._move(Action.FINISH)

    def data_to_send(self) -> bytes:
        """What the transport must write now; empties the queue."""
        return self._connection.data_to_send()

    def _take(self, received: list[ConnectionEvent]) -> list[DeviceEvent]:
        events: list[DeviceEvent] = []
        for event in received:
            self._handle(event, events)
        # Only now: an ACK in the same bytes cannot be for a copy that has not been written yet.
        if self.state is DeviceState.READY and self._unacknowledged:
            self._resend(self._unacknowledged[0])
        return events

    def _handle(self, event: ConnectionEvent, events: list[DeviceEvent]) -> None:
        match event:
            case HandshakeAnswered(accepted=True):
                self._move(Action.ACCEPT)
                events.append(ImeiAccepted())
            case HandshakeAnswered():
                self.report.rejections += 1
                self._break_off(REJECTED)
            case PacketAcknowledged(accepted):
                self._acknowledged(accepted, events)
            case CommandReceived(message) if message.type is MessageType.COMMAND:
                self._commanded(message, events)
            case CommandReceived() | FrameSkipped() | CrcFailed():
                self.report.broken_frames += 1
            case ProtocolViolation(error):
                self.report.handshake_failures += 1
                self._break_off(error.message)

    def _acknowledged(self, accepted: int, events: list[DeviceEvent]) -> None:
        if self.state in _DEAF:
            return
        if self.state is not DeviceState.AWAITING_ACK:
            self.report.wrong_acks += 1
            events.append(AckRefused(0, accepted))
            return
        if self._ignores_acks:
            return
        packet = self._awaited.popleft()
        if packet is None:
            self._move(Action.ANSWER)
            events.append(BytesAnswered(accepted))
            return
        if accepted != packet.record_count:
            self.report.wrong_acks += 1
            events.append(AckRefused(packet.record_count, accepted))
            self._refused_in_a_row += 1
            if self._refused_in_a_row > 1 or self._awaited:
                self._break_off("two wrong ACKs in a row" if not self._awaited else "a wrong ACK")
            else:
                self._move(Action.ANSWER)
            return
        if not self._awaited:
            self._move(Action.ANSWER)
        elif self._awaited[0] is packet:
            return  # another copy, whose ACK must not be taken for that of the next packet
        events.append(PacketDelivered(packet.encoded, accepted))
        self.report.packets_acknowledged += 1
        self.report.records_acknowledged += accepted
        self._unacknowledged.popleft()
        self._refused_in_a_row = 0
        if self._records_left == 0 and not self._unacknowledged:
            self._move(Action.FINISH)

    def _commanded(self, message: CommandMessage, events: list[DeviceEvent]) -> None:
        if self.state in _DEAF:
            return
        report = self.report
        report.commands_received += 1
        if message.imei not in {None, self.imei}:
            nack = CommandMessage(message.codec_id, MessageType.NACK, b"", self.imei)
            report.nacks += 1
            events.append(CommandRefused(message.text, encode_message(nack)))
            return
        execution = execute(message.content, self.unit, report)
        if execution is None:
            events.append(CommandIgnored(message.text))
            return
        report.commands_executed += 1
        report.commands[message.text] = report.commands.get(message.text, 0) + 1
        events.append(CommandExecuted(message.text, _answer_frame(message, execution.answer)))
        match execution.effect:
            case Effect.RESTART:
                self.restart("it starts again, as it was told")
                events.append(Restarted())
            case Effect.DELETE_RECORDS:
                events.append(RecordsDeleted())

    def _resend(self, packet: _Packet) -> None:
        self.report.packets_resent += 1
        self.report.records_resent += packet.record_count
        self._send((packet,))

    def _send(self, packets: Iterable[_Packet], copies: int = 1) -> None:
        self._move(Action.SEND)
        for packet in packets:
            for _ in range(copies):
                self._awaited.append(packet)
                self._connection.send_packet(packet.encoded)

    def _break_off(self, complaint: str) -> None:
        self._move(Action.BREAK_OFF)
        self.complaint = complaint

    def _move(self, action: Action) -> None:
        self.state = self._after(action)

    def _after(self, action: Action) -> DeviceState:
        try:
            return TRANSITIONS[self.state, action]
        except KeyError:
            raise RuntimeError(f"a device that is {self.state.name} cannot {action.name}") from None


def _with_clock_off(record: AvlRecord, off_ms: int) -> AvlRecord:
    return msgspec.structs.replace(record, timestamp_ms=max(0, record.timestamp_ms + off_ms))


def _answer_frame(command: CommandMessage, answer: str) -> bytes:
    """In the command's codec; empty for an empty answer."""
    if not answer:
        return b""
    codec = COMMAND_CODECS.by_id(command.codec_id)
    return encode_message(codec.answer(command, answer.encode()))


_DEAF = frozenset((DeviceState.DISCONNECTED, DeviceState.CLOSING, DeviceState.DONE))
"""States in which the server's bytes mean nothing any more."""
