"""Traces of connections, without sockets and without a Redis that would hear of them."""

from collections.abc import MutableMapping
from typing import Any

import pytest
from samples import HANDSHAKE, IMEI, OTHER_PACKET, PACKET, PING
from structlog.testing import capture_logs

from teltonika.codecs import MAX_PACKET_SIZE
from teltonika.server.deployment import deployment_of
from teltonika.server.keys import Keys
from teltonika.server.trace import MAX_WAITING_BYTES, Tracer

PEER = "192.0.2.7:4711"
STREAM = HANDSHAKE + PACKET + PING


def tracer(*imeis: str) -> Tracer:
    made = Tracer(deployment_of("unix:///nowhere"), Keys(), "gate", MAX_PACKET_SIZE, lambda: None)
    made.imeis = frozenset(imeis)
    return made


def received(lines: list[MutableMapping[str, Any]]) -> bytes:
    return bytes.fromhex("".join(line["hex"] for line in lines))


@pytest.mark.parametrize("cut", range(1, len(HANDSHAKE) + 3))
async def test_however_a_handshake_comes_all_frames_are_told(cut: int) -> None:
    """As a session asks: at each read before the IMEI is known, with what it has not used yet."""
    subject, trace = tracer(IMEI), None
    pieces = (STREAM[:cut], STREAM[cut:])
    with capture_logs() as lines:
        unfinished = b""
        for piece in pieces:
            if trace is None:
                trace = subject.at_handshake(unfinished, piece, PEER)
            if trace is not None:
                trace.received(piece)
            unfinished = piece
    assert received(lines) == STREAM
    assert [line["event"] for line in lines] == ["frame_received"] * 3


@pytest.mark.parametrize("beginning", [b"", b"\x00", b"GET / HTTP/1.1", HANDSHAKE[:16]])
async def test_what_is_no_handshake_yet_is_nobody_s(beginning: bytes) -> None:
    assert tracer(IMEI).at_handshake(b"", beginning, PEER) is None
    assert tracer("356307042441021").at_handshake(b"", HANDSHAKE, PEER) is None


async def test_a_connection_that_is_closed_tells_what_has_no_end() -> None:
    trace = tracer(IMEI).begin(IMEI, PEER, PACKET[:5])
    with capture_logs() as lines:
        trace.received(PACKET[5:] + OTHER_PACKET[:7])
        trace.ended()
        trace.ended()
    assert [line["hex"] for line in lines] == [PACKET.hex(), OTHER_PACKET[:7].hex()]


async def test_what_waits_for_redis_is_bounded_and_counted() -> None:
    subject = tracer(IMEI)
    trace = subject.begin(IMEI, PEER, b"")
    frame = bytes(4) + (8_000).to_bytes(4) + bytes(8_004)
    seconds = 0
    with capture_logs() as lines:
        while not any(line["event"] == "frames_not_published" for line in lines):
            for _ in range(20):
                trace.received(frame)
            subject.flush()  # a second is over
            seconds += 1
    told = sum(line["event"] == "frame_received" for line in lines)
    assert told == 20 * seconds
    assert MAX_WAITING_BYTES / 2 < told * 8_192 < MAX_WAITING_BYTES + 20 * 8_192
