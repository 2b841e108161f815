"""Whatever is wrong with the bytes of a peer, nothing of it stays, however often it comes."""

from collections.abc import Iterator
from itertools import chain, cycle, repeat

import pytest
from captured_frames import FIN, SYN, SYN_ACK, ethernet, pcap, tcp, udp
from datagrams import datagram, records
from live_objects import MOST, growth_of, growth_of_run
from samples import HANDSHAKE, PACKET, PING, framed

from teltonika.codecs import (
    AvlPacketReceived,
    CommandResponseReceived,
    CrcFailed,
    DecodeError,
    DeviceConnection,
    ErrorCode,
    FrameSkipped,
    ProtocolViolation,
    ServerConnection,
    decode_packet,
)
from teltonika.codecs.annotated_findings import annotate_found
from teltonika.codecs.captures import CaptureDecoder, CapturedFinding
from teltonika.codecs.findings import FoundError
from teltonika.codecs.framing import decode_data
from teltonika.codecs.hextext import HexTextError, parse_hex_rows, parse_hex_text
from teltonika.codecs.logtext import LogReader
from teltonika.codecs.packet_finder import find_in_pieces, find_packets
from teltonika.codecs.transport import Side, Transport
from teltonika.codecs.udp import ENVELOPE_SIZE, decode_datagram

RECORD = bytes(24)
"""Of an AVL record: what stands before its IO elements."""
BAD_CRC = framed(PACKET[8:-4], crc_change=1)
BAD_RECORDS = {
    ErrorCode.TRUNCATED: b"\x08\xff" + PACKET[10:-4],
    ErrorCode.IO_COUNT_MISMATCH: b"\x08\x01" + RECORD + b"\x00\x05" + bytes(4) + b"\x01",
    ErrorCode.TRAILING_BYTES: PACKET[8:-5] + b"\x00" + PACKET[-5:-4],
    ErrorCode.RECORD_COUNT_MISMATCH: PACKET[8:-5] + b"\x02",
}
BAD_MESSAGES = {
    ErrorCode.TRUNCATED: b"\x0c\x01\x06",
    ErrorCode.UNKNOWN_TYPE: b"\x0c\x01\x07" + bytes(4) + b"\x01",
    ErrorCode.SIZE_MISMATCH: b"\x0c\x01\x06" + (9).to_bytes(4) + b"ab" + b"\x01",
    ErrorCode.IMEI_DIGITS: b"\x0e\x01\x06" + (8).to_bytes(4) + b"\xff" * 8 + b"\x01",
}
BAD_FRAMES = {
    ErrorCode.BAD_PREAMBLE: b"\x00\x01" + PACKET,
    ErrorCode.BAD_LENGTH: bytes(12),
    ErrorCode.PACKET_TOO_LARGE: bytes(4) + b"\xff" * 4,
    ErrorCode.UNKNOWN_CODEC: framed(b"\x07\x00\x00"),
}

