"""The captures of fixtures/pcaps are what they claim to be, seen by several independent readers."""

import json
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from captures import CAPTURE_NAMES, PCAPS, Capture, load_capture, read_frames
from tshark import TSHARK, tshark_fields

from teltonika.codecs import (
    AVL_CODECS,
    MESSAGE_CODECS,
    AvlPacketReceived,
    AvlRecord,
    CommandResponseReceived,
    CrcFailed,
    ImeiReceived,
    MessageType,
    PingReceived,
    ServerConnection,
)

FIXTURES = PCAPS.parent
SAMPLES = json.loads((FIXTURES / "doc_samples.json").read_text())["samples"]
EXPERT_WARNING = 0x600000  # Wireshark's PI_WARN; notes are below it, errors above


@pytest.fixture(params=CAPTURE_NAMES)
def capture(request: pytest.FixtureRequest) -> Capture:
    return load_capture(request.param)


def run_script(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", str(folder / "make_pcaps.py"), *options]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_committed_files_are_what_the_script_makes() -> None:
    result = run_script(FIXTURES, "--check")
    assert (result.stdout, result.stderr, result.returncode) == ("", "", 0)


def test_check_names_each_file_that_differs_and_a_run_mends_them(tmp_path: Path) -> None:
    folder = tmp_path / "fixtures"
    shutil.copytree(FIXTURES, folder, ignore=shutil.ignore_patterns("__pycache__"))
    changed = folder / "pcaps" / "codec8e.pcap"
    original = changed.read_bytes()
    changed.write_bytes(original[:-1] + b"\x5a")
    (folder / "pcaps" / "codec16.json").unlink()
    (folder / "pcaps" / "forgotten.pcap").write_bytes(b"")

    result = run_script(folder, "--check")
    assert result.returncode == 1
    assert result.stdout.splitlines() == [
        "pcaps/codec8e.pcap is not what the script makes.",
        "pcaps/codec16.json is missing.",
        "pcaps/forgotten.pcap belongs to no case.",
    ]

    assert run_script(folder).returncode == 0
    assert changed.read_bytes() == original
    assert run_script(folder, "--check").returncode == 0


def test_every_sound_sample_is_in_a_capture_and_no_defective_one() -> None:
    captures = list(map(load_capture, CAPTURE_NAMES))
    said = [
        payload.data
        for capture in captures
        for conversation in capture.conversations
        for payload in (*conversation.device, *conversation.server)
    ]
    for sample in SAMPLES:
        used = any(bytes.fromhex(sample["hex"]) in data for data in said)
        assert used == ("known_defect" not in sample), sample["name"]


def test_no_two_captures_share_a_device() -> None:
    """Save the two UDP samples that Teltonika printed with one IMEI."""
    imeis = [
        {found["imei"] for found in load_capture(name).expected if found["kind"] == "imei"}
        for name in CAPTURE_NAMES
        if not name.startswith("udp-")
    ]
    assert all(len(own) == 1 for own in imeis)
    assert len(set().union(*imeis)) == len(imeis)


def test_every_checksum_is_right(capture: Capture) -> None:
    for _, frame in read_frames(capture.path):
        packet = frame[14:]
        header, body = packet[:20], packet[20:]
        (length,) = struct.unpack_from(">H", header, 2)
        assert (header[0], length) == (0x45, len(packet))
        assert ones_complement_sum(header) == 0xFFFF
        pseudo_header = header[12:20] + struct.pack(">BBH", 0, header[9], len(body))
        assert ones_complement_sum(pseudo_header + body) == 0xFFFF
        if header[9] == 17:
            assert struct.unpack_from(">HH", body, 4) > (len(body), 0)


def test_timestamps_rise(capture: Capture) -> None:
    times = [time for time, _ in read_frames(capture.path)]
    assert times == sorted(set(times))


def test_objects_cover_every_byte_of_both_sides_once(capture: Capture) -> None:
    for session, conversation in enumerate(capture.conversations):
        for sender in ("device", "server"):
            payloads = getattr(conversation, sender)
            found = capture.expected_of(session, sender)
            if conversation.transport == "udp":
                assert [(o["offset"], o["length"]) for o in found] == [
                    (0, len(payload.data)) for payload in payloads
                ]
                continue
            end = 0
            for o in found:
                # An error begins where it went wrong, inside the packet that it ends with.
                assert o["offset"] == end or (o["kind"] == "error" and o["offset"] > end)
                end = o["offset"] + o["length"]
            assert end == sum(len(payload.data) for payload in payloads)


def test_an_object_has_the_time_of_the_frame_with_its_last_byte(capture: Capture) -> None:
    for found in capture.expected:
        conversation = capture.conversations[found["session"]]
        assert found["transport"] == conversation.transport
        payloads = getattr(conversation, found["from"])
        if conversation.transport == "tcp":
            end, length = 0, found["offset"] + found["length"]
            for payload in payloads:
                end += len(payload.data)
                if end >= length:
                    break
        else:
            [payload] = payloads
        assert datetime.fromisoformat(found["time"]).timestamp() == pytest.approx(
            payload.time, abs=1e-4
        )


def test_the_server_says_what_the_acks_say(capture: Capture) -> None:
    for session, conversation in enumerate(capture.conversations):
        stream = b"".join(payload.data for payload in conversation.server)
        for found in capture.expected_of(session, "server"):
            said = stream[found["offset"] : found["offset"] + found["length"]]
            if "imei_accepted" in found:
                assert said == (b"\x01" if found["imei_accepted"] else b"\x00")
            elif found["kind"] == "ack" and conversation.transport == "tcp":
                assert said == found["accepted"].to_bytes(4)
            elif found["kind"] == "ack":
                question = conversation.device[0].data
                assert said == b"\x00\x05" + question[2:6] + bytes((found["accepted"],))


def test_texts_stand_in_their_frames(capture: Capture) -> None:
    for session, conversation in enumerate(capture.conversations):
        for sender in ("device", "server"):
            stream = b"".join(payload.data for payload in getattr(conversation, sender))
            for found in capture.expected_of(session, sender):
                if found["kind"] in ("command", "response", "nack"):
                    frame = stream[found["offset"] : found["offset"] + found["length"]]
                    text = bytes.fromhex(found["hex"])
                    assert text == found["text"].encode("ascii")
                    assert frame.endswith(text + frame[-5:])
                    assert text or found["kind"] == "nack"


def test_the_device_s_bytes_decode_to_the_expected_objects(capture: Capture) -> None:
    for session, conversation in enumerate(capture.conversations):
        expected = capture.expected_of(session, "device")
        if conversation.transport == "udp":
            found = [decode_datagram(payload.data) for payload in conversation.device]
            assert found == [without(o, *CAPTURE_ONLY) for o in expected]
        else:
            found = list(decode_session([payload.data for payload in conversation.device]))
            assert found == [without(o, *CAPTURE_ONLY, "message") for o in expected]


CAPTURE_ONLY = ("time", "session", "from", "offset", "length", "transport")


def without(found: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in found.items() if key not in keys}


def decode_session(segments: list[bytes]) -> Iterator[dict[str, Any]]:
    """What `ServerConnection` finds, without places: it counts by packet."""
    connection = ServerConnection()
    events = [event for data in segments for event in connection.receive_data(data)]
    for event in events + connection.receive_eof():
        match event:
            case ImeiReceived(imei=imei):
                yield {"kind": "imei", "imei": imei}
            case AvlPacketReceived(packet=packet):
                yield avl(packet.codec_id, packet.records)
            case CommandResponseReceived(message=message):
                imei = {} if message.imei is None else {"imei": message.imei}
                sent_s = message.timestamp_s
                timestamp = {} if sent_s is None else {"timestamp": iso(sent_s * 1000)}
                kind = "nack" if message.type is MessageType.NACK else "response"
                yield (
                    imei
                    | timestamp
                    | {
                        "kind": kind,
                        "codec": MESSAGE_CODECS.by_id(message.codec_id).name,
                        "text": message.text,
                        "hex": message.content.hex(),
                    }
                )
            case PingReceived():
                yield {"kind": "ping"}
            case CrcFailed(error=error):
                yield {"kind": "error", "error": error.code}


def decode_datagram(data: bytes) -> dict[str, Any]:
    length, packet_id, _, avl_packet_id, imei_length = struct.unpack_from(">HHBBH", data)
    assert (length, imei_length) == (len(data) - 2, 15)
    found = avl(data[23], AVL_CODECS.by_id(data[23]).decode_data(data[23:]).records)
    imei = data[8:23].decode("ascii")
    return found | {"packet_id": packet_id, "avl_packet_id": avl_packet_id, "imei": imei}


def avl(codec_id: int, records: tuple[AvlRecord, ...]) -> dict[str, Any]:
    return {
        "kind": "avl",
        "codec": AVL_CODECS.by_id(codec_id).name,
        "codec_id": codec_id,
        "records": list(map(record_json, records)),
    }


def iso(timestamp_ms: int) -> str:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=timestamp_ms)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{timestamp_ms % 1000:03d}Z"


