"""A device's stream, cut into frames with all of their bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples import HANDSHAKE, OTHER_PACKET, PACKET, PING, framed

from teltonika.codecs.frame_cutter import FrameCutter

BROKEN = framed(b"\x08\x01\x00\x01", crc_change=1)


def cutter(unfinished: bytes = b"", *, awaiting_imei: bool = True) -> FrameCutter:
    return FrameCutter(unfinished=unfinished, awaiting_imei=awaiting_imei)


@given(st.lists(st.sampled_from([PACKET, OTHER_PACKET, PING, BROKEN])), st.data())
def test_any_split_gives_the_same_frames(frames: list[bytes], data: st.DataObject) -> None:
    stream = b"".join([HANDSHAKE, *frames])
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    pieces = [
        stream[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)
    ]
    subject = cutter()
    found = [frame for piece in pieces for frame in subject.receive_data(piece)]
    assert one_by_one(found) == [HANDSHAKE, *frames]
    assert subject.rest() == b""


def one_by_one(frames: list[bytes]) -> list[bytes]:
    """With each ping of a run as a frame."""
    return [
        one
        for frame in frames
        for one in ([PING] * len(frame) if frame == PING * len(frame) else [frame])
    ]


def test_pings_in_a_row_are_one_frame() -> None:
    stream = PACKET + PING * 1_000_000 + PACKET
    assert cutter(awaiting_imei=False).receive_data(stream) == [PACKET, PING * 1_000_000, PACKET]


@given(st.lists(st.binary(max_size=60)))
def test_no_bytes_make_it_raise_and_none_is_lost_before_the_broken_one(pieces: list[bytes]) -> None:
    subject = cutter()
    found = [frame for piece in pieces for frame in subject.receive_data(piece)]
    assert b"".join(pieces).startswith(b"".join(found) + subject.rest())


def test_it_begins_in_the_middle_of_a_packet() -> None:
    subject = cutter(PACKET[:20], awaiting_imei=False)
    assert subject.receive_data(PACKET[20:] + PING) == [PACKET, PING]


def test_what_has_no_end_is_the_rest() -> None:
    subject = cutter(awaiting_imei=False)
    assert subject.receive_data(PACKET[:20]) == []
    assert subject.rest() == PACKET[:20]


@pytest.mark.parametrize("wrong", [b"GET / HTTP/1.1\r\n", bytes(4) + b"\xff" * 4 + b"more"])
def test_what_no_frame_begins_with_is_the_last(wrong: bytes) -> None:
    subject = cutter(awaiting_imei=False)
    assert subject.receive_data(PACKET + wrong) == [PACKET, wrong]
    assert subject.receive_data(PACKET) == []
    assert subject.rest() == b""
