"""A device that tests drive, against servers that are right and wrong."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
from tiny_server import IMEI_SIZE, Answer, TinyServer

from teltonika.codecs import (
    AVL_CODECS,
    COMMAND_CODECS,
    AvlRecord,
    decode_packet,
    encode_message,
    encode_packet,
)
from teltonika.emulator import (
    Device,
    DeviceFleet,
    ImeiRejectedError,
    NoAnswerError,
    NotConnectedError,
    WrongAckError,
)
from teltonika.emulator.device import DEFAULT_IMEI, KEPT_COMMANDS
from teltonika.emulator.device_errors import DeviceError
from teltonika.emulator.emulated_device import FLOOD

RECORD = AvlRecord(1_760_000_000_000, 0, 252_800_000, 546_870_000, 100, 90, 12, 50)
PACKET = encode_packet(AVL_CODECS.by_name("8"), (RECORD, RECORD))
SHORT_S = 0.2


def ack(records: int) -> bytes:
    return records.to_bytes(4)


def command(text: str) -> bytes:
    return encode_message(COMMAND_CODECS.by_name("12").command(text, DEFAULT_IMEI))


class Peer:
    """The server's end of a connection, once the IMEI is there: a test speaks on it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.write = writer.write


Peers = asyncio.Queue[Peer]


@asynccontextmanager
async def server_by_hand(welcome: bytes = b"\x01") -> AsyncIterator[tuple[int, Peers]]:
    """A server that says ``welcome`` to every IMEI: its port, and its connections."""
    peers = Peers()
    writers: list[asyncio.StreamWriter] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        await reader.readexactly(IMEI_SIZE)
        writer.write(welcome)
        peers.put_nowait(Peer(reader, writer))

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], peers
        for writer in writers:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()


async def test_it_sends_so_many_records_and_each_packet_is_acknowledged() -> None:
    async with TinyServer() as server, Device(port=server.port, records_per_packet=4) as device:
        await device.send(10)
        assert (device.sent, device.acked) == (10, 10)
        await device.send(1)
        assert device.acked == 11
    (got,) = server.connections
    assert got.imei == device.imei
    assert [len(decode_packet(packet).records) for packet in got.packets] == [4, 4, 2, 1]
    timestamps = [record.timestamp_ms for record in got.records]
    assert timestamps == sorted(set(timestamps))
    assert not device.connected


async def test_it_sends_the_records_it_is_given() -> None:
    records = [RECORD, AvlRecord(RECORD.timestamp_ms + 1, 2, 0, 0, 0, 0, 0, 0)]
    async with TinyServer() as server, Device(port=server.port, codec="8") as device:
        await device.send(RECORD)
        await device.send(records)
    assert server.connections[0].records == [RECORD, *records]
    assert decode_packet(server.connections[0].packets[0]).codec_id == 8


async def test_a_rejected_imei_is_told() -> None:
    async with TinyServer([Answer.WRONG]) as server:
        with pytest.raises(ImeiRejectedError, match=f"356307042441013 at 127.0.0.1:{server.port}"):
            await Device(port=server.port).connect()


async def test_no_server_is_told() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        with pytest.raises(NotConnectedError, match="connection refused"):
            await Device(port=free.getsockname()[1]).connect()


@pytest.mark.parametrize(
    ("script", "records", "complaint"),
    [
        ([Answer.SILENCE], 0, "no answer to the IMEI within 0.2 s"),
        ([Answer.RIGHT, Answer.SILENCE], 1, "no ACK of 1 records within 0.2 s"),
    ],
)
async def test_silence_is_told(script: list[Answer], records: int, complaint: str) -> None:
    async with TinyServer(script) as server:
        device = Device(port=server.port, timeout_s=SHORT_S)
        with pytest.raises(NoAnswerError, match=complaint):
            await device.connect()
            await device.send(records)
        assert not device.connected


