"""Moments on the command line: so long ago, or a time."""

import re
from datetime import UTC, datetime

from teltonika.server.follow import Start

_UNITS_MS = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1000}
_AGE = re.compile(r"(?:\d{1,6}[dhms])+", re.ASCII)


def parse_since(text: str) -> Start:
    """``90s``, ``30m``, ``1h30m``, ``2d``, or ISO 8601, UTC where it names no zone.

    Raises ValueError.
    """
    if _AGE.fullmatch(text):
        parts = re.findall(r"(\d+)(\D)", text)
        return Start(age_ms=sum(int(count) * _UNITS_MS[unit] for count, unit in parts))
    try:
        at = datetime.fromisoformat(text)
        at = at if at.tzinfo else at.replace(tzinfo=UTC)
        return Start(at_ms=max(0, round(at.timestamp() * 1000)))
    except (ValueError, OverflowError):
        raise ValueError(
            f"expected how long ago, such as 90s, 30m, 1h or 2d, or a time such as "
            f"2026-05-04T12:00:00Z, found {text!r}"
        ) from None
