"""Moments as they are written on the command line."""

import pytest

from teltonika.cli.since import parse_since
from teltonika.server.follow import Start


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("90s", Start(age_ms=90_000)),
        ("1h30m", Start(age_ms=5_400_000)),
        ("2d", Start(age_ms=172_800_000)),
        ("1970-01-01T00:01:00Z", Start(at_ms=60_000)),
        ("1970-01-01T01:00:01+01:00", Start(at_ms=1_000)),
        ("1970-01-02", Start(at_ms=86_400_000)),
        ("0001-01-01", Start(at_ms=0)),
    ],
)
def test_an_age_or_a_time(text: str, start: Start) -> None:
    assert parse_since(text) == start


@pytest.mark.parametrize("text", ["", "1", "h", "1w", "-1h", "1.5h", "9999999d"])
def test_anything_else_is_refused_in_a_sentence(text: str) -> None:
    with pytest.raises(ValueError, match="expected how long ago"):
        parse_since(text)
