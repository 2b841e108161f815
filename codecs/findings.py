"""What stands in a string of bytes, whichever end of a session they come from.

Serialised to JSON the findings are the objects of `teltonika decode --json`: CONTRACT, section 2.
"""

from itertools import chain, repeat

import msgspec

from teltonika.codecs.commands import CommandMessage, MessageType
from teltonika.codecs.errors import DecodeError
from teltonika.codecs.handshake import (
    IMEI_DIGITS,
)
from teltonika.codecs.records import FIXED_WIDTHS, AvlPacket, AvlRecord, IoElements
from teltonika.codecs.registry import CODECS
from teltonika.codecs.timestamps import format_timestamp
from teltonika.codecs.udp import (
    Datagram,
)

_IMEI_LENGTH = IMEI_DIGITS.to_bytes(2)


class Finding(msgspec.Struct, frozen=True, tag_field="kind", kw_only=True):
    """One thing found: where it begins in the input, and how many bytes it takes."""

    offset: int
    length: int
    transport: str = "tcp"


class FoundImei(Finding, frozen=True, tag="imei", kw_only=True):
    """A handshake."""

    imei: str


class FoundIoElement(msgspec.Struct, frozen=True):
    """``value`` is a number, or hex where the length is variable. `with_names` adds the rest."""

    id: int
    bytes: int
    value: int | str
    name: str | msgspec.UnsetType = msgspec.UNSET
    unit: str | msgspec.UnsetType = msgspec.UNSET
    scaled: float | int | str | msgspec.UnsetType = msgspec.UNSET
    """The value in ``unit``; text of ASCII."""
    label: str | msgspec.UnsetType = msgspec.UNSET
    """What this single value says, where it says something."""


class FoundRecord(msgspec.Struct, frozen=True):
    """An AVL record with its position in degrees; units as in `AvlRecord`."""

    timestamp_ms: int
    timestamp: str
    priority: int
    longitude: float
    latitude: float
    altitude: int
    angle: int
    satellites: int
    speed: int
    event_io_id: int
    generation_type: int | None
    io: list[FoundIoElement]


class FoundAvlPacket(Finding, frozen=True, tag="avl", kw_only=True):
    """A whole packet with a right CRC, or a whole datagram, which has none."""

    codec: str
    codec_id: int
    packet_id: int | msgspec.UnsetType = msgspec.UNSET
    """UDP only, as the next two."""
    avl_packet_id: int | msgspec.UnsetType = msgspec.UNSET
    imei: str | msgspec.UnsetType = msgspec.UNSET
    records: list[FoundRecord]


class FoundMessage(Finding, frozen=True, kw_only=True):
    """A whole frame of a message codec with a right CRC, or a datagram with such a data field."""

    codec: str
    text: str
    hex: str
    """The text's bytes."""
    imei: str | msgspec.UnsetType = msgspec.UNSET
    """Codecs 14 and 15; in UDP of the datagram, where the message has none."""
    timestamp: str | msgspec.UnsetType = msgspec.UNSET
    """Codecs 13 and 15 only."""


class FoundCommand(FoundMessage, frozen=True, tag="command", kw_only=True):
    """From the server."""


class FoundResponse(FoundMessage, frozen=True, tag="response", kw_only=True):
    """A device's answer, or what it sends unasked."""


class FoundNack(FoundMessage, frozen=True, tag="nack", kw_only=True):
    """Codec 14: the command named another device."""


_MESSAGES: dict[MessageType, type[FoundCommand | FoundResponse | FoundNack]] = {
    MessageType.COMMAND: FoundCommand,
    MessageType.RESPONSE: FoundResponse,
    MessageType.SERIAL: FoundResponse,
    MessageType.NACK: FoundNack,
}


class FoundAck(Finding, frozen=True, tag="ack", kw_only=True):
    """The server's answer to a packet or a datagram: how many records it accepted."""

    accepted: int


class FoundHandshakeAnswer(Finding, frozen=True, tag="ack", kw_only=True):
    """The server's byte after a handshake."""

    imei_accepted: bool


class FoundPing(Finding, frozen=True, tag="ping", kw_only=True):
    """A run of ``FF``: ``length`` pings, with nothing between them."""


class FoundError(Finding, frozen=True, tag="error", kw_only=True):
    """What could not be decoded: ``length`` bytes, from where it went wrong."""

    error: str
    """An `ErrorCode`."""
    message: str


def found_error(error: DecodeError, end: int, transport: str = "tcp") -> FoundError:
    """``error`` as a finding whose spoilt bytes end at ``end``."""
    return FoundError(
        offset=error.offset,
        length=end - error.offset,
        transport=transport,
        error=str(error.code),
        message=error.message,
    )


def found_record(record: AvlRecord) -> FoundRecord:
    return FoundRecord(
        timestamp_ms=record.timestamp_ms,
        timestamp=format_timestamp(record.timestamp_ms),
        priority=record.priority,
        longitude=record.longitude,
        latitude=record.latitude,
        altitude=record.altitude,
        angle=record.angle,
        satellites=record.satellites,
        speed=record.speed,
        event_io_id=record.event_io_id,
        generation_type=record.generation_type,
        io=_found_elements(record.io),
    )


def _found_elements(io: IoElements) -> list[FoundIoElement]:
    """As they stand in ``io``: without an `IoElement` of each it takes half the time."""
    ids, values = io.pairs[::2], io.pairs[1::2]
    widths = chain.from_iterable(map(repeat, FIXED_WIDTHS, io.counts))
    found = list(map(FoundIoElement, ids, widths, values))
    found += [FoundIoElement(id_, len(value), value.hex()) for id_, value in io.variable]
    return found


def found_packet(
    packet: AvlPacket | CommandMessage, start: int, size: int, datagram: Datagram | None = None
) -> FoundAvlPacket | FoundMessage:
    """``packet``, which took ``size`` bytes from ``start`` on; in UDP with its datagram."""
    codec = CODECS.by_id(packet.codec_id)
    transport = "tcp" if datagram is None else "udp"
    if isinstance(packet, CommandMessage):
        sent_s = packet.timestamp_s
        return _MESSAGES[packet.type](
            offset=start,
            length=size,
            transport=transport,
            codec=codec.name,
            text=packet.text,
            hex=packet.content.hex(),
            imei=packet.imei or (msgspec.UNSET if datagram is None else datagram.imei),
            timestamp=msgspec.UNSET if sent_s is None else format_timestamp(sent_s * 1000),
        )
    return FoundAvlPacket(
        offset=start,
        length=size,
        transport=transport,
        codec=codec.name,
        codec_id=codec.codec_id,
        packet_id=msgspec.UNSET if datagram is None else datagram.packet_id,
        avl_packet_id=msgspec.UNSET if datagram is None else datagram.avl_packet_id,
        imei=msgspec.UNSET if datagram is None else datagram.imei,
        records=[found_record(record) for record in packet.records],
    )
