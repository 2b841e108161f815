"""Captured sessions against servers that answer as captured, and against others."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest
from captured_frames import FIN, SYN, SYN_ACK, ethernet, pcap, tcp
from captures import CAPTURE_NAMES, PCAPS
from tiny_server import Answer, TinyServer
from tiny_udp_server import TinyUdpServer

from teltonika.codecs import COMMAND_CODECS, encode_imei, encode_message
from teltonika.codecs.captures import CapturedSession, read_capture
from teltonika.emulator.replay import (
    Difference,
    NotReplayableError,
    Replay,
    ReplayObserver,
    ReplayResult,
    ReplaySettings,
    SessionResult,
    make_script,
)
from teltonika.emulator.replay.results import FOUND_BYTES, KEPT_EXTRAS

IMEI = "356307042441013"
HELLO = encode_imei(IMEI)
PACKET = bytes.fromhex(
    "000000000000002808010000016B40D9AD80010000000000000000000000000000000103021503010101425E100000"
    "010000F22A"
)
ONE = b"\0\0\0\1"
RIGHT, WRONG, SILENCE, HANG_UP = Answer
COMMAND = encode_message(COMMAND_CODECS.by_name("12").command("getinfo", IMEI))


class Watch(ReplayObserver):
    def __init__(self) -> None:
        self.results: list[SessionResult] = []

    def ended(self, result: SessionResult) -> None:
        self.results.append(result)


def sessions_of(name: str) -> list[CapturedSession]:
    return read_capture((PCAPS / f"{name}.pcap").read_bytes()).sessions


def conversation(*said: bytes | tuple[bytes, ...], closed_by_device: bool = True) -> list[bytes]:
    """Segments in turn, the device's first; a tuple is several of the same side."""
    frames = [tcp(seq=9, flags=SYN), tcp(seq=99, flags=SYN_ACK, from_device=False)]
    seqs = [10, 100]
    for number, segments in enumerate(said):
        side = number % 2
        for data in segments if isinstance(segments, tuple) else (segments,):
            frames.append(tcp(data, seq=seqs[side], from_device=not side))
            seqs[side] += len(data)
    side = 0 if closed_by_device else 1
    return [*frames, tcp(seq=seqs[side], flags=FIN, from_device=closed_by_device)]


def captured(*said: bytes | tuple[bytes, ...], **more: bool) -> list[CapturedSession]:
    return read_capture(pcap(map(ethernet, conversation(*said, **more)))).sessions


