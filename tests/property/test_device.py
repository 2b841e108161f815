"""A device against any server and any network: no record is lost, doubled or out of order."""

from itertools import count, pairwise

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from teltonika.codecs import (
    AVL_CODECS,
    COMMAND_CODECS,
    AvlPacketReceived,
    AvlRecord,
    CommandCodec,
    CommandMessage,
    ImeiReceived,
    MessageType,
    ServerConnection,
    decode_packet,
    encode_message,
    encode_packet,
)
from teltonika.emulator import (
    CommandExecuted,
    CommandIgnored,
    CommandRefused,
    DeviceEvent,
    DeviceMachine,
    DeviceState,
    Restarted,
)

IMEI = "356307042441013"
OTHER_IMEI = "356307042441021"
PER_PACKET = 2
SESSION = (DeviceState.READY, DeviceState.AWAITING_ACK)


class DeviceAgainstAnything(RuleBasedStateMachine):
    """The model is the server's side: what it stored, and the copies it has not answered."""

    def __init__(self) -> None:
        super().__init__()
        records = (AvlRecord(number, 0, 0, 0, 0, 0, 0, 0) for number in count())
        self.device = DeviceMachine(
            IMEI, AVL_CODECS.by_name("8E"), records, records_per_packet=PER_PACKET
        )
        self.server = ServerConnection()
        self.stored: list[int] = []  # timestamps of acknowledged packets
        self.unanswered: list[list[int]] = []  # copies that came on this connection
        self.commands = 0  # that reached the device whole
        self.copies: dict[int, bytes] = {}  # first timestamp of a packet to its bytes

    @property
    def state(self) -> DeviceState:
        return self.device.state

    def deliver(self) -> None:
        """Carry what the device wrote to the server."""
        data = self.device.data_to_send()
        for event in self.server.receive_data(data):
            if isinstance(event, AvlPacketReceived):
                numbers = [record.timestamp_ms for record in event.packet.records]
                packet = encode_packet(self.device.codec, event.packet.records)
                assert data.endswith(packet)
                assert self.copies.setdefault(numbers[0], packet) == packet
                self.unanswered.append(numbers)
            else:
                assert isinstance(event, ImeiReceived)

    @precondition(lambda self: self.state is DeviceState.DISCONNECTED)
    @rule()
    def connect(self) -> None:
        self.server = ServerConnection()
        self.unanswered.clear()
        self.device.connection_made()
        self.deliver()

    @precondition(lambda self: self.state is DeviceState.AWAITING_ANSWER)
    @rule(answer=st.sampled_from([*[b"\x01"] * 5, b"\x00", b"\x47", b""]))
    def answer_the_imei(self, answer: bytes) -> None:
        if answer:
            self.device.receive_data(answer)
        else:
            self.device.answer_timed_out()
        self.deliver()

    @precondition(lambda self: self.state is DeviceState.READY and not self.device.undecided)
    @rule()
    def send(self) -> None:
        self.device.send_next()
        self.deliver()

    @precondition(lambda self: self.unanswered and self.state is DeviceState.AWAITING_ACK)
    @rule(cut=st.integers(0, 4))
    def acknowledge(self, cut: int) -> None:
        numbers = self.unanswered.pop(0)
        self.stored += numbers
        answer = len(numbers).to_bytes(4)
        self.device.receive_data(answer[:cut])
        self.device.receive_data(answer[cut:])
        self.deliver()

    @precondition(lambda self: self.state in SESSION and not self.device.undecided)
    @rule(
        codec=st.sampled_from(list(COMMAND_CODECS)),
        text=st.sampled_from(["getinfo", "setdigout 10", "nonsense", "cpureset"]),
        imei=st.sampled_from([IMEI, OTHER_IMEI]),
        cuts=st.lists(st.integers(0, 40), max_size=3).map(sorted),
        with_ack=st.booleans(),
    )
    def command(
        self, codec: CommandCodec, text: str, imei: str, cuts: list[int], with_ack: bool
    ) -> None:
        """At any moment, in any pieces, also in the same bytes as an ACK: executed once."""
        message = codec.command(text, imei)
        data = encode_message(message)
        if with_ack and self.unanswered:
            numbers = self.unanswered.pop(0)
            self.stored += numbers
            data = len(numbers).to_bytes(4) + data
        events: list[DeviceEvent] = []
        for start, end in pairwise([0, *cuts, len(data)]):
            events += self.device.receive_data(data[start:end])
        self.commands += 1
        handled = [
            event
            for event in events
            if isinstance(event, CommandExecuted | CommandRefused | CommandIgnored)
        ]
        assert len(handled) == 1
        if message.imei not in {None, IMEI}:
            assert isinstance(handled[0], CommandRefused)
            nack: CommandMessage = decode_packet(handled[0].nack)  # type: ignore[assignment]
            assert (nack.type, nack.imei, nack.content) == (MessageType.NACK, IMEI, b"")
        elif text == "nonsense":
            assert isinstance(handled[0], CommandIgnored)
        else:
            assert isinstance(handled[0], CommandExecuted)
            restarts = text == "cpureset"
            assert (Restarted() in events) == restarts
            assert (self.state is DeviceState.CLOSING) == restarts
        self.deliver()

    @precondition(lambda self: self.device.undecided)
    @rule()
    def nothing_more_comes(self) -> None:
        self.device.settle()
        assert not self.device.undecided
        self.deliver()

    @precondition(lambda self: self.unanswered and self.state is DeviceState.AWAITING_ACK)
    @rule()
    def store_it_and_lose_the_ack(self) -> None:
        """The server took the packet, the device never hears of it, and sends it again."""
        self.device.connection_lost()

    @precondition(lambda self: self.unanswered and self.state is DeviceState.AWAITING_ACK)
    @rule(found=st.sampled_from([0, PER_PACKET - 1, PER_PACKET + 1, 2**32 - 1]))
    def acknowledge_wrongly(self, found: int) -> None:
        self.unanswered.pop(0)
        self.device.receive_data(found.to_bytes(4))
        self.deliver()

    @precondition(lambda self: self.state is DeviceState.READY and not self.device.undecided)
    @rule(found=st.integers(0, 3))
    def acknowledge_unasked(self, found: int) -> None:
        self.device.receive_data(found.to_bytes(4))
        self.deliver()

    @precondition(lambda self: self.state is DeviceState.AWAITING_ACK and not self.device.undecided)
    @rule()
    def time_out(self) -> None:
        self.device.answer_timed_out()
        self.deliver()

    @precondition(
        lambda self: self.state not in (DeviceState.DISCONNECTED, DeviceState.AWAITING_ANSWER)
    )
    @rule()
    def lose(self) -> None:
        self.device.connection_lost()

    @invariant()
    def what_the_device_forgot_is_what_was_acknowledged_in_order(self) -> None:
        report = self.device.report
        assert self.stored == list(range(len(self.stored)))
        assert report.records_acknowledged == len(self.stored)
        in_flight = PER_PACKET if self.device.has_unacknowledged else 0
        assert report.records_sent == len(self.stored) + in_flight

    @invariant()
    def at_most_one_copy_waits_for_an_answer(self) -> None:
        assert len(self.unanswered) <= 1

    @invariant()
    def every_command_was_taken_once(self) -> None:
        report = self.device.report
        assert report.commands_received == self.commands
        assert report.commands_executed == sum(report.commands.values()) <= self.commands

    def teardown(self) -> None:
        """A server that at last does its work gets everything that was sent."""
        self.device.stop()
        while self.state is not DeviceState.DONE:
            match self.state:
                case DeviceState.DISCONNECTED:
                    self.connect()
                case DeviceState.AWAITING_ANSWER:
                    self.answer_the_imei(b"\x01")
                case DeviceState.AWAITING_ACK if self.device.undecided:
                    self.nothing_more_comes()
                case DeviceState.AWAITING_ACK:
                    self.acknowledge(0)
                case DeviceState.CLOSING:
                    self.lose()
                case _:
                    raise AssertionError(self.state)
        assert self.device.report.complete
        assert self.device.report.records_sent == len(self.stored)


TestDeviceAgainstAnything = DeviceAgainstAnything.TestCase
TestDeviceAgainstAnything.settings = settings(stateful_step_count=60, deadline=None)
