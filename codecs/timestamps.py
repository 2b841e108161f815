"""AVL timestamps as text."""

from datetime import date, timedelta
from functools import lru_cache

_EPOCH = date(1970, 1, 1)
_DAYS_OF_400_YEARS = 146_097


def format_timestamp(timestamp_ms: int) -> str:
    """ISO 8601 UTC with milliseconds and ``Z``: ``2019-06-10T10:04:46.000Z``.

    ``timestamp_ms`` is any uint64. Years past 9999, which only a broken clock sends, come in
    ISO 8601's expanded form with a sign: ``+584556019-04-03T14:25:51.615Z``.
    """
    seconds, milliseconds = divmod(timestamp_ms, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    time = (_format_date(days), hours, minutes, seconds, milliseconds)
    return "%sT%02d:%02d:%02d.%03dZ" % time  # noqa: UP031 - half the time of an f-string


@lru_cache(maxsize=64)
def _format_date(days: int) -> str:
    """Of so many days after 1970-01-01. Devices send the same few over and over."""
    cycles, rest = divmod(days, _DAYS_OF_400_YEARS)  # the Gregorian calendar repeats
    day = _EPOCH + timedelta(days=rest)
    year = day.year + 400 * cycles
    return f"{year:04}-{day:%m-%d}" if year <= 9999 else f"+{year:06}-{day:%m-%d}"
