"""Captures to sessions: which conversations are a device's, and what each side said."""

import struct
import sys
from itertools import pairwise

import pytest
from captured_frames import (
    DEVICE_PORT,
    FIN,
    SERVER_PORT,
    SYN,
    SYN_ACK,
    ethernet,
    ipv6,
    pcap,
    tcp,
    udp,
)
from captures import CAPTURE_NAMES, PCAPS

from teltonika.codecs import encode_imei
from teltonika.codecs.captures import (
    Capture,
    CapturedSession,
    CaptureError,
    Closing,
    Side,
    read_capture,
)

sys.path.insert(0, str(PCAPS.parent))
from cases import CASES, Retransmit, Write

IMEI = "356307042441013"
HELLO = encode_imei(IMEI)
PACKET = bytes.fromhex(
    "000000000000002808010000016B40D9AD80010000000000000000000000000000000103021503010101425E100000"
    "010000F22A"
)


def read(*packets: bytes, server_port: int | None = None) -> Capture:
    """Of IP packets in Ethernet."""
    return read_capture(pcap(map(ethernet, packets)), server_port)


def only(capture: Capture) -> CapturedSession:
    (session,) = capture.sessions
    return session


def said(session: CapturedSession) -> tuple[bytes, bytes]:
    return (
        b"".join(payload.data for payload in session.device),
        b"".join(payload.data for payload in session.server),
    )


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_case_comes_out_of_its_capture_as_it_was_put_in(case: object) -> None:
    capture = read_capture((PCAPS / f"{case.name}.pcap").read_bytes())
    assert (capture.others, capture.skipped, capture.broken_at) == (0, {}, None)
    assert len(capture.sessions) == len(case.conversations)
    for session, conversation in zip(capture.sessions, case.conversations, strict=True):
        writes = [step for step in conversation.steps if isinstance(step, Write)]
        for side, payloads in (("device", session.device), ("server", session.server)):
            pieces = []
            for write in writes:
                if write.side == side:
                    data = b"".join(message.data for message in write.messages)
                    bounds = [0, *write.cuts, len(data)]
                    pieces += [data[a:b] for a, b in pairwise(bounds)]
            assert [payload.data for payload in payloads] == pieces
        assert session.transport == conversation.transport
        assert session.server_address == "192.0.2.10:5027"
        closed_by = None if session.transport == "udp" else Side(str(conversation.closed_by))
        assert (session.from_start, session.closed_by, session.missing) == (True, closed_by, 0)
        frames = [payload.frame for payload in (*session.device, *session.server)]
        in_order = not any(write.order for write in writes)
        assert (len(set(frames)) == len(frames)) is in_order
    assert any(isinstance(s, Retransmit) for c in CASES for w in c.conversations for s in w.steps)
    assert len(CASES) == len(CAPTURE_NAMES)


LINKS = {
    "ethernet": (1, ethernet),
    "VLAN": (1, lambda ip: ethernet(ip, tags=b"\x81\x00\x00\x05")),
    "double VLAN": (1, lambda ip: ethernet(ip, tags=b"\x88\xa8\x00\x05\x81\x00\x00\x06")),
    "loopback of BSD": (0, lambda ip: struct.pack("<I", 2) + ip),
    "loopback of OpenBSD": (108, lambda ip: struct.pack(">I", 2) + ip),
    "PPP": (9, lambda ip: b"\xff\x03\x00\x21" + ip),
    "raw IP": (101, lambda ip: ip),
    "IPv4": (228, lambda ip: ip),
    "Linux cooked": (113, lambda ip: bytes(14) + b"\x08\x00" + ip),
    "Linux cooked 2": (276, lambda ip: b"\x08\x00" + bytes(18) + ip),
}


@pytest.mark.parametrize("link", LINKS)
def test_a_session_is_found_on_each_kind_of_link(link: str) -> None:
    link_type, wrapped = LINKS[link]
    frames = [wrapped(tcp(HELLO, seq=100)), wrapped(tcp(b"\x01", seq=900, from_device=False))]
    capture = read_capture(pcap(frames, link_type=link_type))
    assert said(only(capture)) == (HELLO, b"\x01")
    assert only(capture).imei == IMEI


def test_ipv6_with_headers_before_tcp() -> None:
    segment = tcp(HELLO, seq=100)[20:]
    plain = ipv6(6, segment)
    extended = ipv6(0, segment, extensions=b"\x06\x00" + bytes(6))
    for packet in (plain, extended):
        session = only(read(packet))
        assert said(session) == (HELLO, b"")
        assert session.device_address == f"[::1]:{DEVICE_PORT}"
    fragment = ipv6(44, segment, extensions=b"\x06\x00" + bytes(6))
    assert read(plain, fragment).skipped == {"IP fragment": 1}


def test_an_ethernet_trailer_is_no_data() -> None:
    capture = read_capture(pcap([ethernet(tcp(HELLO, seq=1)) + bytes(9)]))
    assert said(only(capture)) == (HELLO, b"")


