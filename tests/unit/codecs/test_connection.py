"""A session's two ends, without a socket."""

import tracemalloc

import pytest
from samples import framed

from teltonika.codecs import (
    AVL_CODECS,
    COMMAND_CODECS,
    AvlPacket,
    AvlPacketReceived,
    AvlRecord,
    CommandMessage,
    CommandReceived,
    CommandResponseReceived,
    ConnectionState,
    CrcFailed,
    DeviceConnection,
    FrameSkipped,
    HandshakeAnswered,
    ImeiReceived,
    MessageType,
    PacketAcknowledged,
    ProtocolViolation,
    ServerConnection,
    encode_imei,
    encode_message,
    encode_packet,
)
from teltonika.codecs.connection import TRANSITIONS, Action

IMEI = "356307042441013"
RECORD = AvlRecord(0, 0, 0, 0, 0, 0, 0, 0)
PACKET = encode_packet(AVL_CODECS.by_name("8"), [RECORD, RECORD])
COMMAND = COMMAND_CODECS.by_name("12").command("getinfo", IMEI)
MESSAGES = [
    CommandMessage(0x0C, MessageType.RESPONSE, b"Ver:1"),
    CommandMessage(0x0C, MessageType.COMMAND, b"a device should not"),
    CommandMessage(0x0E, MessageType.RESPONSE, b"\xff\x00", IMEI),
    CommandMessage(0x0E, MessageType.NACK, b"", IMEI),
]
RECEIVED = AvlPacketReceived(AvlPacket(8, (RECORD, RECORD), (PACKET[10:40], PACKET[40:70])))


def open_connection() -> ServerConnection:
    connection = ServerConnection()
    connection.receive_data(encode_imei(IMEI))
    connection.accept()
    assert connection.data_to_send() == b"\x01"
    return connection


def test_a_session_between_both_ends() -> None:
    device, server = DeviceConnection(), ServerConnection()
    device.start(IMEI)
    assert server.receive_data(device.data_to_send()) == [ImeiReceived(IMEI, luhn_valid=True)]
    server.accept()
    assert device.receive_data(server.data_to_send()) == [HandshakeAnswered(accepted=True)]
    for _ in range(2):
        device.send_packet(PACKET)
        assert server.receive_data(device.data_to_send()) == [RECEIVED]
        server.acknowledge(2)
        assert device.receive_data(server.data_to_send()) == [PacketAcknowledged(2)]
    assert device.data_to_send() == server.data_to_send() == b""


def test_packets_behind_the_imei_in_the_same_read_are_not_lost() -> None:
    connection = ServerConnection()
    events = connection.receive_data(encode_imei(IMEI) + PACKET * 2)
    assert events == [ImeiReceived(IMEI, luhn_valid=True), RECEIVED, RECEIVED]
    connection.accept()
    connection.acknowledge(2)
    connection.acknowledge(255)
    assert connection.data_to_send() == b"\x01\x00\x00\x00\x02\x00\x00\x00\xff"


def test_a_rejected_session_hears_nothing_more() -> None:
    connection = ServerConnection()
    connection.receive_data(encode_imei(IMEI))
    connection.reject()
    assert connection.data_to_send() == b"\x00"
    assert connection.state is ConnectionState.CLOSED
    assert connection.receive_data(PACKET) == []


def test_garbage_behind_the_imei_leaves_the_answer_possible() -> None:
    connection = ServerConnection()
    imei, violation = connection.receive_data(encode_imei(IMEI) + b"GET")
    assert isinstance(imei, ImeiReceived)
    assert isinstance(violation, ProtocolViolation)
    connection.accept()
    assert connection.data_to_send() == b"\x01"
    assert connection.receive_data(PACKET) == []


def test_a_luhn_digit_that_is_wrong_is_reported_only() -> None:
    (event,) = ServerConnection().receive_data(encode_imei("356307042441014"))
    assert event == ImeiReceived("356307042441014", luhn_valid=False)


@pytest.mark.parametrize("message", MESSAGES, ids=repr)
def test_a_message_comes_between_packets_and_is_never_acknowledged(message: CommandMessage) -> None:
    connection = open_connection()
    events = connection.receive_data(PACKET + encode_message(message) + PACKET)
    assert events == [RECEIVED, CommandResponseReceived(message), RECEIVED]
    assert connection.data_to_send() == b""


def test_a_broken_message_is_skipped_and_the_session_goes_on() -> None:
    broken = framed(b"\x0c\x01\x06\x00\x00\x00\x09ok\x01")
    skipped, received = open_connection().receive_data(broken + PACKET)
    assert isinstance(skipped, FrameSkipped)
    assert (skipped.error.code, skipped.error.offset) == ("size_mismatch", 11)
    assert received == RECEIVED


def test_a_command_is_one_whole_frame_among_the_acks() -> None:
    connection = open_connection()
    connection.acknowledge(2)
    connection.send_command(COMMAND)
    connection.acknowledge(1)
    sent = connection.data_to_send()
    assert sent == b"\x00\x00\x00\x02" + encode_message(COMMAND) + b"\x00\x00\x00\x01"


def open_device() -> DeviceConnection:
    device = DeviceConnection()
    device.start(IMEI)
    device.receive_data(b"\x01")
    device.data_to_send()
    return device


