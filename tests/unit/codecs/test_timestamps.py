"""AVL timestamps as ISO 8601."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from teltonika.codecs.timestamps import format_timestamp


@pytest.mark.parametrize(
    ("timestamp_ms", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1_560_161_086_000, "2019-06-10T10:04:46.000Z"),
        (1_560_161_086_007, "2019-06-10T10:04:46.007Z"),
        (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
        (253_402_300_800_000, "+010000-01-01T00:00:00.000Z"),
        (8_640_000_000_000_000, "+275760-09-13T00:00:00.000Z"),  # JavaScript's last date
        (2**64 - 1, "+584556019-04-03T14:25:51.615Z"),
    ],
)
def test_iso_8601(timestamp_ms: int, text: str) -> None:
    assert format_timestamp(timestamp_ms) == text


@given(st.integers(0, 253_402_300_799_999))
def test_it_is_what_datetime_reads(timestamp_ms: int) -> None:
    moment = datetime.fromisoformat(format_timestamp(timestamp_ms))
    seconds = (moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()
    assert round(seconds * 1000) == timestamp_ms
