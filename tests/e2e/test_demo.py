"""`teltonika demo`: the whole thing in one terminal."""

import os
import pty
import re
import signal
import subprocess

import pytest
from serving import TELTONIKA, run_teltonika

LINE = re.compile(r"^\d{15}  \d\d:\d\d:\d\d  .*km/h", re.MULTILINE)


def test_it_shows_records_as_they_land_and_ends_by_itself() -> None:
    result = run_teltonika("demo", "--seconds", "3")
    assert result.returncode == 0, result.stderr
    landed = LINE.findall(result.stdout)
    summary = re.search(
        r"(\d+) records sent by 3 devices, (\d+) acknowledged, (\d+) on the stream", result.stdout
    )
    assert summary is not None
    assert len(set(summary.groups())) == 1
    assert int(summary[3]) == len(landed) >= 6
    assert len({line[:15] for line in landed}) == 3
    assert re.search(r"ACK latency: median \d+\.\d ms", result.stdout)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_it_with_the_summary(number: signal.Signals) -> None:
    command = [TELTONIKA, "demo", "--seconds", "0", "--devices", "2"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as demo:
        assert demo.stdout is not None
        for line in demo.stdout:
            if LINE.match(line):
                break
        demo.send_signal(number)
        rest = demo.stdout.read()
    assert demo.returncode == 0
    assert "records sent by 2 devices" in rest
    assert "Traceback" not in rest


def test_on_a_terminal_it_is_a_table_that_stays_in_place() -> None:
    leader, follower = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80", "LINES": "30"}
    with subprocess.Popen(
        [TELTONIKA, "demo", "--seconds", "2"], stdout=follower, stderr=follower, env=environment
    ) as demo:
        os.close(follower)
        shown = b""
        while True:
            try:
                more = os.read(leader, 65_536)
            except OSError:  # what Linux says when the last process closed the terminal
                break
            if not more:
                break
            shown += more
    os.close(leader)
    assert demo.returncode == 0
    text = shown.decode()
    assert "ignition" in text
    assert "\x1b[" in text
    assert "records sent by 3 devices" in text


def test_a_demo_of_no_time_ends_well() -> None:
    result = run_teltonika("demo", "--seconds", "0.01")
    assert (result.returncode, result.stderr) == (0, "")
    assert "0 records sent" in result.stdout
