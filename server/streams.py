"""The shape of what is written to Redis: the fields of CONTRACT, section 1."""

import base64
from typing import Any

import msgspec

from teltonika.codecs import AVL_CODECS, AvlPacket, AvlRecord
from teltonika.codecs.timestamps import format_timestamp
from teltonika.server.dedupe import KEPT_RECORDS, packet_digests

MAX_SAFE_INTEGER = 2**53 - 1
"""The largest integer that a JavaScript reader of JSON keeps exactly."""

CODEC_NAMES = {codec.codec_id: codec.name for codec in AVL_CODECS}


class BigInt(msgspec.Struct, frozen=True):
    """A value over `MAX_SAFE_INTEGER`, in decimal."""

    value: str = msgspec.field(name="__bigint")


class Buffer(msgspec.Struct, frozen=True):
    """A variable-length value, in base64."""

    value: str = msgspec.field(name="__buffer_b64")


AttributeValue = int | BigInt | Buffer


class Payload(msgspec.Struct, frozen=True):
    """``payload`` of an entry: one AVL record as JSON."""

    device_id: str
    timestamp: str
    """ISO 8601, UTC, milliseconds."""
    latitude: float
    """Degrees."""
    longitude: float
    altitude: int
    """Metres."""
    angle: int
    """Degrees from north."""
    speed: int
    """km/h."""
    satellites: int
    priority: int
    event_io_id: int
    attributes: dict[int, AttributeValue]
    """IO id (a decimal string in JSON) to its value as it came."""
    generation_type: int | msgspec.UnsetType = msgspec.UNSET
    """Codec 16 only."""


def attributes(record: AvlRecord) -> dict[int, AttributeValue]:
    """A record's IO elements by id; of an id that stands twice the last value."""
    io = record.io
    values: dict[int, Any] = io.by_id()
    eight_bytes_wide = io.pairs[-2 * io.counts[3] :: 2] if io.counts[3] else ()
    for io_id in {*eight_bytes_wide, *dict(io.variable)}:  # no other needs more than a number
        values[io_id] = _attribute(values[io_id])
    return values


def packet_arguments(
    imei: str, packet: AvlPacket, maxlen: int, connection: bytes
) -> tuple[tuple[str | bytes | int, ...], int]:
    """The script's arguments for a packet, and how many values repeated ids took from it."""
    codec = CODEC_NAMES[packet.codec_id]
    digests = packet_digests(packet)
    arguments: list[str | bytes | int] = [*(maxlen, imei, codec, digests, KEPT_RECORDS, connection)]
    repeated = 0
    for record in packet.records:
        timestamp = format_timestamp(record.timestamp_ms)
        values = attributes(record)
        repeated += len(record.io) - len(values)
        reason = record.generation_type
        payload = Payload(
            imei,
            timestamp,
            record.latitude,
            record.longitude,
            record.altitude,
            record.angle,
            record.speed,
            record.satellites,
            record.priority,
            record.event_io_id,
            values,
            msgspec.UNSET if reason is None else reason,
        )
        arguments += (timestamp, _encode(payload))
    return tuple(arguments), repeated


def _attribute(value: int | bytes) -> AttributeValue:
    if isinstance(value, bytes):
        return Buffer(base64.b64encode(value).decode("ascii"))
    if value > MAX_SAFE_INTEGER:
        return BigInt(str(value))
    return value


_encode = msgspec.json.Encoder().encode
