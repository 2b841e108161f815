"""A device that tests drive, against servers that are right and wrong."""

import asyncio
import socket

import pytest
from tiny_server import Answer, TinyServer

from teltonika.codecs import AVL_CODECS, AvlRecord, decode_packet, encode_packet
from teltonika.emulator import (
    Device,
    DeviceFleet,
    ImeiRejectedError,
    NoAnswerError,
    NotConnectedError,
    WrongAckError,
)

RECORD = AvlRecord(1_760_000_000_000, 0, 252_800_000, 546_870_000, 100, 90, 12, 50)
SHORT_S = 0.2


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
    packet = encode_packet(AVL_CODECS.by_name("8"), (RECORD, RECORD))
    async with TinyServer() as server, Device(port=server.port) as device:
        assert await device.send_packet(packet) == 2
        await device.send(1)
    assert server.connections[0].packets[0] == packet


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
