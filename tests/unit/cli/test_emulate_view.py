"""The live line on a terminal."""

import pytest

from teltonika.cli.emulate_view import LiveView, LogView
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