async def test_a_wrong_ack_is_told_with_both_numbers() -> None:
    server = TinyServer([Answer.RIGHT, Answer.WRONG])
    async with server, Device(port=server.port, records_per_packet=3) as device:
        with pytest.raises(WrongAckError, match="an ACK of 3 records, found 4") as told:
            await device.send(3)
        assert (told.value.expected, told.value.found) == (3, 4)
        assert device.acked == 0
        with pytest.raises(WrongAckError):
            await device.send(1)


async def test_what_was_not_acknowledged_goes_out_again_after_connect() -> None:
    server = TinyServer([Answer.RIGHT, Answer.RIGHT, Answer.HANG_UP])
    async with server, Device(port=server.port) as device:
        await device.send(1)
        with pytest.raises(NotConnectedError, match="the server closed"):
            await device.send(1)
        assert (device.sent, device.acked) == (2, 1)
        await device.connect()
        assert (device.sent, device.acked) == (2, 2)
        await device.send(1)
    first, second = server.connections
    assert second.packets[0] == first.packets[1]
    assert len(second.packets) == 2


async def test_raw_bytes_and_what_was_acknowledged_of_them() -> None:
    async with TinyServer() as server, Device(port=server.port) as device:
        assert await device.send_packet(PACKET) == 2
        await device.send(1)
        assert device.report.wrong_acks == 0
    assert server.connections[0].packets[0] == PACKET


async def test_no_answer_to_a_broken_packet_is_wrong() -> None:
    async with server_by_hand() as (port, peers), Device(port=port) as device:
        peer = await peers.get()
        async with asyncio.TaskGroup() as group:
            sent = group.create_task(device.send_packet(PACKET[:-1] + b"!"))
            await peer.reader.readexactly(len(PACKET))
            peer.write(ack(0))
        assert sent.result() == 0
        assert device.report.wrong_acks == 0


@pytest.mark.parametrize("unasked", [ack(7), ack(0)])
async def test_an_ack_that_nobody_asked_for_is_no_answer_to_what_comes_later(
    unasked: bytes,
) -> None:
    async with server_by_hand() as (port, peers), Device(port=port) as device:
        peer = await peers.get()
        peer.write(command("unknown") + unasked)
        await device.next_command()
        async with asyncio.TaskGroup() as group:
            sent = group.create_task(device.send_packet(PACKET))
            await peer.reader.readexactly(len(PACKET))
            peer.write(ack(2))
        assert sent.result() == 2
        assert device.report.wrong_acks == 1


async def test_after_a_cancelled_send_the_next_one_waits_for_both_acks() -> None:
    async with TinyServer() as server, Device(port=server.port) as device:
        for _ in range(3):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0):
                    await device.send(1)
        await device.send(1)
        assert device.sent == device.acked == len(server.connections[0].packets)
        assert device.report.wrong_acks == 0


async def test_after_a_cancelled_send_packet_its_ack_is_not_taken_for_the_next_one_s() -> None:
    async with TinyServer() as server, Device(port=server.port) as device:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await device.send_packet(PACKET)
        await device.send(1)
        assert (device.acked, device.report.wrong_acks) == (1, 0)


async def test_what_two_tasks_send_goes_out_one_after_the_other() -> None:
    async with TinyServer() as server, Device(port=server.port) as device:
        async with asyncio.TaskGroup() as group:
            group.create_task(device.send(3))
            group.create_task(device.send([RECORD, RECORD]))
            raw = group.create_task(device.send_packet(PACKET))
        assert (device.acked, raw.result(), device.report.wrong_acks) == (5, 2, 0)
    packets = server.connections[0].packets
    assert [len(decode_packet(packet).records) for packet in packets] == [1, 1, 1, 1, 1, 2]


async def test_two_may_close_at_once() -> None:
    async with TinyServer() as server, Device(port=server.port) as device:
        async with asyncio.TaskGroup() as group:
            group.create_task(device.close())
            group.create_task(device.close())
        assert not device.connected
        with pytest.raises(NotConnectedError, match="there is no connection"):
            await device.send(1)


