"""What the suite's socket makes of what a server sends."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest

from teltonika.codecs import COMMAND_CODECS, encode_message
from teltonika.emulator.conformance import (
    FIRST_IMEI,
    Bench,
    Patience,
    Speaker,
    Target,
    Unexpected,
)
from teltonika.emulator.conformance.datagrams import DatagramSocket
from teltonika.emulator.conformance.device_socket import FLOOD_BYTES
from teltonika.emulator.conformance.transcript import KEPT_BYTES, Transcript

COMMAND = encode_message(COMMAND_CODECS.by_name("12").command("getinfo", FIRST_IMEI))
ONE, NONE = b"\0\0\0\1", b"\0\0\0\0"
PATIENCE = Patience(answer_s=1.0, quiet_s=0.1)


@asynccontextmanager
async def server_saying(
    *writes: bytes, close: bool = False, patience: Patience = PATIENCE
) -> AsyncIterator[Bench]:
    """A server that writes this as soon as somebody connects."""

    tasks: list[asyncio.Task[None] | None] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.append(asyncio.current_task())
        for data in writes:
            writer.write(data)
            await asyncio.sleep(0.01)
        with suppress(ConnectionError):  # of a device that leaves with something unread
            if not close:
                await reader.read()
            writer.close()
            await writer.wait_closed()

    async with await asyncio.start_server(talk, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        yield Bench(Target(host="127.0.0.1", port=port, patience=patience), FIRST_IMEI, FIRST_IMEI)
        for task in tasks:
            assert task is not None
            await task


async def test_commands_of_the_server_are_read_over_wherever_they_come() -> None:
    data = b"\x01" + COMMAND + ONE + COMMAND + b"\0\0\0\2" + COMMAND
    pieces = [data[:9], data[9:30], data[30:]]
    async with server_saying(*pieces) as bench, bench.connected() as device:
        await device.expect_accepted()
        await device.expect_ack(1, 2)
        await device.expect_silence("behind them")


async def test_an_ack_of_no_records_is_told_from_a_command() -> None:
    async with server_saying(b"\x01" + NONE + ONE) as bench, bench.connected() as device:
        await device.expect_accepted()
        await device.expect_ack(0, 1)


async def test_an_ack_of_no_records_accepts_none() -> None:
    async with server_saying(b"\x01" + NONE + b"\0\0\0\5") as bench, bench.connected() as device:
        await device.expect_accepted()
        assert await device.next_accepted() == 5


@pytest.mark.parametrize(
    ("sent", "close", "expect", "saw"),
    [
        (b"\x00", False, lambda d: d.expect_accepted(), "the server rejected the IMEI with 00"),
        (b"\x01", False, lambda d: d.expect_rejected(), "the server accepted the IMEI with 01"),
        (b"H", False, lambda d: d.expect_accepted(), "answered the IMEI with 48, not 01 or 00"),
        (b"", False, lambda d: d.expect_accepted(), "no answer to the IMEI in 1 s"),
        (b"", True, lambda d: d.expect_accepted(), "no answer to the IMEI: .* closed"),
    ],
)
async def test_what_was_not_expected_of_a_handshake_is_said(
    sent: bytes, close: bool, expect: Callable[..., Awaitable[None]], saw: str
) -> None:
    async with server_saying(sent, close=close) as bench, bench.connected() as device:
        with pytest.raises(Unexpected, match=saw):
            await expect(device)


@pytest.mark.parametrize(
    ("sent", "close", "saw"),
    [
        (b"\0\0\0\3", False, "the ACK says 3 records where 1 were sent"),
        (b"\0\0", False, "no ACK in 1 s, but 0000"),
        (b"", False, "no ACK in 1 s"),
        (b"", True, "no ACK: the server closed the connection"),
    ],
)
async def test_what_was_not_expected_of_an_ack_is_said(sent: bytes, close: bool, saw: str) -> None:
    async with server_saying(b"\x01" + sent, close=close) as bench, bench.connected() as device:
        await device.expect_accepted()
        with pytest.raises(Unexpected, match=f"^{saw}$"):
            await device.expect_ack(1)


@pytest.mark.parametrize("sent", [ONE, NONE, b"\xff"])
async def test_silence_is_broken_by_whatever_is_no_command(sent: bytes) -> None:
    async with server_saying(b"\x01", COMMAND + sent) as bench, bench.connected() as device:
        await device.expect_accepted()
        with pytest.raises(Unexpected, match=f"the server sent {sent.hex()} as an answer to that"):
            await device.expect_silence("as an answer to that")


async def test_the_transcript_has_both_sides_and_the_end() -> None:
    async with server_saying(b"\x01", ONE, close=True) as bench, bench.connected() as device:
        await device.send(b"\x00\x0f")
        assert await device.closed()
    told = [(e.connection, e.speaker, e.data, e.note) for e in bench.transcript.exchanges]
    assert told[:1] == [(1, Speaker.DEVICE, b"\x00\x0f", "")]
    assert b"".join(data for _, speaker, data, _ in told if speaker is Speaker.SERVER) == (
        b"\x01" + ONE
    )
    assert (1, Speaker.SERVER, b"", "closed") in told


async def test_a_server_that_is_not_there_is_what_a_case_saw() -> None:
    bench = Bench(Target(host="127.0.0.1", port=1, patience=PATIENCE), FIRST_IMEI, FIRST_IMEI)
    with pytest.raises(Unexpected, match="no connection: "):
        async with bench.connected():
            pass


@pytest.mark.parametrize("flood", [ONE, NONE, b"\xff" * 4, COMMAND], ids=["acks", "0", "ff", "cmd"])
async def test_a_server_that_sends_without_end_is_left_and_that_is_what_the_case_saw(
    flood: bytes,
) -> None:
    data = flood * (2 * FLOOD_BYTES // len(flood))
    async with server_saying(b"\x01" + data) as bench, bench.connected() as device:
        await device.expect_accepted()
        with pytest.raises(Unexpected, match="sent more than 65,536 bytes, and went on"):
            await device.closed()
        with pytest.raises(Unexpected, match=r"went on|the server sent "):
            await device.expect_silence("as an answer to nothing")
    kept = sum(len(exchange.data) for exchange in bench.transcript.exchanges)
    assert kept <= FLOOD_BYTES + 4_096


async def test_what_a_case_says_of_bytes_without_end_has_an_end() -> None:
    async with server_saying(b"\x01", ONE * 10_000) as bench, bench.connected() as device:
        await device.expect_accepted()
        with pytest.raises(Unexpected) as told:
            await device.expect_silence("here")
    assert len(str(told.value)) < 500


async def test_acks_of_no_records_do_not_put_the_end_of_the_wait_off() -> None:
    """One that says nothing else for ever, and slowly."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"\x01")
        while not reader.at_eof():
            writer.write(NONE)
            with suppress(TimeoutError):
                async with asyncio.timeout(0.02):
                    await reader.read()
        writer.close()

    async with await asyncio.start_server(talk, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        bench = Bench(Target(host="127.0.0.1", port=port, patience=PATIENCE), FIRST_IMEI, "")
        async with bench.connected() as device:
            await device.expect_accepted()
            async with asyncio.timeout(60):
                assert await device.next_accepted(0.3) is None


def test_a_transcript_keeps_the_beginning_and_the_end_and_says_what_is_left_out() -> None:
    transcript = Transcript()
    transcript.add(1, Speaker.DEVICE, b"first")
    for _ in range(10_000):
        transcript.add(1, Speaker.SERVER, bytes(100))
    transcript.add(1, Speaker.DEVICE, b"last")
    exchanges = transcript.exchanges
    assert (exchanges[0].data, exchanges[-1].data) == (b"first", b"last")
    kept = sum(len(exchange.data) for exchange in exchanges)
    assert KEPT_BYTES < kept < 2 * KEPT_BYTES
    (gap,) = (exchange for exchange in exchanges if exchange.note)
    left_out = 10_000 * 100 + len(b"firstlast") - kept
    assert gap.note == f"{left_out:,} bytes from the server left out"


def test_a_transcript_of_which_nothing_is_left_out_says_nothing_of_it() -> None:
    transcript = Transcript()
    for number in range(100):
        transcript.add(1, Speaker.DEVICE, bytes([number]))
    assert [exchange.data for exchange in transcript.exchanges] == [
        bytes([number]) for number in range(100)
    ]


async def test_datagrams_without_end_are_what_the_case_saw() -> None:
    socket = DatagramSocket(PATIENCE, transcript := Transcript())
    for _ in range(10_000):
        socket.datagram_received(bytes(7), None)
    with pytest.raises(Unexpected, match="sent more than 65,536 bytes, and went on"):
        await socket.answer()
    assert sum(len(exchange.data) for exchange in transcript.exchanges) <= FLOOD_BYTES + 7