def test_what_is_not_of_a_session_is_counted_and_told() -> None:
    fragment = bytearray(tcp(HELLO, seq=1))
    fragment[6] = 0x20
    icmp = bytearray(tcp(HELLO, seq=1))
    icmp[9] = 1
    short = tcp(b"", seq=1)[:30]
    other = tcp(b"GET / HTTP/1.1\r\n", seq=1, device_port=80)
    frames = [ethernet(p) for p in (tcp(HELLO, seq=1), bytes(fragment), bytes(icmp), short, other)]
    frames.append(bytes(12) + b"\x08\x06" + bytes(28))
    capture = read_capture(pcap(frames))
    assert capture.skipped == {"IP fragment": 1, "neither TCP nor UDP": 2, "malformed": 1}
    assert (len(capture.sessions), capture.others, capture.frames) == (1, 1, 6)


def test_a_link_type_that_nobody_reads_is_told_in_a_sentence() -> None:
    with pytest.raises(CaptureError, match="link type is 105: expected Ethernet, Linux cooked"):
        read_capture(pcap([b"802.11"], link_type=105))


def test_the_end_that_sends_the_imei_is_the_device_whatever_its_port() -> None:
    session = only(read(tcp(HELLO, seq=1, from_device=False), tcp(b"\x01", seq=1)))
    assert (session.device_address, session.server_address) == (
        f"192.0.2.10:{SERVER_PORT}",
        f"198.51.100.7:{DEVICE_PORT}",
    )
    assert said(session) == (HELLO, b"\x01")


def test_a_handshake_in_pieces_is_one() -> None:
    pieces = [tcp(HELLO[n : n + 1], seq=50 + n) for n in range(17)]
    assert only(read(tcp(seq=49, flags=SYN), *pieces)).imei == IMEI


def test_a_session_that_begins_in_its_middle_is_found_by_its_packets() -> None:
    session = only(read(tcp(PACKET, seq=7_000), tcp(b"\0\0\0\1", seq=9, from_device=False)))
    assert (session.imei, session.from_start) == (None, False)
    assert said(session) == (PACKET, b"\0\0\0\1")


def test_a_port_that_is_named_settles_who_the_server_is() -> None:
    frames = tcp(b"\x00\x0e12345", seq=1), tcp(b"\x00", seq=1, from_device=False)
    assert read(*frames).sessions == []
    session = only(read(*frames, server_port=SERVER_PORT))
    assert said(session) == (b"\x00\x0e12345", b"\x00")
    assert read(*frames, server_port=1).sessions == []


def test_missing_bytes_are_a_gap_before_what_follows() -> None:
    session = only(
        read(
            tcp(seq=99, flags=SYN),
            tcp(HELLO, seq=100),
            tcp(PACKET[10:], seq=127),
            tcp(b"\x01", seq=500, from_device=False),
        )
    )
    assert [(p.data, p.gap) for p in session.device] == [(HELLO, 0), (PACKET[10:], 10)]
    assert session.missing == 10


def test_a_frame_that_was_cut_short_leaves_a_gap() -> None:
    cut = ethernet(tcp(PACKET, seq=117))[:-7]
    frames = [ethernet(tcp(HELLO, seq=100)), cut, ethernet(tcp(PACKET, seq=117 + len(PACKET)))]
    session = only(read_capture(pcap(frames)))
    assert [(p.data, p.gap) for p in session.device] == [(HELLO, 0), (PACKET[:-7], 0), (PACKET, 7)]


def test_a_port_that_is_used_again_is_another_session() -> None:
    def connection(isn: int) -> list[bytes]:
        return [
            tcp(seq=isn, flags=SYN),
            tcp(seq=isn + 500, flags=SYN_ACK, from_device=False),
            tcp(HELLO, seq=isn + 1),
            tcp(b"\x01", seq=isn + 501, from_device=False),
            tcp(seq=isn + 18, flags=FIN),
        ]

    first, second = connection(1_000), connection(3_000_000_000)
    late = tcp(HELLO, seq=1_001)  # of the first, behind the SYN of the second
    capture = read(*first, first[0], *second[:1], late, *second[1:])
    assert [said(session) for session in capture.sessions] == [(HELLO, b"\x01")] * 2


def test_who_closes_first_and_how() -> None:
    begin = tcp(HELLO, seq=1)
    end = tcp(seq=18, flags=FIN), tcp(seq=5, flags=FIN, from_device=False)
    reset = tcp(seq=0, flags=4, from_device=False)
    for ending, by, how in (
        ([], None, None),
        (end, Side.DEVICE, Closing.FIN),
        (end[::-1], Side.SERVER, Closing.FIN),
        ([reset], Side.SERVER, Closing.RST),
    ):
        session = only(read(begin, *ending))
        assert (session.closed_by, session.closing) == (by, how)


def test_a_udp_device_is_known_by_the_imei_in_its_datagrams() -> None:
    datagram = b"\x00\x2f\xca\xfe\x01\x05" + HELLO + b"\x08\x01"
    capture = read(
        udp(b"\x00\x05\xca\xfe\x01\x05\x01", from_device=False), udp(datagram), udp(datagram)
    )
    session = only(capture)
    assert (session.transport, session.imei) == ("udp", IMEI)
    assert [p.data for p in session.device] == [datagram] * 2
    assert read(udp(b"\x00\x01\x01\x00")).others == 1
