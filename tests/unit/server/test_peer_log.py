"""How many log lines an address may cause, and what is told of the others."""

import logging
from collections.abc import Iterator

import pytest
import structlog
from structlog.testing import LogCapture

from teltonika.server.counters import Counters
from teltonika.server.peer_log import MAX_ADDRESSES, PERIOD_S, TOLD_ADDRESSES, PeerLog


@pytest.fixture
def lines() -> Iterator[list[dict[str, object]]]:
    """What is logged at info and above."""
    capture = LogCapture()
    old = structlog.get_config()
    structlog.configure(
        processors=[capture],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        cache_logger_on_first_use=False,
    )
    yield capture.entries
    structlog.configure(**old)


def say(log: PeerLog, address: str, times: int, level: int = logging.INFO) -> None:
    for _ in range(times):
        log.say(level, address, "knock", peer=address)


def test_each_address_has_its_own_lines(lines: list[dict[str, object]]) -> None:
    counters = Counters()
    log = PeerLog(3, counters)
    say(log, "a", 5)
    say(log, "b", 2)
    assert [line["peer"] for line in lines] == ["a"] * 3 + ["b"] * 2
    assert counters.log_lines_left_out == 2


def test_the_next_minute_begins_anew_and_tells_of_the_last(
    lines: list[dict[str, object]],
) -> None:
    log = PeerLog(1, Counters())
    log.tick(100.0)
    say(log, "a", 5)
    log.tick(100.0 + PERIOD_S - 1)
    say(log, "a", 1)
    assert len(lines) == 1
    log.tick(100.0 + PERIOD_S)
    assert lines[1]["event"] == "log_lines_left_out"
    assert (lines[1]["address"], lines[1]["lines"]) == ("a", 5)
    say(log, "a", 1)
    log.tick(100.0 + 2 * PERIOD_S)
    assert len(lines) == 3


def test_no_limit_leaves_nothing_out(lines: list[dict[str, object]]) -> None:
    log = PeerLog(0, Counters())
    say(log, "a", 1_000)
    log.flush()
    assert len(lines) == 1_000


def test_lines_below_the_level_do_not_count(lines: list[dict[str, object]]) -> None:
    log = PeerLog(1, Counters())
    say(log, "a", 10, logging.DEBUG)
    say(log, "a", 1)
    assert len(lines) == 1


def test_a_flood_of_addresses_is_bounded_too(lines: list[dict[str, object]]) -> None:
    log = PeerLog(1, Counters())
    for number in range(2 * MAX_ADDRESSES):
        say(log, f"2001:db8::{number:x}", 1)
    assert len(lines) == MAX_ADDRESSES + 1  # those, and one line for all others together


def test_the_loudest_are_told_by_name_and_the_others_in_one_line(
    lines: list[dict[str, object]],
) -> None:
    log = PeerLog(1, Counters())
    for number in range(TOLD_ADDRESSES + 5):
        say(log, f"192.0.2.{number}", 2 + number)
    lines.clear()
    log.flush()
    assert [line.get("address") for line in lines] == [
        *(f"192.0.2.{number}" for number in range(TOLD_ADDRESSES + 4, 4, -1)),
        None,
    ]
    assert (lines[-1]["addresses"], lines[-1]["lines"]) == (5, 1 + 2 + 3 + 4 + 5)
