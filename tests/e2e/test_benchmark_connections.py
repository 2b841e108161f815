"""`benchmarks.connections` with a handful of devices: that it measures, not what."""

import pytest

from benchmarks import connections
from benchmarks.quiet_devices import running_devices


def test_memory_is_read_at_each_size_of_one_server_that_grows() -> None:
    memory = connections.memory((5, 10))
    assert [step.connections for step in memory.growth] == [5, 10]
    assert memory.start_bytes > 0
    for step in memory.growth:
        grown = step.bytes_each * step.connections
        assert grown == pytest.approx(step.resident_bytes - memory.start_bytes)


def test_of_one_size_what_each_takes_is_what_each_more_takes() -> None:
    memory = connections.memory((5,))
    assert memory.bytes_each_more == memory.growth[0].bytes_each


def test_handshakes_are_over_before_the_registry_has_them() -> None:
    handshakes = connections.handshakes(20, at_a_time=7)
    assert handshakes.count == 20
    assert 0 < handshakes.seconds <= handshakes.registered_s
    assert handshakes.rate == pytest.approx(20 / handshakes.seconds)
    assert handshakes.server_us > 0
    assert handshakes.core_s.valkey > 0
    assert handshakes.devices_core_s > 0
    assert handshakes.limit_s > 0


def test_processor_time_is_that_of_silence_and_that_of_a_packet_a_minute() -> None:
    growth = connections.processor((10, 60), window_s=1.0, seed=1).growth
    assert [step.connections for step in growth] == [10, 60]
    assert [step.packets_per_second for step in growth] == [1, 1]
    for step in growth:
        assert 0 <= step.silent.server < 1  # so few, for so short, may wake nobody
        assert 0 < step.sending.server < 1
        assert 0 < step.sending.valkey < 1


def test_more_devices_than_the_system_allows_are_refused_in_a_sentence() -> None:
    with running_devices(1) as devices, pytest.raises(SystemExit, match=r"ulimit -Hn"):
        devices.grow(10**9, 1)


def test_devices_that_fail_end_the_run() -> None:
    with running_devices(1) as devices, pytest.raises(EOFError):
        devices.grow(1, 1)
