"""What a record says while the tracker has no GNSS fix."""

from itertools import chain

from teltonika.codecs import AvlRecord, IoElements

GNSS_STATUS = 69  # 1: on, with a fix; 2: on, without one
SPEED = 24  # km/h

_WITHOUT_FIX = {GNSS_STATUS: 2, SPEED: 0}


def without_fix(record: AvlRecord, last: AvlRecord | None) -> AvlRecord:
    """``record`` as it is without a fix: at the place of ``last``, or at 0/0 where there is none;
    angle, satellites and speed are 0 (Teltonika Data Sending Protocols, "GPS Element")."""
    io = record.io
    ids, values = io.pairs[::2], io.pairs[1::2]
    elements = zip(ids, map(_WITHOUT_FIX.get, ids, values), strict=True)
    return AvlRecord(
        record.timestamp_ms,
        record.priority,
        last.longitude_e7 if last else 0,
        last.latitude_e7 if last else 0,
        last.altitude if last else 0,
        0,
        0,
        0,
        record.event_io_id,
        record.generation_type,
        IoElements(io.counts, tuple(chain.from_iterable(elements)), io.variable),
    )
