"""Logs on standard error: one JSON object a line, or text for a person."""

import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog

from teltonika.server.logs import LogFormat, LogLevel, configure_logs

ReadLines = Callable[[], list[dict[str, Any]]]


@pytest.fixture(autouse=True)
def _logs_as_they_were(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    level = logging.root.level
    monkeypatch.setattr(logging.root, "handlers", [])
    yield
    logging.root.setLevel(level)
    structlog.reset_defaults()


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> ReadLines:
    """What was logged since the last call, each line read as JSON; standard output is empty."""

    def read() -> list[dict[str, Any]]:
        captured = capsys.readouterr()
        assert captured.out == ""
        return [json.loads(line) for line in captured.err.splitlines()]

    return read


def test_a_line_says_what_happened_to_what_when_and_how_bad_it_is(lines: ReadLines) -> None:
    configure_logs(LogFormat.JSON, LogLevel.INFO)
    structlog.get_logger().warning("crc_failed", imei="356307042441013", peer="[::1]:7")
    (line,) = lines()
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "crc_failed",
        "level": "warning",
        "imei": "356307042441013",
        "peer": "[::1]:7",
    }


def test_the_standard_librarys_logs_are_lines_of_the_same_shape(lines: ReadLines) -> None:
    configure_logs(LogFormat.JSON, LogLevel.INFO)
    logging.getLogger("asyncio").warning("%d tasks\nwere slow", 2)
    (line,) = lines()
    assert line.keys() == {"event", "level", "timestamp"}
    assert (line["event"], line["level"]) == ("2 tasks\nwere slow", "warning")


def test_an_exception_with_its_traceback_is_still_one_line(lines: ReadLines) -> None:
    configure_logs(LogFormat.JSON, LogLevel.INFO)
    for log in (structlog.get_logger(), logging.getLogger("asyncio")):
        try:
            int("broken")
        except ValueError:
            log.exception("failed")
        (line,) = lines()
        assert line["event"] == "failed"
        assert "ValueError: invalid literal" in line["exception"]


@pytest.mark.parametrize("least", LogLevel)
def test_nothing_below_the_level_is_logged(least: LogLevel, lines: ReadLines) -> None:
    configure_logs(LogFormat.JSON, least)
    levels = list(LogLevel)
    for log in (structlog.get_logger(), logging.getLogger("asyncio")):
        for level in levels:
            getattr(log, level)("said")
        assert [line["level"] for line in lines()] == levels[levels.index(least) :]


def test_a_person_gets_text_without_colours_where_there_is_no_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logs(LogFormat.CONSOLE, LogLevel.INFO)
    structlog.get_logger().info("device_connected", imei="356307042441013")
    (line,) = capsys.readouterr().err.splitlines()
    assert "device_connected" in line
    assert "imei=356307042441013" in line
    assert "\x1b" not in line


@pytest.mark.parametrize(
    "said", ["\x1b]0;title\x07", "\x1b[2J", "\x9b31m", "a\x1b[31m b", "a\nb", "\x00", "\u202e"]
)
def test_what_a_device_says_is_not_obeyed_by_a_terminal(
    said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logs(LogFormat.CONSOLE, LogLevel.INFO)
    structlog.get_logger().info("unsolicited_message", text=said)
    logging.getLogger("asyncio").warning("came: %s", said)
    first, second = capsys.readouterr().err.splitlines()
    assert f"text={said!r}" in first
    assert first.isprintable()
    assert second.isprintable()


def test_a_traceback_for_a_person_has_no_values_in_it(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(LogFormat.CONSOLE, LogLevel.INFO)
    password = "hunter2"
    for log in (structlog.get_logger(), logging.getLogger("asyncio")):
        try:
            int("broken" if password else "")
        except ValueError:
            log.exception("failed")
    told = capsys.readouterr().err
    assert told.count("ValueError: invalid literal") == 2
    assert password not in told
