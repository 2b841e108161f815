"""Captures to what was said in them, as they come: what is found, what is noted, what is kept."""

import struct

import pytest
from captured_frames import (
    FIN,
    PLAIN_ACK,
    SERVER,
    SYN,
    SYN_ACK,
    ethernet,
    ipv6,
    pcap,
    tcp,
    udp,
)

from teltonika.codecs import CommandMessage, MessageType, encode_imei, encode_message
from teltonika.codecs.captures import (
    CaptureDecoder,
    CapturedFinding,
    CaptureError,
    CaptureEvent,
    Note,
    NoteKind,
    SessionBegan,
    SessionEnded,
    Side,
)
from teltonika.codecs.findings import (
    FoundAck,
    FoundAvlPacket,
    FoundCommand,
    FoundError,
    FoundImei,
    FoundPing,
)
from teltonika.codecs.framing import encode_frame

IMEI = "356307042441013"
HELLO = encode_imei(IMEI)
PACKET = bytes.fromhex(
    "000000000000002808010000016B40D9AD80010000000000000000000000000000000103021503010101425E100000"
    "010000F22A"
)
ONE = b"\0\0\0\1"
COMMAND = encode_message(CommandMessage(0x0C, MessageType.COMMAND, b"getinfo"))
OPENING = [tcp(seq=99, flags=SYN), tcp(seq=899, flags=SYN_ACK, from_device=False)]


def packet(number: int) -> bytes:
    """`PACKET` with another time."""
    data = bytearray(PACKET[8:-4])
    data[9] = number
    return encode_frame(bytes(data))


def decode(
    *packets: bytes, decoder: CaptureDecoder | None = None, link_type: int = 1
) -> list[CaptureEvent]:
    """Of IP packets in Ethernet."""
    decoder = decoder or CaptureDecoder()
    frames = [ethernet(each) for each in packets] if link_type == 1 else packets
    return decoder.receive_data(pcap(frames, link_type=link_type)) + decoder.receive_eof()


def findings(events: list[CaptureEvent]) -> list[tuple[Side, str, int]]:
    return [
        (event.sender, type(event.finding()).__name__.removeprefix("Found"), event.finding().offset)
        for event in events
        if isinstance(event, CapturedFinding)
    ]


def notes(events: list[CaptureEvent]) -> list[NoteKind]:
    return [event.kind for event in events if isinstance(event, Note)]


def errors(events: list[CaptureEvent]) -> list[FoundError]:
    found = [event.finding() for event in events if isinstance(event, CapturedFinding)]
    return [each for each in found if isinstance(each, FoundError)]


def talk(*exchanges: tuple[bytes, bytes]) -> list[bytes]:
    """A connection: what the device says, and what the server answers, in turn."""
    frames, there, back = list(OPENING), 100, 900
    for said, answer in ((HELLO, b"\x01"), *exchanges):
        if said:
            frames.append(tcp(said, seq=there, ack=back))
        if answer:
            frames.append(tcp(answer, seq=back, ack=there + len(said), from_device=False))
        there, back = there + len(said), back + len(answer)
    return [*frames, tcp(seq=there, flags=FIN), tcp(seq=back, flags=FIN, from_device=False)]


def test_what_was_said_comes_at_once_and_with_its_session() -> None:
    decoder = CaptureDecoder()
    frames = [ethernet(each) for each in talk((PACKET, ONE))]
    data = pcap(frames)
    began, imei = decoder.receive_data(data[: len(pcap(frames[:3]))])
    assert isinstance(began, SessionBegan)
    assert isinstance(imei, CapturedFinding)
    assert imei.finding() == FoundImei(offset=0, length=17, imei=IMEI)
    rest = decoder.receive_data(data[len(pcap(frames[:3])) :])
    assert [type(each.finding()) for each in rest if isinstance(each, CapturedFinding)][1:] == [
        FoundAvlPacket,
        FoundAck,
    ]
    ended = rest[-1]
    assert isinstance(ended, SessionEnded)
    assert ended.how == "closed by the device"
    assert decoder.receive_eof() == []
    assert (decoder.sessions, decoder.others, decoder.frames) == (1, 0, 8)


def as_ipv6(packet: bytes, following: int = 6, extensions: bytes = b"") -> bytes:
    """An IPv4 packet's segment in IPv6."""
    found = ethernet(ipv6(following, packet[20:], extensions=extensions))
    if packet[12:16] == SERVER:
        found = found[:22] + found[38:54] + found[22:38] + found[54:]
    return found