BEFORE_THE_IMEI = {
    ErrorCode.TRUNCATED: HANDSHAKE[:9],
    ErrorCode.IMEI_LENGTH: b"GET / HTTP/1.1\r\n\r\n",
    ErrorCode.IMEI_DIGITS: b"\x00\x0f35630704244101X",
}
AFTER_THE_IMEI = {
    ErrorCode.TRUNCATED: PACKET[:30],
    ErrorCode.CRC_MISMATCH: BAD_CRC,
    **BAD_FRAMES,
}
TCP = {
    **{f"before the IMEI, {code}": (code, data) for code, data in BEFORE_THE_IMEI.items()},
    **{
        f"after the IMEI, {code}": (code, HANDSHAKE + data) for code, data in AFTER_THE_IMEI.items()
    },
    **{f"records, {code}": (code, HANDSHAKE + framed(data)) for code, data in BAD_RECORDS.items()},
    **{
        f"a message, {code}": (code, HANDSHAKE + framed(data))
        for code, data in BAD_MESSAGES.items()
    },
}
UDP = {
    "half an envelope": (ErrorCode.TRUNCATED, datagram(b"")[:4]),
    "a length that is not its own": (ErrorCode.BAD_LENGTH, datagram(records(1)) + b"\x00"),
    "another byte between its ids": (
        ErrorCode.UNRECOGNISED,
        datagram(records(1)).replace(b"\x01\x05\x00\x0f", b"\x02\x05\x00\x0f"),
    ),
    "another IMEI length": (
        ErrorCode.IMEI_LENGTH,
        datagram(records(1)).replace(b"\x01\x05\x00\x0f", b"\x01\x05\x00\x0e"),
    ),
    "an IMEI of letters": (
        ErrorCode.IMEI_DIGITS,
        datagram(records(1)).replace(HANDSHAKE[2:], b"x" * 15),
    ),
    "an unknown codec": (ErrorCode.UNKNOWN_CODEC, datagram(b"\x07\x00\x00")),
    **{f"records, {code}": (code, datagram(data)) for code, data in BAD_RECORDS.items()},
    **{f"a message, {code}": (code, datagram(data)) for code, data in BAD_MESSAGES.items()},
}
ELSEWHERE = {
    ErrorCode.IMEI_LUHN: "a wrong check digit is told by `ImeiReceived`, and is no error there",
    ErrorCode.UNRECOGNISED: "of datagrams, of a server's answers, and of bytes without a session",
    ErrorCode.BAD_HEX: "of text",
    ErrorCode.GAP: "of captures",
}
"""Codes that the TCP stream of a device does not have, and why."""


def test_every_error_that_a_tcp_stream_can_have_has_a_case() -> None:
    assert {code for code, _ in TCP.values()} | ELSEWHERE.keys() == set(ErrorCode)


def test_every_error_of_a_datagram_has_a_case() -> None:
    of_streams_alone = {
        *(ErrorCode.BAD_PREAMBLE, ErrorCode.CRC_MISMATCH),
        ErrorCode.PACKET_TOO_LARGE,  # by the server, before it decodes
        *ELSEWHERE.keys() - {ErrorCode.UNRECOGNISED},
    }
    assert {code for code, _ in UDP.values()} | of_streams_alone == set(ErrorCode)


@pytest.mark.parametrize("kind", TCP)
def test_a_wrong_device_leaves_nothing(kind: str) -> None:
    code, data = TCP[kind]

    def session() -> None:
        connection = ServerConnection()
        events = connection.receive_data(data) + connection.receive_eof()
        event = events[-1]
        assert isinstance(event, ProtocolViolation | CrcFailed | FrameSkipped)
        assert event.error.code is code

    assert growth_of(session) < MOST


@pytest.mark.parametrize(
    "kind", [kind for kind, (code, _) in TCP.items() if "message" in kind or "crc" in code]
)
def test_one_connection_that_goes_on_after_each_error_leaves_nothing(kind: str) -> None:
    code, data = TCP[kind]
    packet = data[len(HANDSHAKE) :]
    connection = ServerConnection()
    connection.receive_data(HANDSHAKE)

    def packet_again() -> None:
        (event,) = connection.receive_data(packet)
        assert isinstance(event, CrcFailed | FrameSkipped)
        assert event.error.code is code

    assert growth_of(packet_again) < MOST


@pytest.mark.parametrize(
    "data",
    [PACKET, framed(b"\x0c\x01\x06" + bytes(4) + b"\x01"), PING * 4],
    ids=["records", "a text", "pings"],
)
def test_what_is_right_leaves_nothing_either(data: bytes) -> None:
    connection = ServerConnection()
    connection.receive_data(HANDSHAKE)

    def packet_again() -> None:
        for event in connection.receive_data(data):
            if isinstance(event, AvlPacketReceived):
                connection.acknowledge(len(event.packet.records))
            elif isinstance(event, CommandResponseReceived):
                assert not event.message.content
        connection.data_to_send()

    assert growth_of(packet_again) < MOST


