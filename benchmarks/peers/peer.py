"""What a peer does for the benchmark, and whether it reads what we read."""

from typing import Protocol

import msgspec

from teltonika.codecs import AvlPacket, AvlRecord, IoElement, decode_packet


class NotInstalledError(Exception):
    """Says how to install it."""


class PeerError(Exception):
    """The peer refuses the bytes, in its own words."""


class Reading(msgspec.Struct, frozen=True):
    """One record as a peer gives it. A number that is none of JSON's is None."""

    timestamp_ms: float | None
    priority: float | None
    longitude: float | None
    latitude: float | None
    altitude: float | None
    angle: float | None
    satellites: float | None
    speed: float | None
    event_io_id: float | None
    io: dict[str, str]
    """Each IO element's id and value as text."""


class Timed(msgspec.Struct, frozen=True):
    """How long so many packets took, and the records the peer found in them."""

    packets: int
    records: int
    seconds: float


class Peer(Protocol):
    """A decoder of someone else's. Each method raises `NotInstalledError` or `PeerError`."""

    @property
    def name(self) -> str: ...

    def version(self) -> str: ...

    def read(self, packet: bytes) -> list[Reading]:
        """The packet's records."""

    def time(self, packets: list[bytes]) -> Timed:
        """Decode packets, warmed up."""


def first_difference(readings: list[Reading], packet: bytes) -> str | None:
    """Where a peer's reading of the packet is not ours, or None."""
    decoded = decode_packet(packet)
    assert isinstance(decoded, AvlPacket)
    if len(readings) != len(decoded.records):
        return f"{len(readings)} records in a packet of {len(decoded.records)}"
    for number, (reading, record) in enumerate(zip(readings, decoded.records, strict=True)):
        if difference := _difference(reading, record):
            return f"record {number}: {difference}"
    return None


def _difference(reading: Reading, record: AvlRecord) -> str | None:
    fields = {
        "timestamp": (reading.timestamp_ms, record.timestamp_ms),
        "priority": (reading.priority, record.priority),
        "longitude": (reading.longitude, record.longitude_e7 / 1e7),
        "latitude": (reading.latitude, record.latitude_e7 / 1e7),
        "altitude": (reading.altitude, record.altitude),
        "angle": (reading.angle, record.angle),
        "satellites": (reading.satellites, record.satellites),
        "speed": (reading.speed, record.speed),
        "event IO id": (reading.event_io_id, record.event_io_id),
        "number of IO elements": (len(reading.io), len(record.io)),
    }
    for name, (found, expected) in fields.items():
        if found != expected:
            return f"{name} {found} instead of {expected}"
    for element in record.io:
        found_text = reading.io.get(str(element.id))
        texts = _texts(element)
        if found_text not in texts:
            return f"IO element {element.id} {found_text} instead of {texts[0]}"
    return None


def _texts(element: IoElement) -> tuple[str, ...]:
    """What a value may be read as: a fixed-width one unsigned or signed, bytes as one number."""
    if isinstance(element.value, bytes):
        return (str(int.from_bytes(element.value)),)
    return str(element.value), str(element.value - 256**element.width)