LINKS = {
    "VLAN": (1, lambda ip: ethernet(ip, tags=b"\x81\x00\x00\x05")),
    "Linux cooked": (113, lambda ip: bytes(14) + b"\x08\x00" + ip),
    "Linux cooked 2": (276, lambda ip: b"\x08\x00" + bytes(18) + ip),
    "raw IP": (101, lambda ip: ip),
    "IPv6": (1, as_ipv6),
    "IPv6 with an extension": (1, lambda ip: as_ipv6(ip, 0, b"\x06\x00" + bytes(6))),
    "a loopback of BSD": (0, lambda ip: struct.pack("<I", 2) + ip),
}


@pytest.mark.parametrize("link", LINKS)
def test_a_session_is_found_on_each_kind_of_link(link: str) -> None:
    link_type, wrapped = LINKS[link]
    decoder = CaptureDecoder()
    frames = [wrapped(each) for each in talk((PACKET, ONE))]
    events = decoder.receive_data(pcap(frames, link_type=link_type)) + decoder.receive_eof()
    plain = decode(*talk((PACKET, ONE)))
    assert findings(events) == findings(plain)
    assert len(findings(plain)) == 4


def test_a_capture_that_begins_inside_a_session_is_read_from_the_next_packet_on() -> None:
    events = decode(
        tcp(PACKET[30:] + packet(1), seq=5_000, ack=70),
        tcp(ONE + ONE, seq=70, ack=5_000 + 74, from_device=False),
        tcp(packet(2), seq=5_000 + 74, ack=78),
        tcp(ONE, seq=78, ack=5_000 + 126, from_device=False),
    )
    assert findings(events) == [
        (Side.DEVICE, "Error", 0),
        (Side.DEVICE, "AvlPacket", 22),
        (Side.SERVER, "Ack", 0),
        (Side.SERVER, "Ack", 4),
        (Side.DEVICE, "AvlPacket", 74),
        (Side.SERVER, "Ack", 8),
    ]
    (error,) = errors(events)
    assert (error.error, error.length) == ("gap", 22)
    assert error.message == (
        "the capture begins inside the stream; nothing before byte 22 can be read"
    )
    assert notes(events) == []


def test_a_capture_that_begins_between_two_packets_has_nothing_to_complain_of() -> None:
    events = decode(
        tcp(COMMAND, seq=70, ack=5_000, from_device=False),
        tcp(b"\xff", seq=5_000, ack=70 + len(COMMAND)),
        tcp(packet(1), seq=5_001, ack=70 + len(COMMAND)),
        tcp(ONE, seq=70 + len(COMMAND), ack=5_053, from_device=False),
    )
    assert findings(events) == [
        (Side.SERVER, "Command", 0),
        (Side.DEVICE, "Ping", 0),
        (Side.DEVICE, "AvlPacket", 1),
        (Side.SERVER, "Ack", len(COMMAND)),
    ]
    assert [type(each.finding()) for each in events if isinstance(each, CapturedFinding)][:2] == [
        FoundCommand,
        FoundPing,
    ]


@pytest.mark.parametrize("start", [5_000, 2**32 - 20])
def test_an_inner_start_is_known_by_what_the_other_end_acknowledges(start: int) -> None:
    decoder = CaptureDecoder()
    frames = [
        ethernet(tcp(packet(1), seq=start, ack=70)),
        ethernet(tcp(flags=PLAIN_ACK, seq=70, ack=start + len(PACKET), from_device=False)),
    ]
    data = pcap(frames)
    assert decoder.receive_data(data[: len(pcap(frames[:1]))]) == []
    assert findings(decoder.receive_data(data[len(pcap(frames[:1])) :])) == [
        (Side.DEVICE, "AvlPacket", 0)
    ]


def test_missing_bytes_are_an_error_and_reading_goes_on_at_the_next_packet() -> None:
    frames = [*OPENING, tcp(HELLO, seq=100), tcp(packet(1)[:20], seq=117)]
    frames += [tcp(packet(1)[30:] + packet(2), seq=147), tcp(packet(3), seq=221)]
    events = decode(*frames)
    assert findings(events) == [
        (Side.DEVICE, "Imei", 0),
        (Side.DEVICE, "Error", 37),
        (Side.DEVICE, "AvlPacket", 69),
        (Side.DEVICE, "AvlPacket", 121),
    ]
    (error,) = errors(events)
    assert (error.error, error.offset, error.length) == ("gap", 37, 32)
    assert error.message == (
        "bytes that the capture does not have: 10, from byte 37 on; "
        "nothing before byte 69 can be read"
    )


