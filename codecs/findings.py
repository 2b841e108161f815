"""What stands in a string of bytes, whichever end of a session they come from.

Serialised to JSON the findings are the objects of `teltonika decode --json`: CONTRACT, section 2.
"""

from collections.abc import Iterator

import msgspec

from teltonika.codecs.commands import CommandMessage, MessageType
from teltonika.codecs.errors import DecodeError, ErrorCode, FramingError
from teltonika.codecs.framing import (
    HEADER_SIZE,
    MAX_PACKET_SIZE,
    PING,
    checked_data,
    decode_data,
    packet_size,
    truncated_packet,
)
from teltonika.codecs.handshake import (
    ACCEPTED,
    IMEI_DIGITS,
    IMEI_FRAME_SIZE,
    REJECTED,
    decode_imei,
)
from teltonika.codecs.records import AvlPacket, AvlRecord
from teltonika.codecs.registry import CODECS
from teltonika.codecs.timestamps import format_timestamp
from teltonika.codecs.udp import (
    ANSWER_SIZE,
    ENVELOPE_SIZE,
    MIN_DATAGRAM_SIZE,
    Datagram,
    begins_datagram,
    datagram_size,
    decode_answer,
    decode_datagram,
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
    """``value`` is a number, or hex where the length is variable."""

    id: int
    bytes: int
    value: int | str


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
    """A single ``FF``."""


class FoundError(Finding, frozen=True, tag="error", kw_only=True):
    """What could not be decoded: ``length`` bytes, from where it went wrong."""

    error: str
    """An `ErrorCode`."""
    message: str


def find_packets(data: bytes, max_packet_size: int = MAX_PACKET_SIZE) -> Iterator[Finding]:
    """Everything in ``data``, in order. Never raises for what the bytes are.

    A packet or datagram whose inside is wrong is an error, and reading goes on behind it; bytes
    that no known thing begins with are an error too, and the last finding.

    Where bytes can be read in two ways: ``00 0F`` and a digit begin a handshake; four zero bytes
    begin a packet, and are an ACK of 0 records only where the input ends with them; a ``01`` at
    the start or behind a handshake answers one, if what follows could; a lone ``00`` there does.
    """
    position = 0
    after_imei = True  # an input may begin with the server's answer
    while position < len(data):
        try:
            finding = _find(data, position, max_packet_size, after_imei=after_imei)
        except DecodeError as error:
            yield found_error(error, len(data))
            return
        yield finding
        after_imei = isinstance(finding, FoundImei)
        position = finding.offset + finding.length


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
        io=[
            FoundIoElement(
                element.id,
                element.width,
                element.value.hex() if isinstance(element.value, bytes) else element.value,
            )
            for element in record.io
        ],
    )


def _find(data: bytes, start: int, max_packet_size: int, *, after_imei: bool) -> Finding:
    """The one thing at ``start``. Raises DecodeError where nothing can be read on."""
    rest = len(data) - start
    if data[start] == PING:
        return FoundPing(offset=start, length=1)
    if (found := _find_udp(data, start)) is not None:
        return found
    if data[start : start + 2] == _IMEI_LENGTH and data[start + 2 : start + 3].isdigit():
        imei = decode_imei(data[start : start + IMEI_FRAME_SIZE], start)
        return FoundImei(offset=start, length=IMEI_FRAME_SIZE, imei=imei)
    if after_imei and (answer := _handshake_answer(data, start)) is not None:
        return answer
    head = data[start : start + 4]
    if len(head) == 4 and head[:3] == bytes(3) and (head[3] or rest == 4):
        return FoundAck(offset=start, length=4, accepted=head[3])
    if data[start] == 0:
        return _find_packet(data, start, max_packet_size)
    raise FramingError(
        ErrorCode.UNRECOGNISED,
        start,
        f"byte {start}: 0x{data[start]:02X} begins neither a handshake nor a packet, "
        "an acknowledgement or a ping",
        found=data[start],
    )


def _find_packet(data: bytes, start: int, max_packet_size: int) -> Finding:
    size = packet_size(data, start, max_packet_size, start)
    if size is None or start + size > len(data):
        raise truncated_packet(len(data) - start, size, start)
    end = start + size
    try:
        packet = decode_data(checked_data(data[start:end], start), start + HEADER_SIZE)
    except DecodeError as error:
        return found_error(error, end)  # its length is known: what follows it can be read
    return found_packet(packet, start, size)


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


def _handshake_answer(data: bytes, start: int) -> FoundHandshakeAnswer | None:
    """The server's byte after an IMEI, if what follows it may follow it."""
    answer, follows = data[start : start + 1], data[start + 1 : start + 4]
    if answer == ACCEPTED and follows == bytes(len(follows)):
        return FoundHandshakeAnswer(offset=start, length=1, imei_accepted=True)
    if answer == REJECTED and not follows:
        return FoundHandshakeAnswer(offset=start, length=1, imei_accepted=False)
    return None


def _find_udp(data: bytes, start: int) -> Finding | None:
    """A device's datagram, or the answer to one, if one seems to stand there."""
    answer = decode_answer(data[start : start + ANSWER_SIZE])
    if answer is not None:
        return FoundAck(offset=start, length=ANSWER_SIZE, transport="udp", accepted=answer.accepted)
    if not begins_datagram(data, start):
        return None
    size = max(datagram_size(data, start), MIN_DATAGRAM_SIZE)
    own = data[start : start + size]
    try:
        datagram = decode_datagram(own, start)
        packet = decode_data(datagram.data, start + ENVELOPE_SIZE)
    except DecodeError as error:
        return found_error(error, start + len(own), "udp")
    return found_packet(packet, start, size, datagram)
