"""One device over UDP as a state machine: datagrams in, events out, no socket and no clock.

There is no handshake: each datagram has the IMEI, and its answer says which datagram it is for. So
an answer that comes late, or twice, is known as such and ignored, and a datagram that got none in
time goes out again at once: the same bytes, the same ids. An answer with a wrong number of records
is none: the datagram waits for its time-out like one that nobody answered, or a server that counts
wrongly would be flooded.
"""

from collections import deque

from teltonika.codecs.udp import (
    ENVELOPE_SIZE,
    Datagram,
    DatagramAnswer,
    decode_answer,
    decode_datagram,
    encode_datagram,
)
from teltonika.emulator.emulated_device import (
    DEAF,
    Action,
    DeviceState,
    EmulatedDevice,
    Packet,
)
from teltonika.emulator.events import AckRefused, DeviceEvent, ImeiAccepted


class UdpMachine(EmulatedDevice):
    """One device, its records and the datagram that is out.

    A connection is a socket here, of which the server knows nothing. The first right answer on it
    shows that the server takes this device.
    """

    __slots__ = ("_answered", "_outgoing")

    FRAMING_SIZE = ENVELOPE_SIZE
    MAX_SIZE = 65_507  # what IPv4 leaves to a datagram

    def _begin_session(self) -> None:
        self._answered = False
        self._outgoing: deque[bytes] = deque()

    def connection_made(self) -> None:
        """There is a socket: what was in flight on another one goes out again."""
        super().connection_made()
        self._move(Action.ACCEPT)
        if self._unacknowledged:
            self._resend()

    def receive_data(self, data: bytes) -> list[DeviceEvent]:
        if self.state in DEAF:
            return []
        answer = decode_answer(data)
        if answer is None:
            self.report.broken_frames += 1
            self._count_useless()
            return []
        if self._ignores_acks or not self._is_for_packet_in_flight(answer):
            self._count_useless()
            return []
        packet = self._unacknowledged[0]
        if answer.accepted != packet.record_count:
            self.report.wrong_acks += 1
            self._count_useless()
            return [AckRefused(packet.record_count, answer.accepted)]
        self._move(Action.ANSWER)
        delivered = self._delivered()
        if self._answered:
            return [delivered]
        self._answered = True
        return [ImeiAccepted(), delivered]

    def answer_timed_out(self) -> None:
        """The datagram in flight got no answer in time: queues it again."""
        self.report.ack_timeouts += 1
        self._move(Action.TIME_OUT)
        self._resend()

    def data_to_send(self) -> bytes:
        return self._outgoing.popleft() if self._outgoing else b""

    def _is_for_packet_in_flight(self, answer: DatagramAnswer) -> bool:
        """Others come late, or a second time."""
        if self.state is not DeviceState.AWAITING_ACK:
            return False
        sent = decode_datagram(self._unacknowledged[0].encoded)
        return (answer.packet_id, answer.avl_packet_id) == (sent.packet_id, sent.avl_packet_id)

    def _frame(self, data: bytes) -> bytes:
        number = self.report.packets_sent
        return encode_datagram(Datagram(number % 2**16, number % 2**8, self.imei, data))

    def _queue(self, packet: Packet, copies: int) -> None:
        self._ignores_acks = False
        self._outgoing.extend([packet.encoded] * copies)
