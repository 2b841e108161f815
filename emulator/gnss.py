"""What a record says while the tracker has no GNSS fix."""

from teltonika.codecs import AvlRecord


def without_fix(record: AvlRecord, last: AvlRecord | None) -> AvlRecord:
    """``record`` as it is without a fix: at the place of ``last``, or at 0/0 where there is none;
    angle, satellites and speed are 0 (Teltonika Data Sending Protocols, "GPS Element")."""
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
        record.io,
    )
