"""Traced frames as a person reads them."""

import pytest
from samples import PACKET, framed

from teltonika.cli.trace_view import TraceView
from teltonika.codecs import MAX_PACKET_SIZE
from teltonika.codecs.transport import Side, Transport
from teltonika.server.traced_frame import MAX_HEX_BYTES, FramesLeftOut, TraceMessage, tell_frame

IMEI = "356307042441013"


def tell(frame: bytes, peer: str = "192.0.2.7:4711") -> TraceMessage:
    return tell_frame(
        Side.DEVICE,
        frame,
        imei=IMEI,
        peer=peer,
        instance_id="gate",
        transport=Transport.TCP,
        max_packet_size=MAX_PACKET_SIZE,
        now_ms=0,
    )


def test_a_frame_is_a_line_and_its_bytes(capsys: pytest.CaptureFixture[str]) -> None:
    TraceView().show(tell(PACKET))
    first, *dump = capsys.readouterr().out.splitlines()
    assert first == (
        "1970-01-01T00:00:00.000Z  192.0.2.7:4711  device > 66 bytes: "
        "AVL packet, codec 8, 1 record, 2019-06-10T10:04:46.000Z"
    )
    assert dump[0].startswith("  0000  [00000000]")
    assert not any("<- here" in line for line in dump)


def test_what_is_wrong_with_a_broken_one_stands_out(capsys: pytest.CaptureFixture[str]) -> None:
    TraceView().show(tell(framed(b"\x08\x00\x00", crc_change=1)))
    assert "<- here" in capsys.readouterr().out


def test_of_a_cut_one_the_rest_is_counted_and_is_no_error(
    capsys: pytest.CaptureFixture[str],
) -> None:
    frame = framed(b"\x0c\x01\x05" + (5_000).to_bytes(4) + b"x" * 5_000 + b"\x01")
    TraceView().show(tell(frame))
    output = capsys.readouterr().out
    assert "command, codec 12" in output or "response, codec 12" in output
    assert output.endswith(f"        {len(frame) - MAX_HEX_BYTES} more bytes\n")
    assert "<- here" not in output


def test_nothing_that_others_publish_reaches_the_terminal_as_it_is(
    capsys: pytest.CaptureFixture[str],
) -> None:
    TraceView().show(tell(PACKET, peer="\x1b[2J"))
    TraceView().show(FramesLeftOut(ts="\x1b[2J", imei=IMEI, instance_id="gate", frames=7))
    output = capsys.readouterr().out
    assert "\x1b" not in output
    assert "7 frames left out" in output
