"""Capture files cut into frames, sound ones and others."""

import struct

import dpkt
import pytest
from captured_frames import block, interface, packet_block, pcap, section

from teltonika.codecs.captures import CapturedFrame, CaptureError, read_frames

FRAMES = [b"first frame", b"", b"third"]


def test_pcap_gives_each_frame_with_its_time_and_link_type() -> None:
    found = read_frames(pcap(FRAMES, link_type=101))
    assert found.broken_at is None
    assert found.frames == [
        CapturedFrame(1_700_000_000.0 + number, 101, data) for number, data in enumerate(FRAMES)
    ]


@pytest.mark.parametrize(
    ("magic", "order", "fraction"),
    [
        (magic, order, fraction)
        for magic, fraction in ((0xA1B2C3D4, 500_000), (0xA1B23C4D, 500_000_000))
        for order in "<>"
    ],
)
def test_pcap_of_either_byte_order_and_resolution(magic: int, order: str, fraction: int) -> None:
    data = struct.pack(f"{order}IHHiIII", magic, 2, 4, 0, 0, 65_535, 1)
    data += struct.pack(f"{order}IIII", 7, fraction, 3, 3) + b"abc"
    assert read_frames(data).frames == [CapturedFrame(7.5, 1, b"abc")]


def test_what_stands_before_the_break_in_a_file_is_kept() -> None:
    whole = pcap(FRAMES)
    ends = [len(pcap(FRAMES[:count])) for count in range(4)]
    for cut in range(24, len(whole)):
        found = read_frames(whole[:cut])
        before = sum(end <= cut for end in ends) - 1
        assert len(found.frames) == before
        assert found.broken_at == (None if cut in ends else ends[before])


@pytest.mark.parametrize("order", ["<", ">"])
def test_pcapng_with_several_interfaces_and_resolutions(order: str) -> None:
    nanoseconds = struct.pack(f"{order}HHB3x", 9, 1, 9)
    halves = struct.pack(f"{order}HHB3x", 9, 1, 0x81)
    later = struct.pack(f"{order}HHq", 14, 8, 100)
    data = section(order)
    data += interface(1, order=order) + interface(101, options=nanoseconds + later, order=order)
    data += interface(276, options=halves, order=order) + block(0x0BAD, b"whatever", order)
    data += packet_block(b"one", ticks=1_500_000, order=order)
    data += packet_block(b"two", interface_id=1, ticks=2_500_000_000, order=order)
    data += packet_block(b"three", interface_id=2, ticks=7, order=order)
    data += block(3, struct.pack(f"{order}I", 5) + b"plain", order)
    assert read_frames(data).frames == [
        CapturedFrame(1.5, 1, b"one"),
        CapturedFrame(102.5, 101, b"two"),
        CapturedFrame(3.5, 276, b"three"),
        CapturedFrame(0.0, 1, b"plain"),
    ]


def test_another_section_has_interfaces_and_a_byte_order_of_its_own() -> None:
    data = section() + interface(1) + packet_block(b"one")
    data += section(">") + interface(101, order=">") + packet_block(b"two", order=">")
    assert [(f.link_type, f.data) for f in read_frames(data).frames] == [(1, b"one"), (101, b"two")]


def test_pcapng_as_dpkt_writes_it() -> None:
    import io

    file = io.BytesIO()
    writer = dpkt.pcapng.Writer(file)
    writer.writepkt(b"a frame", 1_700_000_000.25)
    assert read_frames(file.getvalue()).frames == [CapturedFrame(1_700_000_000.25, 1, b"a frame")]


@pytest.mark.parametrize(
    "broken",
    [
        packet_block(b"one", interface_id=3),
        block(6, b"short"),
        packet_block(b"one")[:-1],
        struct.pack("<II", 6, 11) + bytes(8),
        struct.pack("<II", 6, 2**32 - 4) + bytes(40),
        block(6, struct.pack("<IIIII", 0, 0, 0, 500, 500) + b"less"),
    ],
)
def test_a_block_that_contradicts_itself_ends_the_file(broken: bytes) -> None:
    before = section() + interface(1) + packet_block(b"one")
    found = read_frames(before + broken)
    assert [frame.data for frame in found.frames] == [b"one"]
    assert found.broken_at == len(before)


def test_a_resolution_beyond_floats_is_counted_out_all_the_same() -> None:
    options = struct.pack("<HHB3x", 9, 1, 127)
    data = section() + interface(1, options=options) + packet_block(b"one", ticks=10**9)
    assert read_frames(data).frames[0].time == pytest.approx(0.0)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "the file is empty"),
        (b"\x1f\x8b\x08\x00", "compressed with gzip: unpack it first"),
        (b"GIF89a", "expected pcap or pcapng, found a file that begins with 47 49 46 38"),
        (pcap([])[:20], "ends after 20 bytes, inside its own header"),
        (b"\x0a\x0d\x0d\x0a\x1c\x00\x00\x00\x00\x00\x00\x00", "expected pcap or pcapng"),
    ],
)
def test_what_is_no_capture_is_told_in_a_sentence(data: bytes, sentence: str) -> None:
    with pytest.raises(CaptureError, match=sentence):
        read_frames(data)
