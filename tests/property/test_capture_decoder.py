"""Whatever TCP, the capture and the reading of the file do, the same is found in it."""

from itertools import pairwise
from random import Random

import msgspec
from captured_frames import (
    FIN,
    PLAIN_ACK,
    PUSH,
    SYN,
    SYN_ACK,
    ethernet,
    interface,
    packet_block,
    pcap,
    section,
    tcp,
)
from captures import CAPTURE_NAMES, PCAPS
from hypothesis import given
from hypothesis import strategies as st

from teltonika.codecs import CommandMessage, MessageType, encode_imei, encode_message
from teltonika.codecs.captures import CaptureDecoder, CapturedFinding, CaptureError, Side
from teltonika.codecs.findings import Finding, FoundAvlPacket, FoundError, FoundPing

HELLO = encode_imei("356307042441013")
PACKET = bytes.fromhex(
    "000000000000002808010000016B40D9AD80010000000000000000000000000000000103021503010101425E100000"
    "010000F22A"
)
SPOILT = PACKET[:-1] + b"\x2b"
COMMAND = encode_message(CommandMessage(0x0C, MessageType.COMMAND, b"getinfo"))
RESPONSE = encode_message(CommandMessage(0x0C, MessageType.RESPONSE, b"INI:2019/7/22"))
PARTS = {
    Side.DEVICE: st.sampled_from([PACKET, RESPONSE, b"\xff", SPOILT]),
    Side.SERVER: st.sampled_from([b"\0\0\0\1", b"\0\0\0\0", b"\0\0\0\x0c", COMMAND]),
}
CAPTURES = [(PCAPS / f"{name}.pcap").read_bytes() for name in CAPTURE_NAMES]


def found_in(data: bytes, bounds: list[int] | None = None) -> list[tuple[Side, Finding]]:
    """What a file holds, read in pieces."""
    decoder = CaptureDecoder()
    cuts = sorted({0, len(data), *(bound % (len(data) + 1) for bound in bounds or ())})
    events = [event for a, b in pairwise(cuts) for event in decoder.receive_data(data[a:b])]
    events += decoder.receive_eof()
    return [(e.sender, e.finding()) for e in events if isinstance(e, CapturedFinding)]


def said_by(side: Side, found: list[tuple[Side, Finding]]) -> list[Finding]:
    """What came in one segment is one run of pings: here each is a finding."""
    return [one for sender, finding in found if sender is side for one in one_by_one(finding)]


def one_by_one(finding: Finding) -> list[Finding]:
    if not isinstance(finding, FoundPing):
        return [finding]
    end = finding.offset + finding.length
    return [FoundPing(offset=at, length=1) for at in range(finding.offset, end)]


@st.composite
def segments(draw: st.DrawFn, stream: bytes, isn: int, *, from_device: bool) -> list[bytes]:
    """``stream`` in overlapping pieces, some of them twice, and its end, in any order."""
    cuts = draw(st.lists(st.integers(1, len(stream)), max_size=8))
    pieces = list(pairwise(sorted({0, len(stream), *cuts})))
    pieces += draw(st.lists(st.sampled_from(pieces), max_size=4))
    back = draw(st.lists(st.integers(0, 5), min_size=len(pieces), max_size=len(pieces)))
    frames = [
        tcp(stream[max(0, a - step) : b], seq=isn + 1 + max(0, a - step), from_device=from_device)
        for (a, b), step in zip(pieces, back, strict=True)
    ]
    return [*frames, tcp(seq=isn + 1 + len(stream), flags=FIN, from_device=from_device)]


@given(st.data(), st.integers(0, 2**32 - 1), st.randoms(use_true_random=False))
def test_order_cut_repetition_and_overlap_change_nothing(
    data: st.DataObject, isn: int, random: Random
) -> None:
    device = HELLO + b"".join(data.draw(st.lists(PARTS[Side.DEVICE], max_size=5)))
    server = b"\x01" + b"".join(data.draw(st.lists(PARTS[Side.SERVER], max_size=5)))
    back = isn ^ 0x80000000
    opening = [tcp(seq=isn, flags=SYN), tcp(seq=back, flags=SYN_ACK, from_device=False)]
    plain = [tcp(device, seq=isn + 1), tcp(server, seq=back + 1, from_device=False)]
    expected = found_in(pcap(map(ethernet, opening + plain)))
    assert sum(f.length for f in said_by(Side.SERVER, expected)) == len(server)

    frames = data.draw(segments(device, isn, from_device=True))
    frames += data.draw(segments(server, back, from_device=False))
    random.shuffle(frames)
    capture = pcap(map(ethernet, opening + frames))
    found = found_in(capture, data.draw(st.lists(st.integers(0, 2**16), max_size=6)))
    for side in Side:
        assert said_by(side, found) == said_by(side, expected)


