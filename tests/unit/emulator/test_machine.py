"""The device's state machine, without a socket."""

from collections.abc import Iterator
from itertools import count, islice

import pytest

from teltonika.codecs import (
    AVL_CODECS,
    AvlRecord,
    EncodeError,
    IoElement,
    IoElements,
    decode_packet,
)
from teltonika.emulator import AckRefused, DeviceMachine, DeviceState, ImeiAccepted, PacketDelivered
from teltonika.emulator.emulated_device import TRANSITIONS, Action

IMEI = "356307042441013"
HANDSHAKE = b"\x00\x0f356307042441013"
CODEC8 = AVL_CODECS.by_name("8")
ACCEPTED, REJECTED = b"\x01", b"\x00"


def numbered_records() -> Iterator[AvlRecord]:
    """Records whose timestamp is their number: 0, 1, 2 …"""
    for number in count():
        yield AvlRecord(number, 0, 0, 0, 0, 0, 0, 0)


def ack(record_count: int) -> bytes:
    return record_count.to_bytes(4)


def numbers(packet: bytes) -> list[int]:
    return [record.timestamp_ms for record in decode_packet(packet).records]


def new_device(*, records_per_packet: int = 3, record_count: int | None = None) -> DeviceMachine:
    return DeviceMachine(
        IMEI,
        CODEC8,
        numbered_records(),
        records_per_packet=records_per_packet,
        record_count=record_count,
    )


def connect(device: DeviceMachine) -> None:
    """Up to the server's yes; what the device sends then is left in its queue."""
    device.connection_made()
    assert device.data_to_send() == HANDSHAKE
    assert device.receive_data(ACCEPTED) == [ImeiAccepted()]


def send(device: DeviceMachine) -> bytes:
    device.send_next()
    return device.data_to_send()


def with_a_packet_in_flight(**arguments: int) -> tuple[DeviceMachine, bytes]:
    device = new_device(**arguments)
    connect(device)
    return device, send(device)


# the ordinary way


def test_it_says_its_imei_and_sends_nothing_before_the_answer() -> None:
    device = new_device()
    device.connection_made()
    assert device.data_to_send() == HANDSHAKE
    assert device.state is DeviceState.AWAITING_ANSWER
    with pytest.raises(RuntimeError, match="AWAITING_ANSWER cannot SEND"):
        device.send_next()
    assert device.data_to_send() == b""


def test_each_packet_waits_for_the_ack_of_the_one_before() -> None:
    device, first = with_a_packet_in_flight()
    assert numbers(first) == [0, 1, 2]
    with pytest.raises(RuntimeError, match="AWAITING_ACK cannot SEND"):
        device.send_next()
    assert device.receive_data(ack(3)) == [PacketDelivered(first, 3)]
    assert device.state is DeviceState.READY
    assert device.data_to_send() == b""
    assert numbers(send(device)) == [3, 4, 5]


def test_it_is_done_with_the_last_ack_and_the_last_packet_holds_what_is_left() -> None:
    device, _ = with_a_packet_in_flight(record_count=4)
    device.receive_data(ack(3))
    assert device.state is DeviceState.READY
    assert numbers(send(device)) == [3]
    device.receive_data(ack(1))
    assert device.state is DeviceState.DONE
    device.connection_lost()
    assert device.state is DeviceState.DONE
    assert device.report.complete


def test_without_a_count_it_is_done_when_the_records_end() -> None:
    device = DeviceMachine(IMEI, CODEC8, islice(numbered_records(), 3), records_per_packet=2)
    connect(device)
    for expected in ([0, 1], [2]):
        assert numbers(send(device)) == expected
        device.receive_data(ack(len(expected)))
    assert send(device) == b""
    assert device.state is DeviceState.DONE


@pytest.mark.parametrize("record_count", [3, 0])
def test_an_ack_that_came_before_the_packet_is_not_for_it(record_count: int) -> None:
    device = new_device()
    device.connection_made()
    device.receive_data(ACCEPTED + ack(record_count))
    device.settle()
    assert device.report.wrong_acks == 1
    send(device)
    assert device.state is DeviceState.AWAITING_ACK
    assert device.report.records_acknowledged == 0


def test_an_ack_split_into_bytes_counts_once_it_is_whole() -> None:
    device, packet = with_a_packet_in_flight()
    events = [device.receive_data(bytes([byte])) for byte in ack(3)]
    assert events == [[], [], [], [PacketDelivered(packet, 3)]]