@pytest.mark.parametrize("kind", UDP)
def test_a_wrong_datagram_leaves_nothing(kind: str) -> None:
    code, data = UDP[kind]

    def decode() -> None:
        try:
            decode_data(decode_datagram(data).data, ENVELOPE_SIZE)
        except DecodeError as error:
            assert error.code is code
        else:
            raise AssertionError(data)

    assert growth_of(decode) < MOST


@pytest.mark.parametrize(
    "answer",
    [
        b"\x07",
        b"\x01" + framed(b"\x0c\x01\x05" + bytes(4) + b"\x01", crc_change=1),
        b"\x01" + framed(BAD_MESSAGES[ErrorCode.SIZE_MISMATCH]),
        b"\x01" + framed(BAD_MESSAGES[ErrorCode.UNKNOWN_TYPE]),
    ],
    ids=["no answer to an IMEI", "a wrong CRC", "a wrong size", "an unknown type"],
)
def test_a_wrong_server_leaves_nothing(answer: bytes) -> None:
    def session() -> None:
        connection = DeviceConnection()
        connection.start(HANDSHAKE[2:].decode())
        event = connection.receive_data(answer)[-1]
        assert isinstance(event, ProtocolViolation | CrcFailed | FrameSkipped)

    assert growth_of(session) < MOST


PACKETS = [
    *(BAD_CRC, framed(BAD_MESSAGES[ErrorCode.UNKNOWN_TYPE])),
    *(framed(data) for data in BAD_RECORDS.values()),
    framed(b"\x07\x00\x00"),
]
"""Wrong ones behind which reading goes on; in a run each comes more often than `MOST`."""


def test_packets_that_are_wrong_leave_nothing() -> None:
    wrong = cycle([*PACKETS, PACKET[:30], b"\x80"])

    def decode() -> None:
        try:
            decode_packet(next(wrong))
        except DecodeError:
            return
        raise AssertionError

    assert growth_of(decode) < MOST


@pytest.mark.parametrize("lenient", [False, True], ids=["strict", "lenient"])
def test_a_long_run_over_broken_packets_leaves_nothing(*, lenient: bool) -> None:
    pieces = chain((HANDSHAKE,), repeat(b"".join(PACKETS)))
    found = find_in_pieces(pieces, transport=Transport.TCP, sender=Side.DEVICE, lenient=lenient)
    assert growth_of_run(found) < MOST


def test_a_long_lenient_run_over_bytes_that_begin_nothing_leaves_nothing() -> None:
    found = find_in_pieces(repeat(b"\x80\x90" * 50 + PACKET), lenient=True)
    assert growth_of_run(found) < MOST


def test_a_long_run_over_broken_datagrams_leaves_nothing() -> None:
    broken = b"".join(datagram(data) for data in BAD_RECORDS.values())
    found = find_in_pieces(repeat(broken), transport=Transport.UDP, sender=Side.DEVICE)
    assert growth_of_run(found) < MOST


def test_broken_bytes_looked_at_again_and_again_leave_nothing() -> None:
    wrong = cycle([*PACKETS, PACKET[:30], b"\x80"])

    def look() -> None:
        assert isinstance(next(find_packets(next(wrong))), FoundError)

    assert growth_of(look) < MOST


def test_annotated_broken_packets_leave_nothing() -> None:
    packets = b"".join(PACKETS)
    found = [one for one in find_in_pieces((packets,)) if isinstance(one.finding, FoundError)]
    assert len(found) == len(PACKETS)
    each = cycle(found)
    assert growth_of(lambda: annotate_found(next(each)), 200, 2_500) < MOST


