"""One entry of the telemetry stream, as a consumer gets it."""

from collections.abc import Mapping
from datetime import datetime

import msgspec

from teltonika.codecs import IoElement, IoMeaning, describe_record
from teltonika.server.telemetry import EntryError, read_entry


class Record(msgspec.Struct, frozen=True):
    """One AVL record."""

    entry_id: str
    """On its shard's stream; begins with the epoch milliseconds when Redis took it."""
    deliveries: int
    """How often Redis has given it to a consumer of the group: 1 is the first time."""
    codec: str
    """``8``, ``8E`` or ``16``."""
    payload: bytes
    """The JSON that all of this comes from, as it stands on the stream."""
    imei: str
    timestamp: str
    """The GNSS time: ISO 8601, UTC, with milliseconds and ``Z``."""
    latitude: float
    """Degrees."""
    longitude: float
    """Degrees."""
    altitude: int
    """Metres."""
    angle: int
    """Degrees from north, clockwise."""
    speed: int
    """km/h."""
    satellites: int
    """In view; 0: there is no fix."""
    priority: int
    """0 low, 1 high, 2 panic."""
    event_io_id: int
    """The IO id that caused the record; 0: none did."""
    generation_type: int | None
    """Why the record was made; codec 16 only."""
    elements: dict[int, IoElement]
    """By IO id. How wide a number was on the wire the stream does not say: 0."""

    @property
    def time(self) -> datetime | None:
        """The timestamp; None for a year past 9999, which only a broken clock sends."""
        try:
            return datetime.fromisoformat(self.timestamp)
        except ValueError:
            return None

    @property
    def attributes(self) -> dict[int, int | bytes]:
        """IO id to its value as it came: unsigned, or bytes where the length varies."""
        return {io_id: element.value for io_id, element in self.elements.items()}

    def named(self, model: str | None = None) -> list[IoMeaning]:
        """The IO elements that the dictionary has: name, scaled value, unit, what the value says.

        ``model`` is such as FMB920; without one they are what most models mean. Raises ValueError
        for a model that the dictionary does not have.
        """
        found = describe_record(self.elements.values(), model)
        return [meaning for meaning in found if meaning is not None]


class RejectedEntry(msgspec.Struct, frozen=True):
    """An entry that is no telemetry: somebody else has written it."""

    entry_id: str
    deliveries: int
    fields: Mapping[bytes, bytes]
    reason: str


def read_record(
    entry_id: str, fields: Mapping[bytes, bytes], deliveries: int = 1
) -> Record | RejectedEntry:
    """Never raises for what stands on a stream."""
    try:
        read = read_entry(fields)
        elements = read.elements()
    except EntryError as error:
        return RejectedEntry(entry_id, deliveries, fields, str(error))
    return Record(
        entry_id,
        deliveries,
        fields.get(b"codec", b"").decode("utf-8", "replace"),
        fields[b"payload"],
        read.device_id,
        read.timestamp,
        read.latitude,
        read.longitude,
        read.altitude,
        read.angle,
        read.speed,
        read.satellites,
        read.priority,
        read.event_io_id,
        read.generation_type,
        elements,
    )
