"""A device against any server and any network: no record is lost, doubled or out of order."""

from itertools import count

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from teltonika.codecs import (
    AVL_CODECS,
    AvlPacketReceived,
    AvlRecord,
    ImeiReceived,
    ServerConnection,
)
from teltonika.emulator import Device, DeviceState

IMEI = "356307042441013"
PER_PACKET = 2


class DeviceAgainstAnything(RuleBasedStateMachine):
    """The model is the server's side: what it stored, and the copies it has not answered."""

    def __init__(self) -> None:
        super().__init__()
        records = (AvlRecord(number, 0, 0, 0, 0, 0, 0, 0) for number in count())
        self.device = Device(IMEI, AVL_CODECS.by_name("8E"), records, records_per_packet=PER_PACKET)
        self.server = ServerConnection()
        self.stored: list[int] = []  # timestamps of acknowledged packets
        self.unanswered: list[list[int]] = []  # copies that came on this connection
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
                packet = data[-event.size :]
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
    @rule(answer=st.sampled_from([b"\x01", b"\x01", b"\x01", b"\x00", b"\x47"]))
    def answer_the_imei(self, answer: bytes) -> None:
        self.device.receive_data(answer)
        self.deliver()

    @precondition(lambda self: self.state is DeviceState.READY)
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

    @precondition(lambda self: self.state is DeviceState.READY)
    @rule(found=st.integers(0, 3))
    def acknowledge_unasked(self, found: int) -> None:
        self.device.receive_data(found.to_bytes(4))
        self.deliver()

    @precondition(
        lambda self: self.state in (DeviceState.AWAITING_ANSWER, DeviceState.AWAITING_ACK)
    )
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

    def teardown(self) -> None:
        """A server that at last does its work gets everything that was sent."""
        self.device.stop()
        while self.state is not DeviceState.DONE:
            match self.state:
                case DeviceState.DISCONNECTED:
                    self.connect()
                case DeviceState.AWAITING_ANSWER:
                    self.answer_the_imei(b"\x01")
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
