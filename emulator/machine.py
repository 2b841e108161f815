"""One device over TCP as a state machine: bytes in, events out, no socket and no clock.

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

from teltonika.codecs import (
    COMMAND_CODECS,
    MAX_PACKET_SIZE,
    CommandMessage,
    CommandReceived,
    CrcFailed,
    DeviceConnection,
    FrameSkipped,
    HandshakeAnswered,
    MessageType,
    PacketAcknowledged,
    ProtocolViolation,
    encode_message,
)
from teltonika.codecs import DeviceEvent as ConnectionEvent
from teltonika.codecs.framing import CRC_SIZE, HEADER_SIZE, encode_frame
from teltonika.emulator.commands import Effect, execute
from teltonika.emulator.emulated_device import (
    DEAF,
    Action,
    DeviceState,
    EmulatedDevice,
    Packet,
)
from teltonika.emulator.events import (
    AckRefused,
    BytesAnswered,
    CommandExecuted,
    CommandIgnored,
    CommandRefused,
    DeviceEvent,
    ImeiAccepted,
    RecordsDeleted,
    Restarted,
)

REJECTED = "the server rejected the IMEI"
"""A device's complaint, where that is why it closes."""


class DeviceMachine(EmulatedDevice):
    """One device, its records and the session it is in."""

    __slots__ = ("_awaited", "_connection", "_refused_in_a_row")

    FRAMING_SIZE = HEADER_SIZE + CRC_SIZE
    MAX_SIZE = MAX_PACKET_SIZE

    def _begin_session(self) -> None:
        self._connection = DeviceConnection()
        # copies on this connection without an answer; None is for bytes that may get any
        self._awaited: deque[Packet | None] = deque()
        self._refused_in_a_row = 0

    def connection_made(self) -> None:
        """The transport stands: queues the IMEI."""
        super().connection_made()
        self._connection.start(self.imei)

    def connection_lost(self) -> None:
        self._awaited.clear()
        super().connection_lost()

    def receive_data(self, data: bytes) -> list[DeviceEvent]:
        if self.state in DEAF:
            return []
        return self._take(self._connection.receive_data(data))

    @property
    def undecided(self) -> bool:
        """Whether zero bytes came that may be an ACK of no records, or begin a command.

        Then nothing new is to be sent before the next bytes, or `settle`.
        """
        return self.state not in DEAF and self._connection.undecided

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

    def send_bytes(self, data: bytes) -> None:
        """Queue these very bytes, right or wrong; the next ACK answers them, whatever it says.

        They are no records of the device's own: they count nowhere, and are not sent again.
        """
        self._move(Action.SEND)
        self._awaited.append(None)
        self._connection.send_packet(data)

    def data_to_send(self) -> bytes:
        return self._connection.data_to_send()

    def _take(self, received: list[ConnectionEvent]) -> list[DeviceEvent]:
        events: list[DeviceEvent] = []
        for event in received:
            self._handle(event, events)
        # Only now: an ACK in the same bytes cannot be for a copy that has not been written yet.
        if self.state is DeviceState.READY and self._unacknowledged:
            self._resend()
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
                self._count_useless()
            case ProtocolViolation(error):
                self.report.handshake_failures += 1
                self._break_off(error.message)

    def _acknowledged(self, accepted: int, events: list[DeviceEvent]) -> None:
        if self.state in DEAF:
            return
        if self.state is not DeviceState.AWAITING_ACK:
            self.report.wrong_acks += 1
            events.append(AckRefused(0, accepted))
            self._count_useless()
            return
        if self._ignores_acks:
            self._count_useless()
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
        self._refused_in_a_row = 0
        events.append(self._delivered())

    def _commanded(self, message: CommandMessage, events: list[DeviceEvent]) -> None:
        if self.state in DEAF:
            return
        report = self.report
        report.commands_received += 1
        if message.imei not in {None, self.imei}:
            nack = CommandMessage(message.codec_id, MessageType.NACK, b"", self.imei)
            report.nacks += 1
            events.append(CommandRefused(message.text, encode_message(nack)))
            self._count_useless()
            return
        execution = execute(message.content, self.unit, report)
        if execution is None:
            events.append(CommandIgnored(message.text))
            self._count_useless()
            return
        report.count_command(message.text)
        events.append(CommandExecuted(message.text, _answer_frame(message, execution.answer)))
        match execution.effect:
            case Effect.RESTART:
                self.restart("it starts again, as it was told")
                events.append(Restarted())
            case Effect.DELETE_RECORDS:
                events.append(RecordsDeleted())

    def _frame(self, data: bytes) -> bytes:
        return encode_frame(data)

    def _queue(self, packet: Packet, copies: int) -> None:
        for _ in range(copies):
            self._awaited.append(packet)
            self._connection.send_packet(packet.encoded)


def _answer_frame(command: CommandMessage, answer: str) -> bytes:
    """In the command's codec; empty for an empty answer."""
    if not answer:
        return b""
    codec = COMMAND_CODECS.by_id(command.codec_id)
    return encode_message(codec.answer(command, answer.encode()))
