"""The devices' side of every TCP capture, segment by segment, against a running server."""

import socket

import pytest
from captures import CAPTURE_NAMES, Capture, load_capture
from payloads import expected_payload
from serving import BareDevice, ServerProcess

CAPTURES = [load_capture(name) for name in CAPTURE_NAMES]
TCP_CAPTURES = [c for c in CAPTURES if c.conversations[0].transport == "tcp"]


@pytest.mark.parametrize("capture", TCP_CAPTURES, ids=lambda capture: capture.name)
def test_what_lands_on_the_stream_is_what_the_capture_holds(
    capture: Capture, server: ServerProcess
) -> None:
    expected = []
    for number, conversation in enumerate(capture.conversations):
        objects = capture.expected_of(number, "device")
        packets = [o["records"] for o in objects if o["kind"] == "avl"]
        imei = objects[0]["imei"]
        payloads = [expected_payload(imei, record) for records in packets for record in records]
        expected += [payload for payload in payloads if payload not in expected]

        with BareDevice(server.port, imei=None) as device:
            for segment in conversation.device:
                device.send(segment.data)
            device.socket.shutdown(socket.SHUT_WR)
            acks = b"".join(len(records).to_bytes(4) for records in packets)
            assert device.receive(1 + len(acks) + 1) == b"\x01" + acks
    assert server.payloads() == expected
    assert server.logged_so_far("protocol_violation") == []


def test_the_captures_bring_all_three_codecs() -> None:
    codecs = {o.get("codec") for capture in TCP_CAPTURES for o in capture.expected}
    assert codecs >= {"8", "8E", "16"}
