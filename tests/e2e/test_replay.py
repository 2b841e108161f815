"""The installed `teltonika replay`: every capture against our own server, and what was recorded."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from captures import CAPTURE_NAMES, PCAPS, Capture, load_capture
from own_valkey import OwnValkey
from payloads import expected_payload
from serving import IMEI, TELTONIKA, ServerProcess, run_teltonika

StartServer = Callable[..., ServerProcess]
OTHER = "356307042449990"
REJECTED = "unknown-imei-rejected"
UNEXPECTED = {"resend-after-lost-ack": 1}
"""Our server answers what the captured one did not."""


def replay(
    file: Path, port: int, *options: str
) -> tuple[int, list[dict[str, Any]], dict[str, Any]]:
    """Exit code, each session's object, and the summary."""
    result = run_teltonika("replay", str(file), "--port", str(port), "--json", *options)
    assert "Traceback" not in result.stderr
    *sessions, summary = map(json.loads, result.stdout.splitlines())
    return result.returncode, sessions, summary


def payloads_of(capture: Capture, imei: str) -> list[dict[str, Any]]:
    """What must be on the stream: each record once, in the order of the capture."""
    payloads: list[dict[str, Any]] = []
    for found in capture.expected:
        for record in found.get("records", ()):
            payload = expected_payload(imei, record)
            payloads += [payload] if payload not in payloads else []
    return payloads


def test_every_capture_is_answered_as_captured(start_server: StartServer) -> None:
    server = start_server("--udp-port", "0")
    expected: dict[str, list[dict[str, Any]]] = {}
    for number, name in enumerate(name for name in CAPTURE_NAMES if name != REJECTED):
        imei = f"35630704250{number:03d}0"
        code, sessions, summary = replay(
            *(PCAPS / f"{name}.pcap", server.port, "--fast", "--imei", imei),
            *("--udp-port", str(server.udp_port)),
        )
        assert (code, summary["ok"]) == (0, True), (name, sessions)
        capture = load_capture(name)
        assert len(sessions) == summary["sessions"] == len(capture.conversations)
        acks = [o for o in capture.expected if o["kind"] == "ack"]
        assert summary["answers"] == summary["as_expected"] == len(acks)
        assert summary["unexpected"] == UNEXPECTED.get(name, 0)
        assert all(session["sent"] == session["of"] for session in sessions)
        expected[imei] = payloads_of(capture, imei)
    assert {imei: server.payloads(imei) for imei in expected} == expected
    assert server.logged_so_far("protocol_violation") == []


def test_a_rejection_is_as_captured_only_from_a_server_that_rejects(
    server: ServerProcess, valkey: OwnValkey, start_server: StartServer
) -> None:
    file = PCAPS / f"{REJECTED}.pcap"
    code, (session,), _ = replay(file, server.port, "--fast", "--timeout", "0.3")
    assert code == 1
    assert session["differences"] == [
        {"kind": "different", "offset": 0, "expected": "00", "found": "01"}
    ]
    client = valkey.start()
    client.sadd("devices:allowed", IMEI)
    strict = start_server(
        "--authority", "allow-list", "--strict", redis_url=valkey.url, data_dir="strict"
    )
    code, (session,), _ = replay(file, strict.port, "--fast", "--strict")
    assert (code, session["as_expected"], session["note"]) == (0, 1, None)
    client.close()


def test_the_captured_pace_can_be_scaled(server: ServerProcess) -> None:
    """Two sessions, 34 s from one to the other, the second of 20 s."""
    file = PCAPS / "resend-after-lost-ack.pcap"
    code, sessions, summary = replay(file, server.port, "--speed", "50")
    assert (code, len(sessions)) == (0, 2)
    assert summary["duration_s"] >= 54 / 50
    assert summary["as_expected"] == 4


def test_one_session_can_be_chosen(server: ServerProcess) -> None:
    file = PCAPS / "resend-after-lost-ack.pcap"
    code, sessions, _ = replay(file, server.port, "--fast", "--session", "1")
    assert (code, [session["session"] for session in sessions]) == (0, [1])


@pytest.mark.parametrize("options", [(), ("--interval", "0.01")])
def test_what_was_recorded_can_be_played_by_another_device(
    options: tuple[str, ...], server: ServerProcess, tmp_path: Path
) -> None:
    file = tmp_path / "recorded.pcap"
    result = run_teltonika(
        *("emulate", "--imei", IMEI, "--port", str(server.port), "--interval", "0"),
        *("--records", "60", "--records-per-packet", "7", "--record", str(file), *options),
    )
    assert result.returncode == 0, result.stderr
    code, (session,), _ = replay(file, server.port, "--fast", "--strict", "--imei", OTHER)
    assert (code, session["as_expected"], session["captured_imei"]) == (0, 10, IMEI)
    recorded, played = server.payloads(IMEI), server.payloads(OTHER)
    assert len(played) == 60
    assert played == [payload | {"device_id": OTHER} for payload in recorded]


def test_a_run_that_was_killed_leaves_a_file_that_can_be_played(
    server: ServerProcess, tmp_path: Path
) -> None:
    file = tmp_path / "recorded.pcap"
    command = [TELTONIKA, "emulate", "--imei", IMEI, "--port", str(server.port)]
    command += ["--records", "0", "--interval", "0", "--record", str(file)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as emulator:
        seen, last = 0, "0"
        while seen < 50:
            ((_, entries),) = server.redis.xread({"telemetry:teltonika": last}, block=30_000)
            seen, last = seen + len(entries), entries[-1][0]
        emulator.kill()
    code, (session,), _ = replay(file, server.port, "--fast", "--imei", OTHER)
    assert (code, session["missing"], session["different"]) == (0, 0, 0)
    assert session["as_expected"] >= 50


def test_the_sessions_of_a_capture_can_be_listed() -> None:
    file = PCAPS / "resend-after-lost-ack.pcap"
    listed = run_teltonika("replay", str(file), "--list", "--json")
    sessions = [json.loads(line) for line in listed.stdout.splitlines()]
    assert [(s["session"], s["transport"], s["device_bytes"]) for s in sessions] == [
        (0, "tcp", 83),
        (1, "tcp", 135),
    ]
    table = run_teltonika("replay", str(file), "--list").stdout
    assert sessions[0]["imei"] in table
