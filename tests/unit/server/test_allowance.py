"""So much a second, and so much at once."""

from teltonika.server.allowance import Allowance, Allowances


def test_what_is_within_the_burst_is_allowed_at_once() -> None:
    allowance = Allowance(rate=10, burst=100)
    assert allowance.use(100, now=1_000.0) == 0.0
    assert allowance.use(5, now=1_000.0) == 0.5
    assert allowance.wait_s(now=1_000.25) == 0.25
    assert allowance.wait_s(now=1_000.5) == 0.0


def test_what_was_used_comes_back_and_no_more_than_that() -> None:
    allowance = Allowance(rate=10, burst=100)
    allowance.use(60, now=0.0)
    assert allowance.use(100, now=3_600.0) == 0.0
    assert allowance.use(1, now=3_600.0) == 0.1


def test_a_name_that_comes_again_does_not_begin_anew() -> None:
    allowances = Allowances(rate=1, burst=10)
    first = allowances.of("a device")
    assert first is not None
    first.use(15, now=0.0)
    assert allowances.of("a device") is first
    assert allowances.wait_s("a device", now=0.0) == 5.0
    assert allowances.wait_s("another", now=0.0) == 0.0


def test_only_so_many_names_are_kept_and_the_last_ones() -> None:
    allowances = Allowances(rate=1, burst=10, most=2)
    first, second = allowances.of("first"), allowances.of("second")
    assert allowances.of("first") is first
    allowances.of("third")
    assert allowances.of("first") is first
    assert allowances.of("second") is not second


def test_a_rate_of_0_is_no_limit() -> None:
    assert Allowances(rate=0, burst=0).of("a device") is None