def test_half_an_ack_from_the_last_connection_is_forgotten() -> None:
    device, packet = with_a_packet_in_flight()
    device.receive_data(ack(3)[:2])
    device.connection_lost()
    connect(device)
    assert device.data_to_send() == packet
    assert device.receive_data(ack(3)) == [PacketDelivered(packet, 3)]


# the same bytes again


def test_what_was_in_flight_goes_first_on_the_next_connection() -> None:
    device, packet = with_a_packet_in_flight()
    device.connection_lost()
    assert device.state is DeviceState.DISCONNECTED
    connect(device)
    assert device.data_to_send() == packet
    assert device.state is DeviceState.AWAITING_ACK
    device.receive_data(ack(3))
    assert numbers(send(device)) == [3, 4, 5]
    report = device.report
    assert (report.packets_resent, report.records_resent, report.records_sent) == (1, 3, 6)
    assert report.connections == 2


def test_no_ack_in_time_leads_to_another_connection_and_never_to_a_second_copy_on_this_one() -> (
    None
):
    device, packet = with_a_packet_in_flight()
    device.answer_timed_out()
    assert device.state is DeviceState.CLOSING
    assert device.complaint == "no ACK in time"
    assert device.data_to_send() == b""
    assert device.report.ack_timeouts == 1
    assert device.receive_data(ack(3)) == []  # too late
    assert device.report.records_acknowledged == 0
    device.connection_lost()
    connect(device)
    assert device.data_to_send() == packet


def test_a_wrong_ack_has_the_same_bytes_sent_again_on_this_connection() -> None:
    device, packet = with_a_packet_in_flight()
    assert device.receive_data(ack(2)) == [AckRefused(3, 2)]
    assert device.data_to_send() == packet
    assert device.state is DeviceState.AWAITING_ACK
    assert device.receive_data(ack(3)) == [PacketDelivered(packet, 3)]
    report = device.report
    assert (report.wrong_acks, report.packets_resent, report.records_acknowledged) == (1, 1, 3)


def test_a_second_wrong_ack_in_a_row_leads_to_another_connection() -> None:
    device, packet = with_a_packet_in_flight()
    device.receive_data(ack(2))
    assert device.data_to_send() == packet
    device.receive_data(ack(4))
    assert device.state is DeviceState.CLOSING
    assert device.complaint == "two wrong ACKs in a row"
    assert device.data_to_send() == b""
    device.connection_lost()
    connect(device)
    assert device.complaint == ""
    assert device.data_to_send() == packet
    device.receive_data(ack(4))  # the first wrong one here
    assert device.data_to_send() == packet


def test_a_right_ack_between_two_wrong_ones_forgives_the_first() -> None:
    device, _ = with_a_packet_in_flight()
    device.receive_data(ack(9))
    device.receive_data(ack(3))
    device.data_to_send()
    second = send(device)
    device.receive_data(ack(9))
    assert device.state is DeviceState.AWAITING_ACK
    assert device.data_to_send() == second


def test_an_ack_right_behind_a_wrong_one_is_not_for_the_copy_that_is_yet_to_be_written() -> None:
    device, packet = with_a_packet_in_flight()
    assert device.receive_data(ack(2) + ack(3)) == [AckRefused(3, 2), AckRefused(0, 3)]
    assert device.report.records_acknowledged == 0
    assert device.data_to_send() == packet


def test_an_ack_of_no_records_is_one_once_nothing_follows_it() -> None:
    device, packet = with_a_packet_in_flight()
    assert device.receive_data(ack(0)) == []
    assert device.undecided
    assert device.settle() == [AckRefused(3, 0)]
    assert not device.undecided
    assert device.data_to_send() == packet
    assert device.receive_data(ack(3)) == [PacketDelivered(packet, 3)]


def test_an_ack_behind_an_ack_of_no_records_settles_it() -> None:
    device, _ = with_a_packet_in_flight()
    assert device.receive_data(ack(0) + ack(3) + ack(3)) == [
        AckRefused(3, 0),
        AckRefused(0, 3),
        AckRefused(0, 3),
    ]


def test_there_is_nothing_to_settle_as_a_rule() -> None:
    device, _ = with_a_packet_in_flight()
    device.receive_data(ack(3)[:3])
    assert not device.undecided
    assert device.settle() == []
    assert device.report.wrong_acks == 0