@pytest.mark.parametrize("text", ["000x", "000", "00000000: 00z", "*", "0x"])
def test_text_that_is_not_hex_leaves_nothing(text: str) -> None:
    def parse() -> None:
        try:
            parse_hex_text(text + "\n" + text)
        except HexTextError as error:
            assert error.code is ErrorCode.BAD_HEX

    assert growth_of(parse) < MOST


def test_a_long_text_of_broken_packets_leaves_nothing() -> None:
    def rows() -> Iterator[tuple[int, int, str]]:
        text = b"".join(PACKETS).hex(" ")
        for number in range(1, 10_000_000):
            yield number, 0, text

    assert growth_of_run(find_in_pieces(parse_hex_rows(rows())), 500, 5_000) < MOST


@pytest.mark.parametrize("line", ["{}", "[T4c5a33b6: teltonika < 198.51.100.7] {}"])
def test_a_long_log_of_broken_packets_leaves_nothing(line: str) -> None:
    reader, texts = LogReader(), cycle([line.format(data.hex()) for data in PACKETS])
    reader.read_line(line.format(PACKET.hex()))

    def read() -> None:
        for hex_run in reader.read_line(next(texts)):
            assert isinstance(next(find_packets(hex_run.data)), FoundError)

    assert growth_of(read, 500, 4_000) < MOST


FILE_HEADER_SIZE = 24


def frames_of(packets: Iterator[bytes]) -> Iterator[bytes]:
    """A capture file, frame by frame."""
    first = next(packets)
    yield pcap([ethernet(first)])
    for packet in packets:
        yield pcap([ethernet(packet)])[FILE_HEADER_SIZE:]


def one_long_session(packet: bytes) -> Iterator[bytes]:
    """A device that sends nothing else, and a server that acknowledges nothing."""
    yield tcp(seq=99, flags=SYN)
    yield tcp(seq=899, flags=SYN_ACK, from_device=False)
    yield tcp(HANDSHAKE, seq=100, ack=900)
    yield tcp(b"\x01", seq=900, ack=100 + len(HANDSHAKE), from_device=False)
    seq = 100 + len(HANDSHAKE)
    while True:
        yield tcp(packet, seq=seq, ack=901)
        seq += len(packet)


def errors_of(decoder: CaptureDecoder, frames: Iterator[bytes]) -> Iterator[FoundError]:
    for frame in frames:
        for event in decoder.receive_data(frame):
            if isinstance(event, CapturedFinding):
                finding = event.finding()
                if isinstance(finding, FoundError):
                    yield finding


def test_a_long_capture_of_broken_packets_leaves_nothing() -> None:
    several = b"".join(PACKETS) * 3  # in each frame: dpkt takes its time
    errors = errors_of(CaptureDecoder(), frames_of(one_long_session(several)))
    assert growth_of_run(errors) < MOST


def test_a_long_capture_of_broken_datagrams_leaves_nothing() -> None:
    broken = repeat(udp(datagram(BAD_RECORDS[ErrorCode.TRAILING_BYTES])))
    whole = udp(datagram(records(1)))
    errors = errors_of(CaptureDecoder(), frames_of(chain((whole,), broken)))
    assert growth_of_run(errors, 500, 5_000) < MOST


def test_a_capture_of_devices_that_break_off_leaves_nothing() -> None:
    """Each has a connection of its own, from one of a few ports."""

    def sessions() -> Iterator[bytes]:
        for number in range(10_000_000):
            port, seq = 40_000 + number % 1_000, 100 + 1_000 * number
            yield tcp(seq=seq - 1, flags=SYN, device_port=port)
            yield tcp(HANDSHAKE + b"\x00\x01", seq=seq, device_port=port)
            yield tcp(seq=seq + len(HANDSHAKE) + 2, flags=FIN, device_port=port)

    decoder = CaptureDecoder(max_conversations=100)
    assert growth_of_run(errors_of(decoder, frames_of(sessions())), 500, 2_000) < MOST
