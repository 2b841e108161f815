"""The shape of what is written to Redis: the fields of CONTRACT, section 1."""

import base64
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from teltonika.codecs import AVL_CODECS, AvlPacket, AvlRecord
from teltonika.codecs.timestamps import format_timestamp
from teltonika.server.dedupe import KEPT_RECORDS, packet_digests
from teltonika.server.entry_fields import Hex, Imei, Timestamp

MAX_SAFE_INTEGER = 2**53 - 1
"""The largest integer that a JavaScript reader of JSON keeps exactly."""

_BASE64: dict[str, object] = {"contentEncoding": "base64"}

CODEC_NAMES = {codec.codec_id: codec.name for codec in AVL_CODECS}


class WrappedValue(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A value that a number in JSON cannot hold. It has one of the two fields."""

    bigint: (
        Annotated[
            str, Meta(pattern="^[0-9]+$", description="Of 8 bytes and over 2^53 - 1, in decimal.")
        ]
        | msgspec.UnsetType
    ) = msgspec.field(name="__bigint", default=msgspec.UNSET)
    buffer: (
        Annotated[
            str, Meta(description="Of variable length, in base64.", extra_json_schema=_BASE64)
        ]
        | msgspec.UnsetType
    ) = msgspec.field(name="__buffer_b64", default=msgspec.UNSET)


AttributeValue = Annotated[int, Meta(ge=0, le=MAX_SAFE_INTEGER)] | WrappedValue


class Payload(msgspec.Struct, frozen=True):
    """`payload` of a telemetry entry: one AVL record as JSON."""

    device_id: Imei
    timestamp: Annotated[Timestamp, Meta(description="The record's GNSS time.")]
    latitude: Annotated[
        float, Meta(ge=-214.7483648, le=214.7483647, description="Degrees; what the device says.")
    ]
    longitude: Annotated[
        float, Meta(ge=-214.7483648, le=214.7483647, description="Degrees; what the device says.")
    ]
    altitude: Annotated[int, Meta(ge=-32_768, le=32_767, description="Metres.")]
    angle: Annotated[int, Meta(ge=0, le=65_535, description="Degrees from north, clockwise.")]
    speed: Annotated[int, Meta(ge=0, le=65_535, description="km/h.")]
    satellites: Annotated[int, Meta(ge=0, le=255, description="In view; 0: there is no fix.")]
    priority: Annotated[int, Meta(ge=0, le=255, description="0 low, 1 high, 2 panic.")]
    event_io_id: Annotated[
        int,
        Meta(ge=0, le=65_535, description="The IO id that caused the record; 0: none did."),
    ]
    attributes: Annotated[
        dict[int, AttributeValue],
        Meta(
            description="IO id, as a decimal string, to its value as it came: unsigned.",
            extra_json_schema={"propertyNames": {"pattern": "^[0-9]{1,5}$"}},
        ),
    ]
    generation_type: (
        Annotated[int, Meta(ge=0, le=255, description="Why the record was made; codec 16 only.")]
        | msgspec.UnsetType
    ) = msgspec.UNSET


class TelemetryEntry(msgspec.Struct, frozen=True):
    """One AVL record, as `store_packet.lua` writes it."""

    ts: Annotated[Timestamp, Meta(description="The record's GNSS time.")]
    device_id: Imei
    codec: Annotated[Literal["8", "8E", "16"], Meta(description="The packet's.")]
    payload: Annotated[str, Meta(description="The record, as JSON: `Payload`.")]


class MessageEntry(msgspec.Struct, frozen=True):
    """A text that a device sent and no command waits for."""

    ts: Annotated[
        Timestamp,
        Meta(description="The device's own time where the codec has one (13, 15), else now."),
    ]
    device_id: Imei
    codec: Annotated[str, Meta(pattern="^1[2345]$", description="The message's.")]
    text: Annotated[str, Meta(description=r"The content; what is not UTF-8 is written as `\xff`.")]
    hex: Annotated[Hex, Meta(description="The content's bytes.")]


def attributes(record: AvlRecord) -> dict[int, AttributeValue]:
    """A record's IO elements by id; of an id that stands twice the last value."""
    io = record.io
    pairs = io.pairs
    reading = iter(pairs)
    values: dict[int, AttributeValue] = dict(zip(reading, reading))  # noqa: B905 - as many of both
    for io_id in pairs[-2 * io.counts[3] :: 2] if io.counts[3] else ():
        value = values[io_id]  # 8 bytes wide: no narrower one can be more than a number
        if isinstance(value, int) and value > MAX_SAFE_INTEGER:
            values[io_id] = WrappedValue(bigint=str(value))
    for io_id, content in io.variable:
        values[io_id] = WrappedValue(buffer=base64.b64encode(content).decode("ascii"))
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


_encode = msgspec.json.Encoder().encode
