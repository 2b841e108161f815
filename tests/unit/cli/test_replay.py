"""`teltonika replay`: what it prints, and how it ends."""

from pathlib import Path

import pytest
import typer
from captured_frames import ethernet, pcap, tcp
from captures import PCAPS
from typer.testing import CliRunner

from teltonika.cli.replay import replay

app = typer.Typer()
app.command()(replay)
FIXTURE = str(PCAPS / "codec8e.pcap")


def run(*arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output, standard error."""
    result = CliRunner().invoke(app, list(arguments))
    return result.exit_code, result.stdout, result.stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("/nowhere.pcap",), "cannot read /nowhere.pcap: No such file or directory"),
        ((__file__,), "the file is no capture: expected pcap or pcapng"),
        ((FIXTURE, "--imei", "1234"), "--imei: an IMEI is 15 digits; '1234' is not"),
        ((FIXTURE, "--session", "7"), "has sessions 0 to 0, and no 7"),
    ],
)
def test_a_mistake_is_told_in_a_sentence_with_exit_code_2(
    arguments: tuple[str, ...], sentence: str
) -> None:
    code, output, errors = run(*arguments)
    assert (code, output) == (2, "")
    assert sentence in errors
    assert errors.count("\n") == 1


def test_a_capture_without_a_device_is_told(tmp_path: Path) -> None:
    file = tmp_path / "web.pcap"
    file.write_bytes(pcap([ethernet(tcp(b"GET / HTTP/1.1\r\n", seq=1))]))
    code, _, errors = run(str(file))
    assert code == 1
    assert "no device's session in 1 frames and 1 other conversations" in errors


def test_a_session_from_its_middle_is_left_out_and_a_broken_file_told(tmp_path: Path) -> None:
    packet = bytes.fromhex("000000000000002808010000016B40D9AD80") + bytes(30)
    file = tmp_path / "middle.pcap"
    file.write_bytes(pcap([ethernet(tcp(packet, seq=1))]) + b"torn")
    code, output, errors = run(str(file))
    assert (code, output) == (1, "")
    assert "breaks off at byte" in errors
    assert "session 0 is left out: the capture does not show its handshake" in errors
    assert "none of its sessions can be played" in errors


def test_a_server_that_is_not_there_is_shown_in_the_table_with_exit_code_1() -> None:
    code, output, errors = run(FIXTURE, "--port", "1", "--fast")
    assert code == 1
    assert "0 of 2" in output
    assert "session 0: no connection: " in output
    assert "missing at byte 0: captured 01, came nothing" in output
    assert "1 of 1 sessions were not answered as captured" in errors