def test_bytes_that_the_other_end_has_are_not_waited_for_till_the_end() -> None:
    decoder = CaptureDecoder()
    frames = [*OPENING, tcp(HELLO, seq=100), tcp(packet(2), seq=169)]
    frames += [tcp(flags=PLAIN_ACK, seq=901, ack=221, from_device=False)] * 9
    events = decoder.receive_data(pcap(map(ethernet, frames)))
    assert findings(events)[1:] == [(Side.DEVICE, "Error", 17), (Side.DEVICE, "AvlPacket", 69)]


def test_what_a_stream_waits_with_has_a_bound() -> None:
    decoder = CaptureDecoder()
    frames = [*OPENING, tcp(HELLO, seq=100)]
    frames += [tcp(packet(1) * 20, seq=169 + n * 1_040) for n in range(300)]
    events = decoder.receive_data(pcap(map(ethernet, frames)))
    assert [error.error for error in errors(events)] == ["gap"]
    assert len(findings(events)) > 5_000


def test_spoilt_bytes_are_left_behind_at_the_next_packet() -> None:
    events = decode(*talk((PACKET, ONE), (b"GET / HTTP/1.1" + packet(2), ONE)))
    assert findings(events)[4:] == [
        (Side.DEVICE, "Error", 69),
        (Side.DEVICE, "AvlPacket", 83),
        (Side.SERVER, "Ack", 5),
    ]
    (error,) = errors(events)
    assert (error.error, error.length) == ("bad_preamble", 14)


def test_a_packet_with_a_wrong_crc_is_no_place_to_read_on_from() -> None:
    spoilt = packet(2)[:-1] + b"\x00"
    frames = [*OPENING, tcp(HELLO, seq=100), tcp(spoilt + packet(3), seq=127)]
    events = decode(*frames, tcp(seq=231, flags=FIN))
    assert findings(events)[1:] == [(Side.DEVICE, "Error", 17), (Side.DEVICE, "AvlPacket", 79)]


def test_half_a_packet_at_the_end_is_an_error() -> None:
    events = decode(*talk((PACKET[:-9], b"")))
    (error,) = errors(events)
    assert error.error == "truncated"
    assert error.message == "the packet ends at byte 60: expected 52 bytes, found 43"


def test_a_frame_that_was_cut_short_is_a_gap() -> None:
    cut = ethernet(tcp(packet(1), seq=117))[:-7]
    frames = [*map(ethernet, OPENING), ethernet(tcp(HELLO, seq=100)), cut]
    frames.append(ethernet(tcp(packet(2), seq=169)))
    decoder = CaptureDecoder()
    events = decoder.receive_data(pcap(frames))
    assert findings(events)[1:] == [(Side.DEVICE, "Error", 62), (Side.DEVICE, "AvlPacket", 69)]


def test_four_zero_bytes_are_an_ack_unless_a_command_follows() -> None:
    nothing = bytes(4)
    events = decode(*talk((packet(1), nothing), (packet(2), ONE)))
    assert findings(events)[2:] == [
        (Side.DEVICE, "AvlPacket", 17),
        (Side.SERVER, "Ack", 1),
        (Side.DEVICE, "AvlPacket", 69),
        (Side.SERVER, "Ack", 5),
    ]
    assert notes(events) == [NoteKind.WRONG_COUNT]
    events = decode(*talk((b"\xff", COMMAND[:4]), (b"\xff", COMMAND[4:])))
    assert findings(events)[2:] == [
        (Side.DEVICE, "Ping", 17),
        (Side.DEVICE, "Ping", 18),
        (Side.SERVER, "Command", 1),
    ]


@pytest.mark.parametrize(
    ("exchanges", "expected"),
    [
        ([(PACKET, ONE)], []),
        ([(PACKET + packet(2), ONE + ONE)], []),
        ([(PACKET, b"")], [NoteKind.NO_ACK]),
        ([(PACKET, b"\0\0\0\2")], [NoteKind.WRONG_COUNT]),
        ([(PACKET, b""), (PACKET, ONE)], [NoteKind.NO_ACK, NoteKind.RESENT]),
        ([(PACKET, ONE), (PACKET, ONE)], [NoteKind.RESENT]),
        ([(PACKET, ONE), (b"", ONE)], [NoteKind.UNEXPECTED_ACK]),
        ([(b"", ONE), (PACKET, b"")], []),  # the capture shows them the wrong way round
    ],
)
def test_what_went_wrong_is_noted(
    exchanges: list[tuple[bytes, bytes]], expected: list[NoteKind]
) -> None:
    assert notes(decode(*talk(*exchanges))) == expected


def test_an_imei_without_an_answer_is_noted() -> None:
    assert notes(decode(*OPENING, tcp(HELLO, seq=100))) == [NoteKind.NO_ANSWER]


