"""AVL timestamps as text."""

from datetime import datetime, timedelta

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - UTC by definition; naive arithmetic is exact
_LAST_MS_OF_YEAR_9999 = 253_402_300_799_999
_MS_OF_400_YEARS = 146_097 * 86_400_000


def format_timestamp(timestamp_ms: int) -> str:
    """ISO 8601 UTC with milliseconds and ``Z``: ``2019-06-10T10:04:46.000Z``.

    ``timestamp_ms`` is any uint64. Years past 9999, which only a broken clock sends, come in
    ISO 8601's expanded form with a sign: ``+584556019-04-03T14:25:51.615Z``.
    """
    if timestamp_ms <= _LAST_MS_OF_YEAR_9999:
        moment = _EPOCH + timedelta(milliseconds=timestamp_ms)
        return f"{moment.isoformat(timespec='milliseconds')}Z"
    # The Gregorian calendar repeats every 400 years.
    cycles, rest = divmod(timestamp_ms, _MS_OF_400_YEARS)
    moment = _EPOCH + timedelta(milliseconds=rest)
    return f"+{moment.year + 400 * cycles:06d}{moment.isoformat(timespec='milliseconds')[4:]}Z"
