"""The state machine of a device over UDP, without a socket."""

from collections.abc import Iterator
from itertools import count

import pytest

from teltonika.codecs import (
    AVL_CODECS,
    AvlRecord,
    EncodeError,
    IoElement,
    IoElements,
    decode_packet,
)
from teltonika.codecs.framing import decode_data, encode_frame
from teltonika.codecs.udp import (
    DatagramAnswer,
    decode_datagram,
    encode_answer,
)
from teltonika.emulator import (
    AckRefused,
    DeviceMachine,
    DeviceState,
    ImeiAccepted,
    PacketDelivered,
    UdpMachine,
)

IMEI = "356307042441013"
CODEC8 = AVL_CODECS.by_name("8")


def numbered_records() -> Iterator[AvlRecord]:
    """Records whose timestamp is their number: 0, 1, 2 …"""
    for number in count():
        yield AvlRecord(number, 0, 0, 0, 0, 0, 0, 0)


def new_device(*, records_per_packet: int = 3, record_count: int | None = None) -> UdpMachine:
    return UdpMachine(
        IMEI,
        CODEC8,
        numbered_records(),
        records_per_packet=records_per_packet,
        record_count=record_count,
    )


def send(device: UdpMachine) -> bytes:
    device.send_next()
    return device.data_to_send()


def with_a_datagram_out(**arguments: int) -> tuple[UdpMachine, bytes]:
    device = new_device(**arguments)
    device.connection_made()
    return device, send(device)


def ids(datagram: bytes) -> tuple[int, int]:
    sent = decode_datagram(datagram)
    return sent.packet_id, sent.avl_packet_id


def numbers(datagram: bytes) -> list[int]:
    return [record.timestamp_ms for record in decode_data(decode_datagram(datagram).data).records]


def answer_to(datagram: bytes, accepted: int = 3) -> bytes:
    return encode_answer(DatagramAnswer(*ids(datagram), accepted))


# the ordinary way


def test_it_sends_without_a_handshake_and_says_its_imei_in_each_datagram() -> None:
    device = new_device()
    device.connection_made()
    assert device.data_to_send() == b""
    first = send(device)
    assert decode_datagram(first).imei == IMEI
    assert numbers(first) == [0, 1, 2]
    assert device.data_to_send() == b""


def test_one_datagram_is_out_at_a_time_and_the_ids_count_up() -> None:
    device, first = with_a_datagram_out()
    with pytest.raises(RuntimeError, match="AWAITING_ACK cannot SEND"):
        device.send_next()
    device.receive_data(answer_to(first))
    second = send(device)
    assert ids(first) == (1, 1)
    assert ids(second) == (2, 2)
    assert numbers(second) == [3, 4, 5]


def test_the_first_right_answer_shows_that_the_server_takes_the_device() -> None:
    device, first = with_a_datagram_out()
    assert device.receive_data(answer_to(first)) == [ImeiAccepted(), PacketDelivered(first, 3)]
    second = send(device)
    assert device.receive_data(answer_to(second)) == [PacketDelivered(second, 3)]


def test_it_is_done_with_the_last_answer_and_the_last_datagram_holds_what_is_left() -> None:
    device, first = with_a_datagram_out(record_count=4)
    device.receive_data(answer_to(first))
    last = send(device)
    assert numbers(last) == [3]
    device.receive_data(answer_to(last, 1))
    assert device.state is DeviceState.DONE
    report = device.report
    assert report.complete
    assert (report.packets_sent, report.packets_acknowledged, report.records_resent) == (2, 2, 0)


def test_ids_begin_again_at_0_each_behind_its_largest_number() -> None:
    device = new_device(records_per_packet=1)
    device.connection_made()
    seen = []
    for _ in range(2**16 + 1):
        datagram = send(device)
        seen.append(ids(datagram))
        device.receive_data(answer_to(datagram, 1))
    assert seen[254:257] == [(255, 255), (256, 0), (257, 1)]
    assert seen[-3:] == [(65_535, 255), (0, 0), (1, 1)]
    assert device.report.packets_acknowledged == 2**16 + 1


def test_the_data_fields_are_those_of_the_same_device_over_tcp() -> None:
    tcp = DeviceMachine(IMEI, CODEC8, numbered_records(), records_per_packet=3)
    tcp.connection_made()
    tcp.data_to_send()
    tcp.receive_data(b"\x01")
    tcp.send_next()
    packet = tcp.data_to_send()
    _, datagram = with_a_datagram_out()
    assert encode_frame(decode_datagram(datagram).data) == packet
    assert decode_packet(packet) == decode_data(decode_datagram(datagram).data)


# the same bytes again


