"""The page of `teltonika top`."""

import io

import msgspec
import pytest
from rich.console import Console

from teltonika.cli.top_view import COMPLAINTS, INSTANCES, span, top_view
from teltonika.server.overview import DEVICES, InstanceState, Overview
from teltonika.server.telemetry_sample import Ages, NoisyDevice, SlowDevice


def page(overview: Overview, note: str = "") -> list[str]:
    output = io.StringIO()
    console = Console(file=output, width=80, force_terminal=False)
    console.print(top_view(overview, note))
    return output.getvalue().splitlines()


def large(instances: int) -> Overview:
    return Overview(
        ts="2026-05-04T12:00:00.000Z",
        instances=[
            InstanceState(
                instance_id=f"a-very-long-name-of-a-machine-{number}\x1b[31m-4f1c09aa",
                alive=number > 0,
                heartbeat_age_s=29.4,
                host="gate",
                port=5027,
                started_at="2026-05-04T10:00:00.000Z",
                connections=123_456,
                commands=1_234,
            )
            for number in range(instances)
        ],
        connections=1_234_567,
        connections_are_estimated=True,
        commands=12_345,
        records_per_s=123_456.7,
        stream_length=1_000_000,
        sampled=0.0123,
        ages=Ages(-86_400.0, 172_000.0, 1e9),
        noisiest=[NoisyDevice("356307042441013", 12_345.678)] * DEVICES,
        slowest=[SlowDevice("356307042441013", 1e9)] * DEVICES,
    )


def test_the_largest_page_fits_an_old_terminal() -> None:
    lines = page(large(INSTANCES))
    assert max(map(len, lines)) <= 80
    assert len(lines) <= 25
    assert sum("356307042441013" in line for line in lines) == DEVICES
    assert "1,234,567 connections" in lines[0]


def test_what_is_wrong_and_what_does_not_fit_is_told() -> None:
    lines = page(large(INSTANCES + 3), "Redis is away: \x1b]0;no")
    assert any("Redis is away" in line for line in lines)
    assert any("and 3 more" in line for line in lines)
    assert not any("\x1b" in line for line in lines)


def test_keys_that_cannot_be_read_are_named() -> None:
    complaints = [f"key-{number}: of a wrong type \x1b[2J" for number in range(COMPLAINTS + 2)]
    lines = page(msgspec.structs.replace(large(1), complaints=complaints))
    assert sum("of a wrong type" in line for line in lines) == COMPLAINTS
    assert any("and 2 more keys" in line for line in lines)
    assert not any("\x1b" in line for line in lines)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (-2.5, "-2.5 s"),
        (45.0, "45 s"),
        (720.0, "12 min"),
        (12_600.0, "3.5 h"),
        (1e9, "11,574 d"),
    ],
)
def test_spans_are_in_a_person_s_units(seconds: float, text: str) -> None:
    assert span(seconds) == text
