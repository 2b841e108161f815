"""What is told of a frame."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples import HANDSHAKE, PACKET, PING, framed

from teltonika.codecs import MAX_PACKET_SIZE
from teltonika.codecs.transport import Side, Transport
from teltonika.server.traced_frame import MAX_HEX_BYTES, TraceMessage, tell_frame


def tell(
    frame: bytes, sender: Side = Side.DEVICE, transport: Transport = Transport.TCP
) -> TraceMessage:
    return tell_frame(
        sender,
        frame,
        imei="356307042441013",
        peer="192.0.2.1:4711",
        instance_id="gate",
        transport=transport,
        max_packet_size=MAX_PACKET_SIZE,
        now_ms=0,
    )


@pytest.mark.parametrize(
    ("frame", "sender", "summary"),
    [
        (HANDSHAKE, Side.DEVICE, "IMEI 356307042441013"),
        (PACKET, Side.DEVICE, "AVL packet, codec 8, 1 record, 2019-06-10T10:04:46.000Z"),
        (PING, Side.DEVICE, "ping"),
        (framed(b"\x08\x01\x00\x01", crc_change=1), Side.DEVICE, "error crc_mismatch: "),
        (PACKET[:20], Side.DEVICE, "error truncated: "),
        (b"\x01", Side.SERVER, "IMEI accepted"),
        (b"\x00", Side.SERVER, "IMEI rejected"),
        (b"\x00\x00\x00\x03", Side.SERVER, "ACK of 3 records"),
        (b"\x00\x00\x00\x00", Side.SERVER, "ACK of 0 records"),
    ],
)
def test_it_has_the_decoder_s_words(frame: bytes, sender: Side, summary: str) -> None:
    told = tell(frame, sender)
    assert told.summary.startswith(summary)
    assert (told.hex, told.cut) == (frame.hex(), False)


def test_a_long_frame_is_cut_and_says_so() -> None:
    frame = framed(bytes(MAX_HEX_BYTES))
    told = tell(frame)
    assert (told.cut, told.size) == (True, len(frame))
    assert told.hex == frame[:MAX_HEX_BYTES].hex()


@given(st.binary(min_size=1, max_size=80), st.sampled_from(Side), st.sampled_from(Transport))
def test_whatever_the_bytes_are_it_never_raises(
    frame: bytes, sender: Side, transport: Transport
) -> None:
    told = tell(frame, sender, transport)
    assert msgspec.json.decode(msgspec.json.encode(told), type=TraceMessage) == told
