"""The live line on a terminal."""

import pytest

from teltonika.cli.emulate_view import LINES_PER_MINUTE, LiveView, LogView
from teltonika.codecs import AVL_CODECS
from teltonika.emulator import DeviceMachine

IMEI = "356307042441013"


def test_the_live_line_says_how_it_is_going(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich then takes the captured stream for a terminal
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")
    device = DeviceMachine(IMEI, AVL_CODECS.by_name("8"), iter(()))
    device.report.records_acknowledged = 1_234
    device.report.packets_acknowledged = 617
    view = LiveView("localhost:5027")
    with view:
        view.acknowledged(device, b"", 0.0125)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "1,234 records in 617 packets acknowledged" in shown.err
    assert "ACK after 12.5 ms" in shown.err


def test_a_command_is_shown_without_what_a_terminal_would_obey(
    capsys: pytest.CaptureFixture[str],
) -> None:
    device = DeviceMachine(IMEI, AVL_CODECS.by_name("8"), iter(()))
    LogView("localhost:5027").command_ignored(device, "\x1b[2Jgetver", "it is unknown")
    assert capsys.readouterr().err == (f"{IMEI}: did not execute \\x1b[2Jgetver: it is unknown\n")


def test_a_server_causes_so_many_lines_a_minute_and_one_says_how_many_were_left_out(
    capsys: pytest.CaptureFixture[str],
) -> None:
    device = DeviceMachine(IMEI, AVL_CODECS.by_name("8"), iter(()))
    now_s = 0.0
    with LogView("localhost:5027", clock=lambda: now_s) as view:
        for _ in range(LINES_PER_MINUTE + 1_234):
            view.ack_refused(device, 1, 7)
        view.command_executed(device, "getver")
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == LINES_PER_MINUTE + 1
        assert lines[-1] == f"{IMEI}: executed getver"
        now_s = 61.0
        view.ack_refused(device, 1, 7)
        assert capsys.readouterr().err.splitlines() == [
            "lines left out: ack refused 1,234",
            f"{IMEI}: an ACK of 7 records where 1 were in flight",
        ]
        for _ in range(LINES_PER_MINUTE):
            view.command_ignored(device, "x" * 10_000, "it is unknown")
            view.command_executed(device, "getver")
            view.connected(device)
            view.disconnected(device, "the server closed the connection", 0.1)
        view.connected(device)
        assert len(capsys.readouterr().err) < 4 * LINES_PER_MINUTE * 300
    assert capsys.readouterr().err == "lines left out: connected 1\n"