def test_an_unanswered_datagram_goes_again_with_the_same_ids_and_bytes() -> None:
    device, first = with_a_datagram_out()
    for _ in range(2):
        device.answer_timed_out()
        assert device.state is DeviceState.AWAITING_ACK
        assert device.data_to_send() == first
    report = device.report
    assert (report.ack_timeouts, report.packets_resent, report.records_resent) == (2, 2, 6)
    assert device.receive_data(answer_to(first)) == [ImeiAccepted(), PacketDelivered(first, 3)]
    assert (report.packets_sent, report.records_acknowledged, report.connections) == (1, 3, 1)


def test_what_was_out_goes_first_on_the_next_socket() -> None:
    device, first = with_a_datagram_out()
    device.connection_lost()
    assert device.state is DeviceState.DISCONNECTED
    assert device.has_unacknowledged
    device.connection_made()
    assert device.data_to_send() == first
    assert device.state is DeviceState.AWAITING_ACK
    assert device.report.connections == 2


def test_what_was_not_taken_from_it_is_not_sent_twice_on_the_next_socket() -> None:
    device = new_device()
    device.connection_made()
    device.send_next()
    device.connection_lost()
    device.connection_made()
    assert device.data_to_send()
    assert device.data_to_send() == b""


def test_a_datagram_comes_as_often_as_it_is_told_and_one_answer_is_enough() -> None:
    device = new_device(record_count=3)
    device.connection_made()
    device.send_next(copies=2)
    first, again, nothing = (device.data_to_send() for _ in range(3))
    assert first == again
    assert nothing == b""
    device.receive_data(answer_to(first))
    assert device.state is DeviceState.DONE
    assert device.report.packets_resent == 0


# answers that are none


def test_an_answer_to_an_earlier_datagram_is_ignored() -> None:
    device, first = with_a_datagram_out()
    device.answer_timed_out()
    assert device.data_to_send() == first
    device.receive_data(answer_to(first))
    second = send(device)
    assert device.receive_data(answer_to(first)) == []
    assert device.state is DeviceState.AWAITING_ACK
    assert device.report.wrong_acks == 0
    assert device.receive_data(answer_to(second)) == [PacketDelivered(second, 3)]


@pytest.mark.parametrize(("packet_id", "avl_packet_id"), [(1, 2), (2, 1), (257, 1)])
def test_both_ids_must_be_right(packet_id: int, avl_packet_id: int) -> None:
    device, _ = with_a_datagram_out()
    answer = encode_answer(DatagramAnswer(packet_id, avl_packet_id, 3))
    assert device.receive_data(answer) == []
    assert device.state is DeviceState.AWAITING_ACK


def test_an_answer_with_nothing_out_is_ignored() -> None:
    device, first = with_a_datagram_out()
    device.receive_data(answer_to(first))
    assert device.receive_data(answer_to(first)) == []
    assert device.state is DeviceState.READY
    assert device.report.records_acknowledged == 3


@pytest.mark.parametrize("accepted", [0, 2, 4])
def test_an_answer_with_a_wrong_count_is_counted_and_waits_for_the_time_out(accepted: int) -> None:
    device, first = with_a_datagram_out()
    assert device.receive_data(answer_to(first, accepted)) == [AckRefused(3, accepted)]
    assert device.state is DeviceState.AWAITING_ACK
    assert device.data_to_send() == b""
    assert (device.report.wrong_acks, device.report.records_acknowledged) == (1, 0)
    device.answer_timed_out()
    assert device.data_to_send() == first


@pytest.mark.parametrize("data", [b"", b"\x01", b"\x00\x05\x00\x01\x01\x01", bytes(7), bytes(100)])
def test_what_is_no_answer_is_counted(data: bytes) -> None:
    device, _ = with_a_datagram_out()
    assert device.receive_data(data) == []
    assert device.state is DeviceState.AWAITING_ACK
    assert device.report.broken_frames == 1


def test_ignored_answers_are_taken_again_once_the_datagram_went_again() -> None:
    device, first = with_a_datagram_out()
    device.ignore_acks()
    assert device.receive_data(answer_to(first)) == []
    device.answer_timed_out()
    assert device.receive_data(answer_to(first)) == [ImeiAccepted(), PacketDelivered(first, 3)]


# the end, and mistakes of the caller


def test_stopped_with_a_datagram_out_it_is_done_once_that_is_acknowledged() -> None:
    device, first = with_a_datagram_out()
    device.stop()
    assert device.state is DeviceState.AWAITING_ACK
    device.receive_data(answer_to(first))
    assert device.state is DeviceState.DONE
    assert device.receive_data(answer_to(first)) == []


def test_records_that_fit_no_datagram_are_refused_before_anything_is_sent() -> None:
    large = IoElements.of([IoElement.variable(1, bytes(40_000))])
    records = iter([AvlRecord(1, 0, 0, 0, 0, 0, 0, 0, io=large)] * 2)
    device = UdpMachine(IMEI, AVL_CODECS.by_name("8E"), records, records_per_packet=2)
    device.connection_made()
    with pytest.raises(EncodeError, match="2 records make a packet of 80"):
        device.send_next()
    assert device.data_to_send() == b""
    assert device.report.records_sent == 0
