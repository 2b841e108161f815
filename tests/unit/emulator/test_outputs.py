"""A digital output, and what a time limit does to it."""

import pytest

from teltonika.emulator import DigitalOutput


def test_without_a_time_limit_it_stays_as_it_was_set() -> None:
    output = DigitalOutput()
    assert output.level == 0
    output.set(1, 0, now_ms=1_000)
    output.tick(10**15)
    assert (output.level, output.timeout_s) == (1, 0)


@pytest.mark.parametrize("before", [0, 1])
def test_a_time_limit_ends_with_the_level_that_was_there_before(before: int) -> None:
    output = DigitalOutput()
    output.set(before, 0, now_ms=0)
    output.set(1 - before, 5, now_ms=1_000)
    output.tick(5_999)
    assert (output.level, output.timeout_s) == (1 - before, 5)
    output.tick(6_000)
    assert (output.level, output.timeout_s) == (before, 0)


def test_the_same_command_again_begins_the_time_anew_and_does_not_keep_the_level() -> None:
    output = DigitalOutput()
    output.set(1, 5, now_ms=0)
    output.set(1, 5, now_ms=4_000)
    output.tick(8_999)
    assert output.level == 1
    output.tick(9_000)
    assert output.level == 0


def test_a_command_without_a_limit_ends_the_limit_before() -> None:
    output = DigitalOutput()
    output.set(1, 5, now_ms=0)
    output.set(1, 0, now_ms=1_000)
    output.tick(10_000)
    assert output.level == 1
