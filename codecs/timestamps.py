"""AVL timestamps as text."""

from datetime import date, timedelta
from functools import lru_cache

_EPOCH = date(1970, 1, 1)
_DAYS_OF_400_YEARS = 146_097
_SECONDS = tuple(f"{second:02}." for second in range(60))
_MILLISECONDS = tuple(f"{millisecond:03}Z" for millisecond in range(1000))


def format_timestamp(timestamp_ms: int) -> str:
    """ISO 8601 UTC with milliseconds and ``Z``: ``2019-06-10T10:04:46.000Z``.

    ``timestamp_ms`` is any uint64. Years past 9999, which only a broken clock sends, come in
    ISO 8601's expanded form with a sign: ``+584556019-04-03T14:25:51.615Z``.
    """
    minutes, rest = divmod(timestamp_ms, 60_000)
    seconds, milliseconds = divmod(rest, 1000)
    return _format_minute(minutes) + _SECONDS[seconds] + _MILLISECONDS[milliseconds]


@lru_cache(maxsize=256)
def _format_minute(minutes: int) -> str:
    """After so many since 1970-01-01. What is written together was mostly sent together."""
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    return f"{_format_date(days)}T{hours:02}:{minutes:02}:"


@lru_cache(maxsize=64)
def _format_date(days: int) -> str:
    """Of so many days after 1970-01-01. Devices send the same few over and over."""
    cycles, rest = divmod(days, _DAYS_OF_400_YEARS)  # the Gregorian calendar repeats
    day = _EPOCH + timedelta(days=rest)
    year = day.year + 400 * cycles
    return f"{year:04}-{day:%m-%d}" if year <= 9999 else f"+{year:06}-{day:%m-%d}"