def test_what_was_undecided_is_forgotten_with_its_connection() -> None:
    device, _ = with_a_packet_in_flight()
    device.receive_data(ack(0))
    device.connection_lost()
    assert not device.undecided
    assert device.settle() == []
    assert device.report.wrong_acks == 0


# nothing twice


def test_a_second_ack_for_the_same_packet_counts_for_nothing() -> None:
    device, packet = with_a_packet_in_flight()
    assert device.receive_data(ack(3) + ack(3)) == [PacketDelivered(packet, 3), AckRefused(0, 3)]
    assert device.receive_data(ack(3)) == [AckRefused(0, 3)]
    assert device.report.records_acknowledged == 3
    assert device.report.packets_acknowledged == 1
    assert device.report.wrong_acks == 2
    assert device.state is DeviceState.READY


def test_a_done_device_hears_nothing_more() -> None:
    device, packet = with_a_packet_in_flight(record_count=3)
    assert device.receive_data(ack(3) + ack(3)) == [PacketDelivered(packet, 3)]
    assert device.receive_data(ack(3)) == []
    assert device.report.records_acknowledged == 3


# the handshake fails


def test_a_rejected_device_keeps_its_records_for_the_next_connection() -> None:
    device, packet = with_a_packet_in_flight()
    device.connection_lost()
    device.connection_made()
    device.data_to_send()
    assert device.receive_data(REJECTED) == []
    assert device.state is DeviceState.CLOSING
    assert device.complaint == "the server rejected the IMEI"
    assert device.report.rejections == 1
    assert device.data_to_send() == b""
    device.connection_lost()
    connect(device)
    assert device.data_to_send() == packet


def test_an_answer_that_is_neither_yes_nor_no_ends_the_connection() -> None:
    device = new_device()
    device.connection_made()
    assert device.receive_data(b"HTTP/1.1 400 Bad Request") == []
    assert device.state is DeviceState.CLOSING
    assert "found 0x48" in device.complaint
    assert device.report.handshake_failures == 1


def test_no_answer_to_the_imei_ends_the_connection() -> None:
    device = new_device()
    device.connection_made()
    device.answer_timed_out()
    assert device.state is DeviceState.CLOSING
    assert device.complaint == "no answer to the IMEI in time"
    assert (device.report.handshake_failures, device.report.ack_timeouts) == (1, 0)


# stopping


@pytest.mark.parametrize("connected", [False, True])
def test_a_device_with_nothing_in_flight_stops_at_once(connected: bool) -> None:
    device = new_device()
    if connected:
        connect(device)
    device.stop()
    assert device.state is DeviceState.DONE


def test_a_device_with_a_packet_in_flight_stops_with_its_ack() -> None:
    device, packet = with_a_packet_in_flight()
    device.stop()
    assert device.state is DeviceState.AWAITING_ACK
    device.connection_lost()
    connect(device)
    assert device.data_to_send() == packet
    device.receive_data(ack(3))
    assert device.state is DeviceState.DONE
    device.stop()
    assert device.state is DeviceState.DONE


# leaving records out


def test_skipped_records_are_never_sent_and_count_for_nothing_else() -> None:
    device, first = with_a_packet_in_flight(record_count=6)
    device.skip(2)
    assert device.receive_data(ack(3)) == [PacketDelivered(first, 3)]
    assert numbers(send(device)) == [9, 10, 11]
    device.receive_data(ack(3))
    assert device.state is DeviceState.DONE
    assert (device.report.records_deleted, device.report.records_sent) == (6, 6)


# mistakes of the caller


def test_records_that_fit_no_packet_are_refused_before_anything_is_sent() -> None:
    large = IoElements.of([IoElement.variable(1, bytes(40_000))])
    records = iter([AvlRecord(1, 0, 0, 0, 0, 0, 0, 0, io=large)] * 2)
    device = DeviceMachine(IMEI, AVL_CODECS.by_name("8E"), records, records_per_packet=2)
    connect(device)
    with pytest.raises(EncodeError, match="2 records make a packet of 80"):
        device.send_next()
    assert device.data_to_send() == b""
    assert device.report.records_sent == 0


def test_every_state_can_be_reached_and_left() -> None:
    assert {state for state, _ in TRANSITIONS} == set(DeviceState)
    assert set(TRANSITIONS.values()) == set(DeviceState)
    assert {action for _, action in TRANSITIONS} == set(Action)


def test_a_packet_in_flight_is_never_forgotten_by_finishing() -> None:
    assert (DeviceState.AWAITING_ACK, Action.FINISH) not in TRANSITIONS