async def test_a_send_whose_connection_is_closed_says_so() -> None:
    async with server_by_hand() as (port, peers), Device(port=port) as device:
        peer = await peers.get()
        sending = asyncio.create_task(device.send(1))
        await peer.reader.readexactly(1)
        await device.close()
        with pytest.raises(NotConnectedError, match="there is no connection"):
            await sending


async def test_after_a_cancelled_connect_there_is_no_connection() -> None:
    async with TinyServer() as server:
        device = Device(port=server.port)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await device.connect()
        assert not device.connected
        async with device:
            await device.send(1)
            assert device.acked == 1


async def test_after_a_connect_cancelled_before_its_answer_there_is_no_connection() -> None:
    async with server_by_hand(welcome=b"") as (port, peers):
        device = Device(port=port)
        connecting = asyncio.create_task(device.connect())
        peer = await peers.get()
        connecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await connecting
        assert not device.connected
        assert await peer.reader.read() == b""


async def test_a_device_that_is_told_to_start_again_tells_the_command_and_leaves() -> None:
    async with server_by_hand() as (port, peers), Device(port=port) as device:
        peer = await peers.get()
        peer.write(command("cpureset"))
        assert await device.next_command() == "cpureset"
        assert await peer.reader.read() == b""
        with pytest.raises(NotConnectedError, match="it starts again, as told"):
            await device.next_command()
        await device.connect()
        assert device.connected