@asynccontextmanager
async def talking(
    talk: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[int]:
    """The port of a server that talks so; at the end each of its connections is over."""
    over: list[asyncio.Task[None]] = []

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        over.append(asyncio.current_task())  # type: ignore[arg-type]
        await talk(reader, writer)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await asyncio.gather(*over)


async def replay(
    sessions: list[CapturedSession], port: int, *, imei: str | None = None, **settings: object
) -> tuple[ReplayResult, list[SessionResult]]:
    scripts = [make_script(number, session, imei) for number, session in enumerate(sessions)]
    chosen = {"port": port, "speed": None, "timeout_s": 30.0} | settings
    watch = Watch()
    return await Replay(scripts, ReplaySettings(**chosen), watch).run(), watch.results  # type: ignore[arg-type]


async def test_answers_as_captured_are_counted_and_timed() -> None:
    async with TinyServer() as server:
        result, (session,) = await replay(sessions_of("codec8-two-records"), server.port)
        assert [len(packets) for packets in server.packets] == [1]
    assert (result.ok, result.sessions, result.failed) == (True, 1, 0)
    assert (session.answers, session.as_expected, session.differences) == (2, 2, [])
    assert session.sent == session.of == 96
    assert 0 < session.latency_mean_ms <= session.latency_max_ms


async def test_the_server_gets_what_the_device_sent_under_another_imei() -> None:
    sessions = sessions_of("resend-after-lost-ack")
    stream = b"".join(payload.data for payload in sessions[1].device)
    async with TinyServer([RIGHT, SILENCE]) as server:
        result, _ = await replay(sessions, server.port, imei="356307042449990")
        assert [each.imei for each in server.connections] == ["356307042449990"] * 2
        assert b"".join(server.packets[1]) == stream[17:]
    assert result.ok


async def test_a_wrong_answer_is_told_with_its_place_and_both_values() -> None:
    async with TinyServer([RIGHT, WRONG]) as server:
        result, (session,) = await replay(captured(HELLO, b"\x01", PACKET, ONE), server.port)
    assert (result.ok, result.different, result.missing) == (False, 1, 0)
    assert session.differences == [Difference("different", 1, "00000001", "00000002")]


async def test_a_rejection_that_the_capture_does_not_have_ends_the_session() -> None:
    async with TinyServer([WRONG, HANG_UP]) as server:
        result, (session,) = await replay(captured(HELLO, b"\x01", PACKET, ONE), server.port)
    assert (result.ok, session.different, session.missing) == (False, 1, 1)
    assert session.differences[0] == Difference("different", 0, "01", "00")


@pytest.mark.parametrize("speed", [None, 1_000.0])
async def test_an_answer_that_does_not_come_in_time_is_missing(speed: float | None) -> None:
    said = (HELLO, b"\x01", PACKET, ONE, PACKET, ONE)
    async with TinyServer([RIGHT, SILENCE]) as server:
        result, (session,) = await replay(captured(*said), server.port, speed=speed, timeout_s=0.2)
        assert len(server.packets[0]) == 1  # the second was not sent
    assert (result.ok, session.as_expected, session.missing) == (False, 1, 2)
    assert session.error == "an answer did not come within 0.2 s"
    assert session.differences[-1] == Difference("missing", 5, "00000001", None)


async def test_a_server_that_hangs_up_is_told() -> None:
    said = (HELLO, b"\x01", PACKET, ONE, PACKET, ONE)
    async with TinyServer([RIGHT, HANG_UP]) as server:
        result, (session,) = await replay(captured(*said), server.port)
    assert (result.ok, session.missing) == (False, 2)
    assert session.error == "the server closed after 69 of 121 bytes"


@pytest.mark.parametrize("host", ["127.0.0.1", "a..b"])
async def test_no_server_is_told_in_a_sentence(host: str) -> None:
    result, (session,) = await replay(captured(HELLO, b"\x01"), 1, host=host)
    assert not result.ok
    assert session.error is not None
    assert session.error.startswith("no connection: ")
    assert session.missing == 1


async def test_an_answer_that_the_capture_lacks_is_noted_and_fails_only_if_strict() -> None:
    sessions = captured(HELLO, b"\x01", PACKET)
    for strict in (False, True):
        async with TinyServer() as server:
            result, (session,) = await replay(sessions, server.port, strict=strict)
        assert (result.ok, session.unexpected) == (not strict, 1)
        assert session.differences == [Difference("unexpected", 1, None, "00000001")]


async def test_an_answer_before_its_packet_is_not_taken_for_the_next_one() -> None:
    """The capture's server did not answer a packet with a wrong CRC; this one does."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(17)
        writer.write(b"\x01")
        await reader.readexactly(len(PACKET))
        writer.write(b"\0\0\0\7")
        await reader.readexactly(len(PACKET))
        writer.write(ONE)
        await reader.read()

    wrong = PACKET[:-1] + b"\x00"
    sessions = captured(HELLO, b"\x01", (wrong, PACKET), ONE)
    async with talking(talk) as port:
        result, (session,) = await replay(sessions, port, speed=5.0)  # 0.2 s between the two
    assert result.ok
    assert (session.as_expected, session.unexpected) == (2, 1)
    assert session.differences == [Difference("unexpected", 1, None, "00000007")]


@pytest.mark.parametrize("captured_command", [b"", COMMAND])
@pytest.mark.parametrize("live_command", [b"", COMMAND])
async def test_commands_are_counted_and_compared_only_if_strict(
    captured_command: bytes, live_command: bytes
) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(17)
        writer.write(b"\x01" + live_command)
        await reader.readexactly(len(PACKET))
        writer.write(ONE)
        await reader.read()

    sessions = captured(HELLO, b"\x01" + captured_command, PACKET, ONE)
    for strict in (False, True):
        async with talking(talk) as port:
            result, (session,) = await replay(sessions, port, strict=strict)
        assert (session.as_expected, session.commands) == (2, len(live_command) // len(COMMAND))
        assert session.commands_captured == len(captured_command) // len(COMMAND)
        assert result.ok is (not strict or live_command == captured_command)


async def test_an_ack_of_no_records_is_told_from_a_command_and_lets_the_next_packet_go() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(17)
        writer.write(b"\x01")
        await reader.readexactly(len(PACKET))
        writer.write(bytes(4))
        await reader.readexactly(len(PACKET))
        writer.write(ONE)
        await reader.read()

    for answer, as_expected in ((bytes(4), 3), (ONE, 2)):
        sessions = captured(HELLO, b"\x01", PACKET, answer, PACKET, ONE)
        async with talking(talk) as port:
            result, (session,) = await replay(sessions, port)
        assert (result.ok, session.as_expected) == (as_expected == 3, as_expected)
        assert session.sent == session.of
    assert session.differences == [Difference("different", 1, "00000001", "00000000")]


async def test_the_end_is_the_captured_ones() -> None:
    ended: list[str] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(17)
        writer.write(b"\x01")
        try:
            ended.append("reset" if await reader.read() else "closed")
        except ConnectionResetError:
            ended.append("reset")

    frames = conversation(HELLO, b"\x01")
    async with talking(talk) as port:
        await replay(read_capture(pcap(map(ethernet, frames))).sessions, port)
    frames[-1] = tcp(seq=27, flags=4)
    async with talking(talk) as port:
        await replay(read_capture(pcap(map(ethernet, frames))).sessions, port)
    assert ended == ["closed", "reset"]
    by_server = captured(HELLO, b"\x01", closed_by_device=False)
    async with talking(talk) as port:
        result, (session,) = await replay(by_server, port, timeout_s=0.2)
    assert (result.ok, session.note) == (True, "the server closed in the capture, and did not here")


async def test_pauses_are_the_captured_ones_at_the_speed_asked_for() -> None:
    """Handshake and packet are two seconds apart in the file, the two sessions seven."""
    first = conversation(HELLO, b"\x01", PACKET, ONE)
    second = [tcp(HELLO, seq=5, device_port=50_000)]
    sessions = read_capture(pcap(map(ethernet, first + second))).sessions
    async with TinyServer() as server:
        begin = time.monotonic()
        result, _ = await replay(sessions, server.port, speed=10.0)
        slow = time.monotonic() - begin
        begin = time.monotonic()
        await replay(sessions, server.port)
        fast = time.monotonic() - begin
    assert result.sessions == 2
    assert slow >= 0.7 > fast


def test_a_session_without_a_handshake_is_not_played() -> None:
    sessions = read_capture(pcap([ethernet(tcp(PACKET, seq=1))])).sessions
    with pytest.raises(NotReplayableError, match="does not show its handshake"):
        make_script(0, sessions[0])


async def test_only_what_stands_before_missing_bytes_is_played() -> None:
    frames = [
        tcp(HELLO, seq=10),
        tcp(b"\x01", seq=100, from_device=False),
        tcp(PACKET, seq=27),
        tcp(ONE, seq=101, from_device=False),
        tcp(PACKET[20:], seq=99),
        tcp(ONE, seq=105, from_device=False),
    ]
    sessions = read_capture(pcap(map(ethernet, frames))).sessions
    async with TinyServer() as server:
        result, (session,) = await replay(sessions, server.port)
        assert server.packets == [[PACKET]]
    assert result.ok
    assert (session.answers, session.as_expected) == (2, 2)
    assert session.note is not None
    assert "lacks 20 bytes of the device's behind byte 69" in session.note


@pytest.mark.parametrize("name", [name for name in CAPTURE_NAMES if name.startswith("udp-")])
async def test_udp_answers_are_compared(name: str) -> None:
    sessions = sessions_of(name)
    async with TinyUdpServer() as server:
        result, (session,) = await replay(sessions, 1, udp_port=server.port)
        assert server.datagrams == [payload.data for payload in sessions[0].device]
    assert (result.ok, session.as_expected, session.transport) == (True, 1, "udp")
    async with TinyUdpServer(WRONG) as server:
        result, (session,) = await replay(sessions, server.port)
    assert (result.ok, session.different) == (False, 1)
    async with TinyUdpServer(SILENCE) as server:
        result, (session,) = await replay(sessions, server.port, timeout_s=0.2)
    assert (result.ok, session.missing) == (False, 1)


@asynccontextmanager
async def sending_for_ever(data: bytes, pause_s: float) -> AsyncIterator[int]:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(len(HELLO))
        writer.write(b"\1")
        with suppress(ConnectionError):
            while not reader.at_eof():
                writer.write(data)
                await writer.drain()
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause_s):
                        await reader.read()

    async with talking(talk) as port:
        yield port


async def test_what_nobody_asked_for_does_not_put_the_end_of_the_wait_off() -> None:
    async with sending_for_ever(COMMAND, pause_s=0.02) as port, asyncio.timeout(60):
        result, (session,) = await replay(captured(HELLO, b"\1", PACKET, ONE), port, timeout_s=0.5)
    assert result.missing == 1
    assert session.commands > 3


async def test_a_server_that_sends_without_end_is_left_and_of_what_it_sent_little_is_kept() -> None:
    data = COMMAND * 5_000
    async with sending_for_ever(data, pause_s=0.0001) as port, asyncio.timeout(60):
        result, (session,) = await replay(captured(HELLO, b"\1", PACKET, ONE), port)
    assert (
        session.error == "the server sent more than 1,048,576 bytes that the capture does not have"
    )
    assert not result.ok
    assert session.left_out > 10_000
    assert session.commands == session.left_out + KEPT_EXTRAS
    kinds = [difference.kind for difference in session.differences]
    assert kinds == ["command"] * KEPT_EXTRAS + ["missing"]


async def test_of_a_long_command_the_beginning_is_kept() -> None:
    said = encode_message(COMMAND_CODECS.by_name("12").command("x" * 5_000, IMEI))

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(len(HELLO))
        writer.write(b"\1" + said)
        await reader.read()

    async with talking(talk) as port:
        _, (session,) = await replay(captured(HELLO, b"\1"), port)
    (difference,) = session.differences
    assert difference.found == said[:FOUND_BYTES].hex()