@st.composite
def in_turn(draw: st.DrawFn, parts: list[bytes], isn: int, *, from_device: bool) -> list[bytes]:
    """A segment for each of the parts, but for some that are cut, and bare ACKs between."""
    frames: list[bytes] = []
    seq = isn + 1
    for part in parts:
        cut = draw(st.one_of(st.just(0), st.integers(0, len(part) - 1)))
        for piece in (part[:cut], part[cut:]):
            flags = PUSH if piece else PLAIN_ACK
            frames.append(tcp(piece, seq=seq, ack=1, flags=flags, from_device=from_device))
            seq += len(piece)
    return frames


@given(st.data(), st.integers(0, 2**32 - 1), st.randoms(use_true_random=False))
def test_what_comes_a_thing_a_segment_reads_as_what_comes_at_once(
    data: st.DataObject, isn: int, random: Random
) -> None:
    device = [HELLO, *data.draw(st.lists(PARTS[Side.DEVICE], max_size=8))]
    server = [b"\x01", *data.draw(st.lists(PARTS[Side.SERVER], max_size=8))]
    back = isn ^ 0x80000000
    opening = [tcp(seq=isn, flags=SYN), tcp(seq=back, flags=SYN_ACK, from_device=False)]
    at_once = [
        tcp(b"".join(device), seq=isn + 1),
        tcp(b"".join(server), seq=back + 1, from_device=False),
    ]
    expected = found_in(pcap(map(ethernet, opening + at_once)))

    sides = [
        data.draw(in_turn(device, isn, from_device=True)),
        data.draw(in_turn(server, back, from_device=False)),
    ]
    order = [side for side in sides for _ in side]
    random.shuffle(order)
    frames = [side.pop(0) for side in order]
    found = found_in(pcap(map(ethernet, opening + frames)))
    for side in Side:
        assert said_by(side, found) == said_by(side, expected)


@given(st.sampled_from(CAPTURES), st.lists(st.integers(0, 2**16), max_size=20))
def test_the_file_s_own_pieces_change_nothing(capture: bytes, bounds: list[int]) -> None:
    assert found_in(capture, bounds) == found_in(capture)


@given(
    st.sampled_from(CAPTURES),
    st.lists(st.tuples(st.integers(0, 2**16), st.integers(0, 255)), max_size=8),
    st.integers(0, 2**16),
)
def test_a_damaged_capture_raises_nothing_but_its_own_error(
    capture: bytes, changes: list[tuple[int, int]], cut: int
) -> None:
    damaged = bytearray(capture)
    for place, value in changes:
        damaged[place % len(damaged)] = value
    read_all(bytes(damaged[: cut % (2 * len(damaged))]))


@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 300), st.binary(max_size=40)), max_size=12),
    st.booleans(),
)
def test_no_bytes_of_a_session_raise_anything(
    writes: list[tuple[bool, int, bytes]], opened: bool
) -> None:
    frames = [tcp(seq=99, flags=SYN)] if opened else []
    frames.append(tcp(HELLO, seq=100))
    frames += [tcp(data, seq=100 + at, from_device=side) for side, at, data in writes]
    read_all(pcap(map(ethernet, frames)))


@given(
    st.sampled_from([0, 1, 9, 12, 101, 108, 113, 228, 229, 276]),
    st.lists(st.binary(max_size=90), max_size=5),
    st.binary(max_size=30),
)
def test_no_frame_raises_anything(link_type: int, frames: list[bytes], tail: bytes) -> None:
    read_all(pcap(frames, link_type=link_type) + tail)
    blocks = b"".join(packet_block(frame) for frame in frames)
    read_all(section() + interface(link_type, options=tail) + blocks + tail)


def read_all(data: bytes) -> None:
    for port in (None, 5027):
        decoder = CaptureDecoder(port, max_conversations=2, max_held=64)
        try:
            events = decoder.receive_data(data) + decoder.receive_eof()
        except CaptureError:
            continue
        for event in events:
            if isinstance(event, CapturedFinding):
                msgspec.json.encode(event.finding())


@given(st.lists(st.integers(1, 120), min_size=1, max_size=12), st.integers(0, 2**32 - 1))
def test_bytes_that_are_missing_spoil_nothing_behind_the_next_packet(
    sizes: list[int], isn: int
) -> None:
    stream = HELLO + PACKET * 12
    bounds = [0]
    for size in sizes:
        bounds.append(min(len(stream), bounds[-1] + size))
    pieces = [*pairwise(bounds), (bounds[-1], len(stream))]
    frames = [tcp(seq=isn, flags=SYN)]
    frames += [tcp(stream[a:b], seq=isn + 1 + a) for n, (a, b) in enumerate(pieces) if n != 1]
    frames.append(tcp(seq=isn + 1 + len(stream), flags=FIN))
    found = said_by(Side.DEVICE, found_in(pcap(map(ethernet, frames))))
    lost_from, lost_to = pieces[1]
    whole = [len(HELLO) + n * len(PACKET) for n in range(12)]
    kept = [at for at in whole if at + len(PACKET) <= lost_from or at >= lost_to]
    gaps = [lost_from] if lost_to > lost_from else []
    if lost_from < len(HELLO) and not kept:
        assert found == []  # nothing shows that this is a device
        return
    assert [each.offset for each in found if isinstance(each, FoundAvlPacket)] == kept
    assert [each.offset for each in found if isinstance(each, FoundError)] == gaps