async def test_an_ack_of_no_records_is_an_answer() -> None:
    async def reject_all(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(17)
        writer.write(b"\x01")
        await reader.read(1)
        writer.write(bytes(4))
        await reader.read()
        writer.close()

    server = await asyncio.start_server(reject_all, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, Device(port=port) as device:
        with pytest.raises(WrongAckError, match="expected an ACK of 1 records, found 0"):
            await device.send(1)


async def test_a_command_that_does_not_come_is_a_time_out_and_the_connection_stands() -> None:
    async with TinyServer() as server, Device(port=server.port) as device:
        with pytest.raises(TimeoutError, match=f"{device.imei} at .*: no command within 0.01 s"):
            await device.next_command(timeout_s=0.01)
        await device.send(1)
        assert device.acked == 1


async def answers_to(peer: Peer, *commands: str) -> list[str]:
    """What the device answers to each, in codec 12."""
    answers = []
    for text in commands:
        peer.write(command(text))
        head = await peer.reader.readexactly(8)
        rest = await peer.reader.readexactly(int.from_bytes(head[4:]) + 4)
        answers.append(COMMAND_CODECS.by_name("12").decode_data(rest[:-4]).text)
    return answers


async def test_answers_of_one_s_own_come_before_the_device_s() -> None:
    own = {"getinfo": "all is well", "cpureset": "not now", "honk": "done"}
    async with server_by_hand() as (port, peers), Device(port=port, answers=own) as device:
        said = await answers_to(await peers.get(), *own, "getimeiccid")
        assert said[:3] == list(own.values())
        assert device.imei in said[3]
        assert device.connected
        assert (device.report.commands_executed, device.report.answers) == (4, 4)


async def test_own_answers_may_be_made_when_the_command_comes() -> None:
    def echo(text: str) -> str | None:
        return text.upper() if text.startswith("say ") else None

    async with (
        server_by_hand() as (port, peers),
        DeviceFleet(1, port=port, answers=echo) as fleet,
    ):
        said = await answers_to(await peers.get(), "say it", "readio 999")
        assert said == ["SAY IT", "IO ID:999 Value:0"]
        assert await fleet.devices[0].next_command() == "say it"


async def test_what_goes_wrong_in_an_own_answer_is_raised_where_the_test_waits() -> None:
    def broken(text: str) -> str:
        raise LookupError(text)

    async with server_by_hand() as (port, peers), Device(port=port, answers=broken) as device:
        (await peers.get()).write(command("getver"))
        with pytest.raises(LookupError, match="getver"):
            await device.next_command()
        assert device.connected


async def test_a_fleet_sends_together() -> None:
    async with TinyServer() as server, DeviceFleet(20, port=server.port) as fleet:
        await fleet.send(3)
        assert (fleet.sent, fleet.acked) == (60, 60)
    assert len({got.imei for got in server.connections}) == 20


async def test_a_fleet_of_which_one_is_rejected_says_so_and_leaves_nothing_open() -> None:
    async with TinyServer([Answer.RIGHT], [Answer.WRONG]) as server:
        fleet = DeviceFleet(3, port=server.port)
        with pytest.raises(ExceptionGroup) as told:
            async with fleet:
                pass
        assert told.group_contains(ImeiRejectedError)
        assert not any(device.connected for device in fleet.devices)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="15 digits"):
        Device("123")
    with pytest.raises(ValueError, match="1 to 255 records"):
        Device(records_per_packet=256)
    with pytest.raises(ValueError, match="9"):
        Device(codec="9")


@pytest.mark.parametrize(("codec", "codec_id"), [("13", 0x0D), ("15", 0x0F)])
async def test_a_text_goes_out_whole_and_no_ack_is_waited_for(codec: str, codec_id: int) -> None:
    async with TinyServer() as server, Device(port=server.port) as device:
        device.send_text("door opened", codec)
        await device.send(1)
        assert device.report.texts == 1
        with pytest.raises(ValueError, match="no codec is called '12'"):
            device.send_text("", "12")
    (message,) = server.connections[0].messages
    assert (message.codec_id, message.content) == (codec_id, b"door opened")
    assert message.imei in (None, device.imei)
    assert abs((message.timestamp_s or 0) - time.time()) < 60
    assert len(server.connections[0].records) == 1


async def test_of_commands_that_nobody_fetches_the_last_are_kept() -> None:
    async with server_by_hand() as (port, peers), Device(port=port) as device:
        peer = await peers.get()
        for number in range(KEPT_COMMANDS + 5):
            peer.write(command(f"setparam 2004:{number}"))
        while device.report.commands_executed < KEPT_COMMANDS + 5:
            await peer.reader.read(65_536)
        assert await device.next_command() == "setparam 2004:5"


async def test_a_server_that_sends_without_end_is_a_device_error() -> None:
    async with server_by_hand() as (port, peers):
        device = Device(port=port)
        await device.connect()
        (await peers.get()).write(ack(1) * 100_000)
        with pytest.raises(DeviceError, match="the server sends without end what the device did"):
            await device.next_command()
        await device.close()
    assert device.report.wrong_acks == FLOOD


async def test_what_went_wrong_is_raised_anew_each_time_and_keeps_nothing_alive() -> None:
    async with server_by_hand(welcome=b"\x00") as (port, _):
        device = Device(port=port)
        with pytest.raises(ImeiRejectedError):
            await device.connect()
        told = []
        for _ in range(2):
            with pytest.raises(ImeiRejectedError) as raised:
                await device.send(1)
            told.append(raised.value)
    assert told[0] is not told[1]
    assert str(told[0]) == str(told[1])


async def test_a_server_that_does_not_read_the_answers_gets_no_more_of_them() -> None:
    """The device stops reading commands, so that answers do not pile up."""
    long_answer = "x" * 1_000
    async with server_by_hand() as (port, peers):
        device = Device(port=port, answers={"getver": long_answer}, timeout_s=60)
        await device.connect()
        peer = await peers.get()
        commands = command("getver") * 100_000
        peer.write(commands)  # and not a byte is read: the stream's own buffer is small
        before = -1
        while device.report.commands_received != before:
            before = device.report.commands_received
            await asyncio.sleep(0.1)
        assert 0 < device.report.commands_received < 50_000
        received = 0
        while received < 1_000_000:
            received += len(await peer.reader.read(65_536))
        await device.close()
