"""What must stand on the stream for a record: CONTRACT's payload, put together a second time.

Nothing of the server has a part in it, so that it can judge the server.
"""

import base64
from typing import Any

from teltonika.codecs import AvlRecord


def expected_payload(imei: str, record: dict[str, Any]) -> dict[str, Any]:
    """From a record as `teltonika decode --json` and the samples have it."""
    payload = {
        name: record[name]
        for name in (
            *("timestamp", "latitude", "longitude", "altitude", "angle", "speed"),
            *("satellites", "priority", "event_io_id"),
        )
    }
    payload["device_id"] = imei
    if record["generation_type"] is not None:
        payload["generation_type"] = record["generation_type"]
    payload["attributes"] = {str(e["id"]): _attribute(e["value"]) for e in record["io"]}
    return payload


def fields_of(record: AvlRecord, timestamp: str) -> dict[str, Any]:
    """A record in that same shape."""
    names = (
        *("latitude", "longitude", "altitude", "angle", "speed", "satellites"),
        *("priority", "event_io_id", "generation_type"),
    )
    fields = {name: getattr(record, name) for name in names}
    io = [
        {"id": e.id, "value": e.value.hex() if isinstance(e.value, bytes) else e.value}
        for e in record.io
    ]
    return {**fields, "timestamp": timestamp, "io": io}


def _attribute(value: int | str) -> Any:
    if isinstance(value, str):
        return {"__buffer_b64": base64.b64encode(bytes.fromhex(value)).decode()}
    return value if value < 2**53 else {"__bigint": str(value)}
