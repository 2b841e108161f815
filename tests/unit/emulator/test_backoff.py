"""Delays before reconnecting."""

from random import Random

from teltonika.emulator.backoff import Backoff


class Unlucky(Random):
    """Always the longest delay."""

    def uniform(self, a: float, b: float) -> float:
        return b


def test_delays_double_up_to_the_cap_and_begin_anew_after_a_reset() -> None:
    backoff = Backoff(0.25, 3.0, Unlucky())
    assert [backoff.next_delay() for _ in range(6)] == [0.25, 0.5, 1.0, 2.0, 3.0, 3.0]
    backoff.reset()
    assert backoff.next_delay() == 0.25


def test_no_two_devices_come_back_together() -> None:
    delays = [Backoff(1.0, 1.0, Random(seed)).next_delay() for seed in range(100)]
    assert len(set(delays)) == 100
    assert all(0.5 <= delay <= 1.0 for delay in delays)