def record_json(record: AvlRecord) -> dict[str, Any]:
    return {
        "timestamp_ms": record.timestamp_ms,
        "timestamp": iso(record.timestamp_ms),
        "priority": record.priority,
        "longitude": record.longitude,
        "latitude": record.latitude,
        "altitude": record.altitude,
        "angle": record.angle,
        "satellites": record.satellites,
        "speed": record.speed,
        "event_io_id": record.event_io_id,
        "generation_type": record.generation_type,
        "io": [{"id": io.id, "bytes": io.width, "value": io.value} for io in record.io],
    }


def ones_complement_sum(data: bytes) -> int:
    """RFC 1071: 0xFFFF over bytes that hold their own right checksum."""
    padded = data + bytes(len(data) % 2)
    total = sum(struct.unpack(f">{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


@pytest.mark.skipif(TSHARK is None, reason="tshark is not installed")
def test_tshark_complains_of_the_retransmission_and_the_order_only(
    capture: Capture,
) -> None:
    frames = tshark_fields(
        capture.path,
        "_ws.malformed",
        "_ws.expert.severity",
        "ip.checksum.status",
        "tcp.checksum.status",
        "udp.checksum.status",
        "tcp.analysis.flags",
        "tcp.analysis.retransmission",
    )
    assert len(frames) == len(read_frames(capture.path))
    analysed = []
    for malformed, severities, ip_status, tcp_status, udp_status, *analysis in frames:
        assert malformed == ""
        warned = [int(severity) >= EXPERT_WARNING for severity in severities.split(",") if severity]
        assert not any(warned) or capture.name == "out-of-order"
        assert (ip_status, tcp_status + udp_status) == ("1", "1")  # 1 is good
        analysed += [analysis] if any(analysis) else []
    assert len(analysed) == {"retransmission": 1, "out-of-order": 5}.get(capture.name, 0)
    assert analysed == [["1", "1"]] or capture.name != "retransmission"
