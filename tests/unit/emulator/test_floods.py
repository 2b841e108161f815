"""What an emulated device does about a server that sends without end: without a socket."""

from itertools import count

import pytest

from teltonika.codecs import (
    AVL_CODECS,
    COMMAND_CODECS,
    AvlRecord,
    CommandMessage,
    MessageType,
    decode_packet,
    encode_message,
)
from teltonika.codecs.udp import DatagramAnswer, encode_answer
from teltonika.emulator import (
    AnswerFault,
    AnswerQueue,
    CommandExecuted,
    DeviceMachine,
    DeviceState,
    UdpMachine,
)
from teltonika.emulator.answers import MAX_WAITING
from teltonika.emulator.emulated_device import FLOOD, FLOODED, EmulatedDevice
from teltonika.emulator.report import MAX_COMMAND_TEXTS, OTHER_COMMANDS
from teltonika.emulator.unit import MAX_PARAMETERS

IMEI = "356307042441013"
CODEC12, CODEC14 = COMMAND_CODECS.by_name("12"), COMMAND_CODECS.by_name("14")
RIGHT_ACK = (1).to_bytes(4)


def command(text: str) -> bytes:
    return encode_message(CODEC12.command(text, IMEI))


def answer(packet_id: int, avl_packet_id: int, accepted: int) -> bytes:
    return encode_answer(DatagramAnswer(packet_id, avl_packet_id, accepted))


UNKNOWN = command("no command of its")
WRONG_CRC = UNKNOWN[:-1] + bytes((UNKNOWN[-1] ^ 1,))
FOREIGN = encode_message(CODEC14.command("getinfo", "350000000000006"))
ANSWER = encode_message(CommandMessage(12, MessageType.RESPONSE, b"it is no command"))


def new_device() -> DeviceMachine:
    records = (AvlRecord(number, 0, 0, 0, 0, 0, 0, 0) for number in count())
    device = DeviceMachine(IMEI, AVL_CODECS.by_name("8"), records)
    device.connection_made()
    device.receive_data(b"\1")
    device.data_to_send()
    return device


def new_udp_device() -> UdpMachine:
    records = (AvlRecord(number, 0, 0, 0, 0, 0, 0, 0) for number in count())
    device = UdpMachine(IMEI, AVL_CODECS.by_name("8"), records)
    device.connection_made()
    return device


def say(device: EmulatedDevice, data: bytes, times: int) -> None:
    for _ in range(times):
        device.receive_data(data)


def has_left(device: EmulatedDevice) -> bool:
    return (device.state, device.complaint) == (DeviceState.CLOSING, FLOODED)


@pytest.mark.parametrize(
    "useless",
    [RIGHT_ACK, b"\0\0\0\7", b"\xff" * 4, UNKNOWN, WRONG_CRC, FOREIGN, ANSWER],
    ids=["ack", "wrong ack", "ff", "unknown", "crc", "foreign", "answer"],
)
def test_a_device_leaves_a_server_that_sends_what_it_can_do_nothing_with(useless: bytes) -> None:
    device = new_device()
    say(device, useless, FLOOD - 1)
    assert device.state is DeviceState.READY
    say(device, useless, 1)
    assert has_left(device)
    assert device.report.floods == 1


@pytest.mark.parametrize(
    "useless",
    [b"", b"x" * 2_000, answer(9, 9, 1), answer(0, 0, 7)],
    ids=["empty", "large", "late", "wrong"],
)
def test_a_device_leaves_such_a_server_over_udp(useless: bytes) -> None:
    device = new_udp_device()
    device.send_next()
    say(device, useless, FLOOD - 1)
    assert device.state is DeviceState.AWAITING_ACK
    say(device, useless, 1)
    assert has_left(device)


def test_all_of_it_counts_together() -> None:
    device = new_device()
    for useless in (RIGHT_ACK, UNKNOWN, WRONG_CRC, FOREIGN):
        say(device, useless, FLOOD // 4)
    assert has_left(device)


def test_less_than_that_in_a_minute_is_put_up_with() -> None:
    device = new_device()
    for minute in range(5):
        device.unit.tick(60_000 * minute)
        say(device, RIGHT_ACK, FLOOD - 1)
    assert device.state is DeviceState.READY
    assert device.report.wrong_acks == 5 * (FLOOD - 1)


def test_a_packet_that_is_acknowledged_makes_up_for_it() -> None:
    device = new_device()
    for _ in range(3):
        say(device, UNKNOWN, FLOOD - 1)
        device.send_next()
        device.receive_data(RIGHT_ACK)
    assert device.state is DeviceState.READY
    assert device.report.packets_acknowledged == 3


def test_on_the_next_connection_it_is_counted_anew() -> None:
    device = new_device()
    say(device, RIGHT_ACK, FLOOD)
    device.connection_lost()
    device.connection_made()
    device.receive_data(b"\1")
    say(device, RIGHT_ACK, FLOOD - 1)
    assert device.state is DeviceState.READY


def test_commands_that_it_executes_are_no_flood() -> None:
    device = new_device()
    say(device, command("getver"), 2 * FLOOD)
    assert device.state is DeviceState.READY
    assert device.report.commands == {"getver": 2 * FLOOD}


def test_the_report_names_so_many_commands_and_counts_the_others_together() -> None:
    device = new_device()
    for number in range(MAX_COMMAND_TEXTS + 10):
        device.receive_data(command(f"setparam 2004:{number}"))
    device.receive_data(command("setparam 2004:0"))
    report = device.report
    assert len(report.commands) == MAX_COMMAND_TEXTS + 1
    assert report.commands[OTHER_COMMANDS] == 10
    assert report.commands["setparam 2004:0"] == 2
    assert report.commands_executed == sum(report.commands.values())


def test_a_unit_keeps_so_many_parameters_and_can_change_each_of_them() -> None:
    device = new_device()
    for number in range(MAX_PARAMETERS + 10):
        device.receive_data(command(f"setparam {number}:a"))
    device.receive_data(command("setparam 0:b"))
    assert len(device.unit.parameters) == MAX_PARAMETERS
    assert device.unit.parameters[0] == "b"
    (event,) = device.receive_data(command(f"getparam {MAX_PARAMETERS + 5}"))
    assert isinstance(event, CommandExecuted)
    message = decode_packet(event.answer)
    assert isinstance(message, CommandMessage)
    assert message.text == f"Param ID:{MAX_PARAMETERS + 5} Val:"


@pytest.mark.parametrize("fault", [AnswerFault.NONE, AnswerFault.DOUBLE, AnswerFault.SPLIT])
def test_answers_past_the_bound_are_dropped_whole(fault: AnswerFault) -> None:
    queue = AnswerQueue(60.0, fault)
    added = 0
    while queue.add(b"frame", 0.0):
        added += 1
    assert added <= MAX_WAITING
    queue.pop()
    taken = 1
    while queue.due_s < 1_000:
        queue.pop()
        taken += 1
    assert not queue.mid_frame
    assert MAX_WAITING <= taken < MAX_WAITING + 4
    assert queue.add(b"frame", 0.0)
