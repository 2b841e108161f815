"""Logs on standard error: one JSON object a line, or text for a person."""

import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog

from teltonika.server import logs
from teltonika.server.logs import LogFormat, LogLevel, lines_dropped
from teltonika.server.queued_stream import QueuedStream

ReadLines = Callable[[], list[dict[str, Any]]]


_streams: list[QueuedStream] = []


def configure_logs(log_format: LogFormat, level: LogLevel) -> None:
    _streams.append(logs.configure_logs(log_format, level))


def captured(capsys: pytest.CaptureFixture[str]) -> str:
    """What was logged since the last call, once all of it is written."""
    assert _streams[-1].finish(60)
    return capsys.readouterr().err


@pytest.fixture(autouse=True)
def _logs_as_they_were(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    level = logging.root.level
    monkeypatch.setattr(logging.root, "handlers", [])
    yield
    logging.root.setLevel(level)
    structlog.reset_defaults()


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> ReadLines:
    """What was logged since the last call, each line read as JSON."""

    def read() -> list[dict[str, Any]]:
        return [json.loads(line) for line in captured(capsys).splitlines()]

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
    (line,) = captured(capsys).splitlines()
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
    first, second = captured(capsys).splitlines()
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
    told = captured(capsys)
    assert told.count("ValueError: invalid literal") == 2
    assert password not in told


class _Unprintable:
    def __repr__(self) -> str:
        raise LookupError("a bug of ours")

    __str__ = __repr__


@pytest.mark.parametrize("log_format", LogFormat)
def test_a_line_that_cannot_be_rendered_stops_nobody_and_is_reported(
    log_format: LogFormat, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logs(log_format, LogLevel.INFO)
    structlog.get_logger().info("device_connected", imei=_Unprintable())
    logging.getLogger("asyncio").warning("%s", _Unprintable())
    logging.getLogger("asyncio").warning("%d", "of a wrong type")
    assert lines_dropped() == 3
    told = captured(capsys)
    assert "log_lines_dropped" in told
    assert "Traceback" not in told
    assert "device_connected" not in told


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), RuntimeError("odd")])
def test_what_cannot_be_written_is_counted_and_reported_when_writing_works_again(
    error: Exception, lines: ReadLines, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure_logs(LogFormat.JSON, LogLevel.INFO)

    def fail(_: str) -> int:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(_streams[-1].stream, "write", fail)
        for log in (structlog.get_logger(), logging.getLogger("asyncio")):
            log.warning("lost")
        assert _streams[-1].finish(60)
    assert lines_dropped() == 2
    structlog.get_logger().warning("there again")
    there, report = lines()
    assert there["event"] == "there again"
    assert (report["event"], report["lines"]) == ("log_lines_dropped", 2)
    assert str(error).removeprefix("[Errno 28] ") in report["reason"]
    assert report["level"] == "warning"
    assert "timestamp" in report


def test_the_report_names_the_worker_as_every_line_does(lines: ReadLines) -> None:
    with structlog.contextvars.bound_contextvars(worker=2):
        configure_logs(LogFormat.JSON, LogLevel.INFO)
    _streams[-1].drop(1, "for a test")
    (report,) = lines()
    assert report["worker"] == 2