@pytest.mark.parametrize("size", [1, 3, 4, 7, 1000])
def test_a_device_tells_acks_from_commands_however_they_are_cut(size: int) -> None:
    ack, none = b"\x00\x00\x00\x0c", bytes(4)
    stream = ack + encode_message(COMMAND) + none + none + ack + encode_message(COMMAND) + ack
    device = open_device()
    pieces = [stream[at : at + size] for at in range(0, len(stream), size)]
    events = [event for piece in pieces for event in device.receive_data(piece)]
    acknowledged, nothing = PacketAcknowledged(12), PacketAcknowledged(0)
    command = CommandReceived(COMMAND)
    expected = [acknowledged, command, nothing, nothing, acknowledged, command, acknowledged]
    assert events == expected
    assert not device.undecided


def test_four_zero_bytes_are_an_ack_once_nothing_follows_them() -> None:
    device = open_device()
    assert device.receive_data(bytes(3)) == []
    assert not device.undecided
    assert device.receive_data(bytes(1)) == []
    assert device.undecided
    assert device.settle() == [PacketAcknowledged(0)]
    assert device.settle() == []
    assert device.receive_data(encode_message(COMMAND)) == [CommandReceived(COMMAND)]


def test_a_device_survives_broken_commands() -> None:
    frame = encode_message(COMMAND)
    wrong_crc = frame[:-1] + bytes((frame[-1] ^ 1,))
    unknown_type = framed(b"\x0c\x01\x09\x00\x00\x00\x00\x01")
    crc, skipped, command = open_device().receive_data(wrong_crc + unknown_type + frame)
    assert isinstance(crc, CrcFailed)
    assert isinstance(skipped, FrameSkipped)
    assert command == CommandReceived(COMMAND)


@pytest.mark.parametrize("codec_id", [0x0C, 0x0D, 0x0F])
def test_a_wrong_crc_is_told_before_the_codec_is_looked_at(codec_id: int) -> None:
    """Nothing in the frame is to be believed."""
    (event,) = open_device().receive_data(framed(bytes((codec_id, 1, 1)), crc_change=1))
    assert isinstance(event, CrcFailed)
    assert event.error.offset == 11


def test_a_command_that_stalls_behind_its_header_is_no_ack() -> None:
    device, frame = open_device(), encode_message(COMMAND)
    device.receive_data(frame[:8])
    assert device.undecided
    device.receive_data(frame[8:9])
    assert not device.undecided
    assert device.settle() == []
    assert device.receive_data(frame[9:]) == [CommandReceived(COMMAND)]


def test_an_unknown_codec_is_a_violation_that_names_it() -> None:
    connection = open_connection()
    (event,) = connection.receive_data(framed(b"\x07\x01\x01") + PACKET)
    assert isinstance(event, ProtocolViolation)
    assert (event.error.code, event.error.offset, event.error.found) == ("unknown_codec", 8, 7)
    assert connection.state is ConnectionState.CLOSED


def test_a_record_that_contradicts_itself_is_a_violation_at_its_byte_in_the_packet() -> None:
    connection = open_connection()
    (event,) = connection.receive_data(framed(PACKET[8:-5] + b"\x03"))
    assert isinstance(event, ProtocolViolation)
    assert event.error.code == "record_count_mismatch"
    assert event.error.offset == len(PACKET) - 5
    assert connection.receive_data(PACKET) == []


def test_half_a_packet_at_the_end_is_a_violation() -> None:
    connection = open_connection()
    assert connection.receive_data(PACKET[:30]) == []
    (event,) = connection.receive_eof()
    assert isinstance(event, ProtocolViolation)
    assert event.error.code == "truncated"


def test_a_device_understands_answers_byte_by_byte_and_coalesced() -> None:
    device = DeviceConnection()
    device.start(IMEI)
    answers = b"\x01\x00\x00\x00\x02\x00\x00\x00\x05"
    events = [event for byte in answers for event in device.receive_data(bytes((byte,)))]
    assert events == [
        HandshakeAnswered(accepted=True),
        PacketAcknowledged(2),
        PacketAcknowledged(5),
    ]


@pytest.mark.parametrize(("answer", "state"), [(b"\x00", "CLOSED"), (b"\x02", "CLOSED")])
def test_a_device_that_is_not_accepted_may_not_send(answer: bytes, state: str) -> None:
    device = DeviceConnection()
    device.start(IMEI)
    with pytest.raises(RuntimeError, match="AWAITING_ANSWER cannot send"):
        device.send_packet(PACKET)
    (event,) = device.receive_data(answer + b"\x00\x00\x00\x01")
    if answer == b"\x00":
        assert event == HandshakeAnswered(accepted=False)
    else:
        assert isinstance(event, ProtocolViolation)
        assert event.error.found == "0x02"
    assert device.state is ConnectionState[state]
    with pytest.raises(RuntimeError, match="CLOSED cannot send"):
        device.send_packet(PACKET)


@pytest.mark.parametrize("answer", [b"\x00", b"\x02"])
def test_a_device_that_is_not_accepted_keeps_nothing_of_what_still_comes(answer: bytes) -> None:
    device = DeviceConnection()
    device.start(IMEI)
    device.receive_data(answer + bytes(100_000))
    tracemalloc.start()
    try:
        for _ in range(20):
            assert device.receive_data(bytes(100_000)) == []
        assert tracemalloc.get_traced_memory()[0] < 10_000
    finally:
        tracemalloc.stop()


def test_moves_that_the_table_does_not_have_are_refused() -> None:
    assert len(TRANSITIONS) == 9
    for state in ConnectionState:
        for action in Action:
            connection = ServerConnection()
            connection._state = state
            if (state, action) in TRANSITIONS:
                connection._move(action)
                assert connection.state is TRANSITIONS[state, action]
            else:
                with pytest.raises(RuntimeError, match=f"{state.name} cannot {action.name}"):
                    connection._move(action)
    with pytest.raises(RuntimeError, match="without an IMEI"):
        ServerConnection().accept()
