"""When records are of."""

import pytest

from teltonika.emulator import EmulatorSettings

NOW_MS = 1_760_000_000_000


def last_timestamp_of_first_packet(settings: EmulatorSettings) -> int:
    k = settings.records_per_packet
    return settings.first_timestamp_ms(NOW_MS) + round((k - 1) * settings.period_s * 1000)


@pytest.mark.parametrize("records_per_packet", [1, 10, 255])
def test_a_packet_ends_with_a_record_of_the_moment_it_is_due(records_per_packet: int) -> None:
    settings = EmulatorSettings(interval_s=5.0, records_per_packet=records_per_packet)
    assert last_timestamp_of_first_packet(settings) == NOW_MS


def test_records_share_the_interval_and_never_a_millisecond() -> None:
    assert EmulatorSettings(interval_s=5.0, records_per_packet=10).period_s == 0.5
    assert EmulatorSettings(interval_s=0.01, records_per_packet=255).period_s == 0.001
    assert EmulatorSettings(interval_s=0.0, records_per_packet=255).period_s == 1.0


def test_without_an_interval_the_records_end_now() -> None:
    settings = EmulatorSettings(interval_s=0.0, records=100)
    assert settings.first_timestamp_ms(NOW_MS) == NOW_MS - 100_000


def test_without_an_interval_and_for_ever_they_begin_a_year_ago() -> None:
    settings = EmulatorSettings(interval_s=0.0, records=0)
    assert settings.first_timestamp_ms(NOW_MS) == NOW_MS - 365 * 86_400_000


@pytest.mark.parametrize("interval_s", [0.0, 1.0])
def test_a_start_time_is_the_first_records_time(interval_s: float) -> None:
    settings = EmulatorSettings(interval_s=interval_s, start_ms=123, records_per_packet=7)
    assert settings.first_timestamp_ms(NOW_MS) == 123
