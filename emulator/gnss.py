"""What a record says while the tracker has no GNSS fix."""

import msgspec

from teltonika.codecs import AvlRecord


def without_fix(record: AvlRecord, last: AvlRecord | None) -> AvlRecord:
    """``record`` as it is without a fix: at the place of ``last``, or at 0/0 where there is none;
    angle, satellites and speed are 0 (Teltonika Data Sending Protocols, "GPS Element")."""
    return msgspec.structs.replace(
        record,
        longitude_e7=last.longitude_e7 if last else 0,
        latitude_e7=last.latitude_e7 if last else 0,
        altitude=last.altitude if last else 0,
        angle=0,
        satellites=0,
        speed=0,
    )