def test_where_acks_may_be_missing_in_the_capture_none_is_missed() -> None:
    frames = [*OPENING, tcp(HELLO, seq=100), tcp(b"\x01", seq=900, from_device=False)]
    frames += [tcp(packet(1), seq=117), tcp(packet(2), seq=169), tcp(packet(3), seq=221)]
    frames.append(tcp(ONE, seq=909, from_device=False))
    events = decode(*frames)
    assert [error.message for error in errors(events)] == [
        "bytes that the capture does not have: 8, from byte 1 on; nothing before byte 9 can be read"
    ]
    assert notes(events) == []


def test_a_datagram_that_is_sent_again_and_its_answers() -> None:
    datagram = b"\x00\x3d\xca\xfe\x01\x05" + HELLO + PACKET[8:-4]
    answer = b"\x00\x05\xca\xfe\x01\x05\x01"
    assert notes(decode(udp(datagram), udp(answer, from_device=False))) == []
    assert notes(decode(udp(datagram), udp(datagram), udp(answer, from_device=False))) == [
        NoteKind.NO_ACK,
        NoteKind.RESENT,
    ]
    assert notes(decode(udp(datagram), udp(answer[:-1] + b"\x00", from_device=False))) == [
        NoteKind.WRONG_COUNT
    ]
    other = b"\x00\x05\xca\xff\x01\x05\x01"
    assert notes(decode(udp(datagram), udp(other, from_device=False))) == [
        NoteKind.UNEXPECTED_ACK,
        NoteKind.NO_ACK,
    ]


def test_the_same_records_of_another_device_are_not_sent_again() -> None:
    events = decode(
        *(
            udp(b"\x00\x3d\xca\xfe\x01\x05" + encode_imei(imei) + PACKET[8:-4])
            for imei in (IMEI, "356307042441021")
        )
    )
    assert notes(events) == [NoteKind.NO_ACK, NoteKind.NO_ACK]


def test_other_conversations_are_no_sessions_and_take_no_numbers() -> None:
    def http(port: int) -> list[bytes]:
        request = tcp(b"GET / HTTP/1.1\r\n", seq=100, device_port=port)
        return [tcp(seq=99, flags=SYN, device_port=port), request]

    decoder = CaptureDecoder()
    events = decode(*http(1), *talk((PACKET, ONE)), *http(2), udp(b"dns"), decoder=decoder)
    assert {event.session.number for event in events} == {0}
    assert (decoder.sessions, decoder.others) == (1, 3)


def test_a_port_that_is_named_settles_who_the_server_is() -> None:
    frames = [*OPENING, tcp(b"hello", seq=100)]
    assert decode(*frames) == []
    (error,) = errors(decode(*frames, decoder=CaptureDecoder(5027)))
    assert (error.error, error.offset) == ("imei_length", 0)
    assert decode(*talk((PACKET, ONE)), decoder=CaptureDecoder(80)) == []


def test_a_port_that_is_used_again_is_another_session() -> None:
    late = tcp(HELLO, seq=100)
    second = [tcp(seq=3_000_000_000, flags=SYN), late, tcp(HELLO, seq=3_000_000_001)]
    events = decode(*OPENING, tcp(HELLO, seq=100), *second)
    found = [
        (event.session.number, event.offset)
        for event in events
        if isinstance(event, CapturedFinding)
    ]
    assert found == [(0, 0), (1, 0)]


def test_of_too_many_conversations_the_idle_ones_end() -> None:
    decoder = CaptureDecoder(max_conversations=4)
    frames = []
    for port in range(10):
        frames += [tcp(seq=99, flags=SYN, device_port=port)]
        frames += [tcp(HELLO + PACKET[:20], seq=100, device_port=port)]
    events = decode(*frames, decoder=decoder)
    ended = [event.how for event in events if isinstance(event, SessionEnded)]
    assert ended == ["nothing came of it for long"] * 6 + ["the capture ends"] * 4
    assert [error.error for error in errors(events)] == ["truncated"] * 10


def test_where_too_much_waits_in_all_the_idle_ones_end() -> None:
    decoder = CaptureDecoder(max_held=150)
    frames = []
    for port in range(10):
        frames += [tcp(seq=99, flags=SYN, device_port=port)]
        frames += [tcp(HELLO + PACKET[:40], seq=100, device_port=port)]
    events = decoder.receive_data(pcap(map(ethernet, frames)))
    assert len([event for event in events if isinstance(event, SessionEnded)]) == 7


def test_a_link_type_that_nobody_reads_is_told_in_a_sentence() -> None:
    decoder = CaptureDecoder()
    assert decoder.receive_data(pcap([b"802.11"], link_type=105)) == []
    with pytest.raises(CaptureError, match="link type is 105: expected Ethernet, Linux cooked"):
        decoder.receive_eof()
