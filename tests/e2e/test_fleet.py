"""`teltonika emulate --count`: many devices against the real server."""

import json
import os
import pty
import re
import signal
import subprocess
import time

import pytest
from free_ports import free_port
from serving import STREAM, TELTONIKA, ServerProcess, run_teltonika

FIRST = "356307042441000"


def emulate(server: ServerProcess, *options: str) -> subprocess.CompletedProcess[str]:
    return run_teltonika(
        *("emulate", "--imei", FIRST, "--port", str(server.port), "--start-time", "2026-01-31"),
        *options,
    )


@pytest.mark.parametrize("processes", ["1", "2"])
def test_every_record_of_every_device_is_stored_once(processes: str, server: ServerProcess) -> None:
    options = ("--count", "100", "--records", "20", "--records-per-packet", "5", "--json")
    result = emulate(server, *options, "--interval", "0.1", "--processes", processes)
    assert result.returncode == 0, result.stderr
    (line,) = result.stdout.splitlines()
    report = json.loads(line)
    assert report["complete"] is True
    assert (report["devices"], report["started"], report["finished"]) == (100, 100, 100)
    assert report["records_sent"] == report["records_acknowledged"] == 2_000
    assert 0 < report["ack_latency_p50_s"] <= report["ack_latency_p99_s"]
    assert server.redis.xlen(STREAM) == 2_000
    assert len({payload["device_id"] for payload in server.payloads()}) == 100


def test_one_process_or_two_send_the_same(server: ServerProcess) -> None:
    """So the second fleet's records are all known."""
    options = ("--count", "10", "--records", "5", "--interval", "0", "--seed", "4", "--json")
    for processes in ("1", "2"):
        assert emulate(server, *options, "--processes", processes).returncode == 0
    assert server.redis.xlen(STREAM) == 50


def test_a_duration_ends_it_with_everything_acknowledged(server: ServerProcess) -> None:
    start = time.monotonic()
    result = emulate(server, "--count", "20", "--duration", "2", "--interval", "0.1", "--json")
    assert result.returncode == 0, result.stderr
    assert time.monotonic() - start > 2
    report = json.loads(result.stdout)
    assert report["most_connected"] == 20
    assert report["records_acknowledged"] == server.redis.xlen(STREAM) > 200


@pytest.mark.parametrize("processes", ["1", "2"])
def test_ctrl_c_ends_it_properly_with_the_report(processes: str, server: ServerProcess) -> None:
    command = [TELTONIKA, "emulate", "--imei", FIRST, "--count", "20", "--records", "0"]
    command += ["--port", str(server.port), "--interval", "0.05", "--processes", processes]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as fleet:
        assert server.redis.xread({STREAM: "0"}, block=30_000)
        os.killpg(fleet.pid, signal.SIGINT)  # as a terminal does: to all processes of it
        stdout, stderr = fleet.communicate(timeout=60)
    assert fleet.returncode == 0, stderr
    assert "records acknowledged" in stdout
    assert "stopping once" in stderr
    assert "Traceback" not in stderr


def test_devices_that_get_nowhere_are_named() -> None:
    result = run_teltonika(
        *("emulate", "--imei", FIRST, "--port", str(free_port()), "--count", "3"),
        *("--give-up-after", "0.5"),
    )
    assert result.returncode == 1
    assert "3 devices gave up: 356307042441005, " in result.stderr
    assert "connection refused" in result.stdout


def test_on_a_terminal_it_is_a_table_that_stays_in_place(server: ServerProcess) -> None:
    ours, theirs = pty.openpty()
    command = [TELTONIKA, "emulate", "--imei", FIRST, "--count", "20", "--duration", "2"]
    with subprocess.Popen(
        [*command, "--port", str(server.port), "--interval", "0.1"],
        stdout=subprocess.DEVNULL,
        stderr=theirs,
        env=os.environ | {"TERM": "xterm", "COLUMNS": "80"},
    ) as fleet:
        os.close(theirs)
        shown = b""
        try:
            while data := os.read(ours, 65_536):
                shown += data
        except OSError:  # the other end is closed
            pass
        os.close(ours)
        assert fleet.wait(timeout=60) == 0
    text = re.sub(r"\x1b\[[\d;]*m", "", shown.decode())
    assert re.search(r"connected +20 +20 at most", text)
    assert re.search(r"records acknowledged +\d+ +\d+ a second", text)
    assert "\x1b[1A" in text  # drawn again where it stood
