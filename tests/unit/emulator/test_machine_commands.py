"""Commands to a device, without a socket: executed once, at any moment, and never acknowledged."""

from itertools import count

import pytest

from teltonika.codecs import (
    AVL_CODECS,
    COMMAND_CODECS,
    AvlRecord,
    CommandCodec,
    CommandMessage,
    MessageType,
    decode_packet,
    encode_message,
)
from teltonika.emulator import (
    AckRefused,
    CommandExecuted,
    CommandIgnored,
    CommandRefused,
    DeviceEvent,
    DeviceMachine,
    DeviceState,
    EmulatorSettings,
    ImeiAccepted,
    PacketDelivered,
    RecordsDeleted,
    Restarted,
    assemble_device,
)
from teltonika.emulator.drive import DIGITAL_OUTPUT_1, DIGITAL_OUTPUT_2

IMEI = "356307042441013"
OTHER_IMEI = "356307042441021"
ACCEPTED = b"\x01"
ACK = (1).to_bytes(4)
CODEC12, CODEC14 = COMMAND_CODECS.by_name("12"), COMMAND_CODECS.by_name("14")


def command(text: str, codec: CommandCodec = CODEC12, imei: str = IMEI) -> bytes:
    return encode_message(codec.command(text, imei))


def message(frame: bytes) -> CommandMessage:
    decoded = decode_packet(frame)
    assert isinstance(decoded, CommandMessage)
    return decoded


def answer_to(events: list[DeviceEvent]) -> str:
    """The answer of the only event."""
    (event,) = events
    assert isinstance(event, CommandExecuted)
    return message(event.answer).text


def new_device() -> DeviceMachine:
    records = (AvlRecord(number, 0, 0, 0, 0, 0, 0, 0) for number in count())
    return DeviceMachine(IMEI, AVL_CODECS.by_name("8"), records)


def connected(device: DeviceMachine | None = None) -> DeviceMachine:
    device = device or new_device()
    device.connection_made()
    device.data_to_send()
    device.receive_data(ACCEPTED)
    return device


def with_a_packet_in_flight() -> tuple[DeviceMachine, bytes]:
    device = connected()
    device.send_next()
    return device, device.data_to_send()


# taken at any moment


@pytest.mark.parametrize("codec", list(COMMAND_CODECS), ids=lambda codec: codec.name)
def test_an_answer_comes_in_the_commands_own_codec(codec: CommandCodec) -> None:
    device = connected()
    (event,) = device.receive_data(command("readio 3", codec))
    assert isinstance(event, CommandExecuted)
    assert event.text == "readio 3"
    answer = message(event.answer)
    assert (answer.codec_id, answer.type) == (codec.codec_id, MessageType.RESPONSE)
    assert answer.text == "IO ID:3 Value:0"
    assert answer.imei == (IMEI if codec is CODEC14 else None)


def test_a_command_in_the_same_bytes_as_the_answer_to_the_imei_is_executed() -> None:
    device = new_device()
    device.connection_made()
    accepted, executed = device.receive_data(ACCEPTED + command("getinfo"))
    assert accepted == ImeiAccepted()
    assert isinstance(executed, CommandExecuted)
    assert device.state is DeviceState.READY


def test_a_command_leaves_the_packet_in_flight_alone() -> None:
    device, packet = with_a_packet_in_flight()
    assert answer_to(device.receive_data(command("getinfo"))).endswith("RF:1 SF:1 MD:0")
    assert device.state is DeviceState.AWAITING_ACK
    assert device.data_to_send() == b""
    assert device.receive_data(ACK) == [PacketDelivered(packet, 1)]


@pytest.mark.parametrize("ack_first", [True, False])
def test_a_command_in_the_same_bytes_as_an_ack_takes_nothing_from_it(ack_first: bool) -> None:
    device, packet = with_a_packet_in_flight()
    data = ACK + command("getver") if ack_first else command("getver") + ACK
    events = device.receive_data(data)
    delivered, executed = events if ack_first else reversed(events)
    assert delivered == PacketDelivered(packet, 1)
    assert isinstance(executed, CommandExecuted)
    assert device.report.wrong_acks == 0


def test_a_command_split_into_bytes_is_executed_with_its_last_one() -> None:
    device, _ = with_a_packet_in_flight()
    frame = command("getver", CODEC14)
    events = [device.receive_data(bytes([byte])) for byte in frame]
    assert events[:-1] == [[]] * (len(frame) - 1)
    assert "Hw:FMB120" in answer_to(events[-1])


def test_an_ack_of_no_records_then_a_command_are_both() -> None:
    device, packet = with_a_packet_in_flight()
    refused, executed = device.receive_data(bytes(4) + command("getver"))
    assert refused == AckRefused(1, 0)
    assert isinstance(executed, CommandExecuted)
    assert device.data_to_send() == packet


def test_commands_one_behind_the_other_are_all_executed_in_order() -> None:
    device = connected()
    texts = ["getver", "getinfo", "getver"]
    events = device.receive_data(b"".join(map(command, texts)))
    assert [event.text for event in events if isinstance(event, CommandExecuted)] == texts
    report = device.report
    assert (report.commands_received, report.commands_executed) == (3, 3)
    assert report.commands == {"getver": 2, "getinfo": 1}


