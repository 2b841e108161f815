"""Whatever TCP and the capture do to a stream, it comes out as it was; no bytes raise anything."""

from itertools import pairwise
from random import Random

from captured_frames import SYN, SYN_ACK, ethernet, interface, packet_block, pcap, section, tcp
from captures import CAPTURE_NAMES, PCAPS
from hypothesis import given
from hypothesis import strategies as st

from teltonika.codecs import encode_imei
from teltonika.codecs.captures import CaptureError, read_capture
from teltonika.emulator.replay import NotReplayableError, make_script

HELLO = encode_imei("356307042441013")
CAPTURES = [(PCAPS / f"{name}.pcap").read_bytes() for name in CAPTURE_NAMES]


@st.composite
def segments(draw: st.DrawFn, stream: bytes, isn: int, *, from_device: bool) -> list[bytes]:
    """``stream`` in overlapping pieces, some of them twice, in any order."""
    cuts = draw(st.lists(st.integers(1, max(1, len(stream) - 1)), max_size=6))
    bounds = sorted({0, len(stream), *cuts})
    pieces = list(pairwise(bounds))
    pieces += draw(st.lists(st.sampled_from(pieces), max_size=4))
    back = draw(st.lists(st.integers(0, 5), min_size=len(pieces), max_size=len(pieces)))
    pieces = [(max(0, a - step), b) for (a, b), step in zip(pieces, back, strict=True)]
    return [
        tcp(stream[a:b], seq=isn + 1 + a, from_device=from_device)
        for a, b in draw(st.permutations(pieces))
    ]


@given(
    st.data(),
    st.binary(max_size=60),
    st.binary(min_size=1, max_size=60),
    st.integers(0, 2**32 - 1),
    st.randoms(use_true_random=False),
)
def test_any_cut_order_and_repetition_gives_the_same_streams(
    data: st.DataObject, rest: bytes, answers: bytes, isn: int, random: Random
) -> None:
    device, back = HELLO + rest, isn ^ 0x80000000
    said = data.draw(segments(device, isn, from_device=True))
    heard = data.draw(segments(answers, back, from_device=False))
    frames = [tcp(seq=isn, flags=SYN), tcp(seq=back, flags=SYN_ACK, from_device=False)]
    frames += said + heard
    random.shuffle(frames)
    capture = read_capture(pcap(map(ethernet, frames)))
    (session,) = capture.sessions
    assert b"".join(payload.data for payload in session.device) == device
    assert b"".join(payload.data for payload in session.server) == answers
    assert session.missing == 0
    times = [payload.time for payload in session.device]
    assert times == sorted(times)


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
        try:
            sessions = read_capture(data, port).sessions
        except CaptureError:
            continue
        for number, session in enumerate(sessions):
            try:
                make_script(number, session, "356307042449990")
            except NotReplayableError:
                assert session.imei is None