# not executed


def test_codec_14_with_another_imei_gets_a_nack_with_the_devices_own() -> None:
    device = connected()
    (event,) = device.receive_data(command("setdigout 11", CODEC14, OTHER_IMEI))
    assert isinstance(event, CommandRefused)
    assert event.text == "setdigout 11"
    nack = message(event.nack)
    assert (nack.codec_id, nack.type, nack.imei) == (0x0E, MessageType.NACK, IMEI)
    assert nack.content == b""
    assert [output.level for output in device.unit.outputs] == [0, 0]
    report = device.report
    assert (report.commands_received, report.commands_executed, report.nacks) == (1, 0, 1)
    assert report.commands == {}


@pytest.mark.parametrize("text", ["GETINFO", "nonsense"])
def test_a_command_that_is_unknown_is_received_and_not_executed(text: str) -> None:
    device = connected()
    assert device.receive_data(command(text)) == [CommandIgnored(text)]
    assert (device.report.commands_received, device.report.commands_executed) == (1, 0)


def test_broken_frames_are_counted_and_what_follows_is_executed() -> None:
    device, packet = with_a_packet_in_flight()
    good = command("getver")
    wrong_crc = good[:-1] + bytes([good[-1] ^ 1])
    answer_of_a_device = encode_message(CODEC12.answer(message(good), b"INI:2019"))
    events = device.receive_data(wrong_crc + answer_of_a_device + good + ACK)
    executed, delivered = events
    assert isinstance(executed, CommandExecuted)
    assert delivered == PacketDelivered(packet, 1)
    report = device.report
    assert (report.broken_frames, report.commands_received, report.wrong_acks) == (2, 1, 0)


def test_a_device_that_is_leaving_executes_nothing() -> None:
    device, _ = with_a_packet_in_flight()
    device.answer_timed_out()
    assert device.receive_data(command("getver")) == []
    assert device.report.commands_received == 0


# what commands do


def test_cpureset_leaves_the_connection_and_keeps_packet_and_parameters() -> None:
    device, packet = with_a_packet_in_flight()
    device.receive_data(command("setparam 2004:example.org"))
    device.unit.tick(5_000)
    events = device.receive_data(command("cpureset") + command("getver") + ACK)
    assert events == [CommandExecuted("cpureset", b""), Restarted()]
    assert device.state is DeviceState.CLOSING
    assert device.complaint == "it starts again, as it was told"
    assert device.unit.uptime_s == 0
    device.connection_lost()
    connected(device)
    assert device.data_to_send() == packet
    assert device.report.commands == {"setparam 2004:example.org": 1, "cpureset": 1}
    assert answer_to(device.receive_data(command("getparam 2004"))).endswith("Val:example.org")
    assert " RST:1 " in answer_to(device.receive_data(command("getinfo")))


def test_cpureset_between_two_packets_leaves_the_connection_too() -> None:
    device = connected()
    device.receive_data(command("cpureset"))
    assert device.state is DeviceState.CLOSING


def test_deleterecords_keeps_the_packet_in_flight() -> None:
    device, packet = with_a_packet_in_flight()
    events = device.receive_data(command("deleterecords"))
    assert events == [CommandExecuted("deleterecords", b""), RecordsDeleted()]
    assert device.receive_data(ACK) == [PacketDelivered(packet, 1)]


def test_setdigout_shows_in_the_records_that_follow_and_getgps_says_the_last_one() -> None:
    settings = EmulatorSettings(records=0, start_ms=1_760_000_000_000)
    device = connected(assemble_device(IMEI, settings, now_ms=0))
    seen = []
    for now_ms, text in ((0, "getver"), (1_000, "setdigout 11 2 0"), (2_999, "getver")):
        device.unit.tick(now_ms)
        device.receive_data(command(text))
        device.send_next()
        (record,) = decode_packet(device.data_to_send()).records
        seen.append((record.io.get(DIGITAL_OUTPUT_1), record.io.get(DIGITAL_OUTPUT_2)))
        told = answer_to(device.receive_data(command("getgps")))
        assert f"Sat:{record.satellites} Lat:{record.latitude:.5f} " in told
        device.receive_data(ACK)
    device.unit.tick(3_000)
    device.send_next()
    (record,) = decode_packet(device.data_to_send()).records
    seen.append((record.io.get(DIGITAL_OUTPUT_1), record.io.get(DIGITAL_OUTPUT_2)))
    assert seen == [(0, 0), (1, 1), (1, 1), (0, 1)]


def test_an_assembled_device_knows_its_server_and_its_numbers_are_the_same_again() -> None:
    settings = EmulatorSettings(host="münchen.example", port=5028)
    device = connected(assemble_device(IMEI, settings, now_ms=0))
    again = assemble_device(IMEI, settings, now_ms=9)
    other = assemble_device(OTHER_IMEI, settings, now_ms=0)
    assert answer_to(device.receive_data(command("getparam 2004;2005"))) == (
        "Param ID:2004 Val:münchen.example;Param ID:2005 Val:5028"
    )
    assert (device.unit.iccid, device.unit.mac) == (again.unit.iccid, again.unit.mac)
    assert device.unit.iccid != other.unit.iccid
