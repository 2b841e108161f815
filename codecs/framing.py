"""The TCP stream that a device sends, cut into its parts.

A packet is: preamble (4 zero bytes), length of the data field (4), data field, CRC (4)
(Teltonika Data Sending Protocols, "AVL Data Packet"). TCP keeps no boundaries: one read can
hold half a packet or three.
"""

import re
import struct
from collections.abc import Sequence

from teltonika.codecs.avl import AvlCodec
from teltonika.codecs.commands import CommandCodec, CommandMessage
from teltonika.codecs.crc import crc16_ibm
from teltonika.codecs.errors import (
    CrcMismatchError,
    DecodeError,
    ErrorCode,
    FramingError,
)
from teltonika.codecs.events import (
    CrcFailed,
    FrameEvent,
    FrameReceived,
    ImeiReceived,
    PingReceived,
    ProtocolViolation,
)
from teltonika.codecs.handshake import (
    IMEI_FRAME_SIZE,
    check_imei_length,
    decode_imei,
    luhn_valid,
)
from teltonika.codecs.records import AvlPacket, AvlRecord
from teltonika.codecs.registry import CODECS, MESSAGE_CODECS, CodecRegistry

MAX_PACKET_SIZE = 65_536
"""Bytes of a whole packet that are taken by default. Documented packets have 1,280 at most, but
devices with long BLE or camera data exceed that."""

ALL_EVENTS = 1 << 30
PING = 0xFF
HEADER_SIZE = 8
CRC_SIZE = 4
_MIN_DATA_SIZE = 3  # codec id, number of data 1, number of data 2
_MIN_PACKET_SIZE = HEADER_SIZE + _MIN_DATA_SIZE + CRC_SIZE
_HEADER = struct.Struct(">II")  # preamble, length of the data field
_CRC = struct.Struct(">I")
_PINGS = re.compile(b"\xff*")


def ping_run(data: bytes | bytearray, start: int) -> int:
    """How many pings in a row begin at ``start``; 0 if the byte there is not a ping."""
    run = _PINGS.match(data, start)
    return 0 if run is None else run.end() - start


def packet_size(
    data: bytes | bytearray, start: int, max_packet_size: int, offset: int = 0
) -> int | None:
    """How long the packet at ``start`` is in all, or None while its header is not all there.

    ``offset`` is what an error calls the byte at ``start``. Raises FramingError as soon as the
    bytes that are there can't become a header: ``bad_preamble``, ``bad_length``,
    ``packet_too_large``.
    """
    preamble = data[start : start + 4]
    if any(preamble):
        at = next(i for i, byte in enumerate(preamble) if byte)
        raise FramingError(
            ErrorCode.BAD_PREAMBLE,
            offset + at,
            f"preamble at byte {offset + at}: expected 0x00, found 0x{preamble[at]:02X}",
            expected=0,
            found=preamble[at],
        )
    if len(data) < start + HEADER_SIZE:
        return None
    _, length = _HEADER.unpack_from(data, start)
    size: int = HEADER_SIZE + length + CRC_SIZE
    if length < _MIN_DATA_SIZE:
        raise FramingError(
            ErrorCode.BAD_LENGTH,
            offset + 4,
            f"data field length at byte {offset + 4}: expected {_MIN_DATA_SIZE} or more, "
            f"found {length}",
            expected=_MIN_DATA_SIZE,
            found=length,
        )
    if size > max_packet_size:
        raise FramingError(
            ErrorCode.PACKET_TOO_LARGE,
            offset + 4,
            f"data field length at byte {offset + 4}: a packet of {size} bytes is over "
            f"the limit of {max_packet_size}",
            expected=max_packet_size,
            found=size,
        )
    return size


def message_size(
    data: bytes | bytearray, start: int = 0, max_packet_size: int = MAX_PACKET_SIZE
) -> int | None:
    """How long the packet is whose header and codec id are at ``start``; None if it is none that a
    server may send. Codecs 13 and 15 count as such, though they are for devices only."""
    if data[start + HEADER_SIZE] not in MESSAGE_CODECS.ids:
        return None
    try:
        return packet_size(data, start, max_packet_size)
    except FramingError:
        return None


def checked_data(packet: bytes, offset: int = 0) -> bytes:
    """The data field of a whole packet. Raises CrcMismatchError; ``offset`` is added to its own."""
    data = packet[HEADER_SIZE:-CRC_SIZE]
    (declared,) = _CRC.unpack_from(packet, -CRC_SIZE)
    computed = crc16_ibm(data)
    if declared != computed:
        at = offset + len(packet) - CRC_SIZE
        raise CrcMismatchError(
            ErrorCode.CRC_MISMATCH,
            at,
            f"CRC mismatch at byte {at}: packet says 0x{declared:04X}, data gives 0x{computed:04X}",
            expected=declared,
            found=computed,
        )
    return data


AnyRegistry = CodecRegistry[AvlCodec | CommandCodec]


def decode_data(
    data: bytes, offset: int = 0, codecs: AnyRegistry = CODECS
) -> AvlPacket | CommandMessage:
    """What a checked data field of any codec holds. ``offset`` is added to an error's own.

    Raises UnknownCodecError, RecordError or CommandError.
    """
    return codecs.by_id(data[0], offset).decode_data(data, offset)


def decode_packet(
    packet: bytes,
    offset: int = 0,
    *,
    codecs: AnyRegistry = CODECS,
    max_packet_size: int = MAX_PACKET_SIZE,
) -> AvlPacket | CommandMessage:
    """One whole TCP packet, from preamble to CRC, to its records or its message.

    ``offset`` is added to the offset of an error. Raises DecodeError: FramingError,
    CrcMismatchError, UnknownCodecError, RecordError or CommandError.
    """
    if _MIN_PACKET_SIZE <= len(packet) <= max_packet_size:
        # All checks at once: x1.1 with one record a packet. Those below say which one failed.
        preamble, length = _HEADER.unpack_from(packet)
        data = packet[HEADER_SIZE:-CRC_SIZE]
        (crc,) = _CRC.unpack_from(packet, -CRC_SIZE)
        if preamble == 0 and length == len(data) and crc == crc16_ibm(data):
            offset += HEADER_SIZE
            return codecs.by_id(data[0], offset).decode_data(data, offset)
    size = packet_size(packet, 0, max_packet_size, offset)
    if size is None or size > len(packet):
        raise truncated_packet(len(packet), size, offset)
    if size < len(packet):
        at = offset + size
        raise FramingError(
            ErrorCode.TRAILING_BYTES,
            at,
            f"{len(packet) - size} bytes at byte {at}: the packet ends before them",
            expected=size,
            found=len(packet),
        )
    return decode_data(checked_data(packet, offset), offset + HEADER_SIZE, codecs)


def encode_packet(codec: AvlCodec, records: Sequence[AvlRecord]) -> bytes:
    """A whole TCP packet, from preamble to CRC, with 0 to 255 records. Raises EncodeError."""
    return encode_frame(codec.encode_data(records))


def encode_message(message: CommandMessage) -> bytes:
    """A whole TCP packet that holds a command, an answer or a text. Raises EncodeError."""
    return encode_frame(MESSAGE_CODECS.by_id(message.codec_id).encode_data(message))


def encode_frame(data: bytes) -> bytes:
    """A whole TCP packet around a data field, whatever that holds: preamble, length, CRC."""
    return _HEADER.pack(0, len(data)) + data + _CRC.pack(crc16_ibm(data))


def truncated_packet(available: int, size: int | None, offset: int = 0) -> FramingError:
    """The error for a packet of which only ``available`` bytes came before the end."""
    expected = HEADER_SIZE if size is None else size
    at = offset + available
    return FramingError(
        ErrorCode.TRUNCATED,
        at,
        f"the packet ends at byte {at}: expected {expected} bytes"
        f"{' or more' if size is None else ''}, found {available}",
        expected=expected,
        found=available,
    )


class Framer:
    """The device's byte stream to handshake, packets and pings, however TCP split it.

    Holds what has no end yet, never more than one packet of ``max_packet_size``, and what a caller
    left for later calls; a declared length reserves nothing. Offsets in its errors count from the
    start of the packet they are in.
    """

    __slots__ = ("_awaiting_imei", "_broken", "_buffer", "_max_packet_size", "has_more")

    def __init__(self, max_packet_size: int = MAX_PACKET_SIZE) -> None:
        self._max_packet_size = max_packet_size
        self._awaiting_imei = True
        self._broken = False
        self._buffer: bytearray | None = None  # an idle connection costs no buffer
        self.has_more = False
        """Whether the last call gave as many events as it might, and there may be more."""

    @property
    def unfinished(self) -> bytes:
        """What has come of the handshake or packet that is not all there yet."""
        return b"" if self._buffer is None else bytes(self._buffer)

    @property
    def unfinished_size(self) -> int:
        """How many bytes `unfinished` has."""
        return 0 if self._buffer is None else len(self._buffer)

    def receive_data(self, data: bytes, most: int = ALL_EVENTS) -> list[FrameEvent]:
        """The first ``most`` events of what is whole now, in order; empty while more bytes are
        needed. What is left comes with later calls: with ``b""``, if nothing else has come."""
        self.has_more = False
        if self._broken:
            return []
        buffer = self._buffer
        if buffer is not None:
            buffer += data
        events: list[FrameEvent] = []
        try:
            consumed = self._cut(data if buffer is None else buffer, events, most)
        except FramingError as error:
            events.append(self._break_off(error))
            return events
        if buffer is not None:
            del buffer[:consumed]
            if not buffer:
                self._buffer = None
        elif consumed < len(data):
            self._buffer = bytearray(data[consumed:])
        return events

    def receive_eof(self) -> list[FrameEvent]:
        """The device closed: half a handshake or half a packet is a violation."""
        if self._broken or self._buffer is None:
            return []
        if self._awaiting_imei:
            try:
                decode_imei(bytes(self._buffer))
            except FramingError as error:
                return [self._break_off(error)]
        size = packet_size(self._buffer, 0, self._max_packet_size)
        return [self._break_off(truncated_packet(len(self._buffer), size))]

    def _break_off(self, error: DecodeError) -> ProtocolViolation:
        self._broken = True
        self._buffer = None
        return ProtocolViolation(error.failure)

    def _cut(self, data: bytes | bytearray, events: list[FrameEvent], most: int) -> int:
        """Append the events of everything whole in ``data``; return how many bytes they took."""
        position = 0
        available = len(data)
        if self._awaiting_imei:
            if available >= 2:
                check_imei_length(data[0] << 8 | data[1])
            if available < IMEI_FRAME_SIZE:
                return 0
            imei = decode_imei(bytes(data[:IMEI_FRAME_SIZE]))
            events.append(ImeiReceived(imei, luhn_valid(imei)))
            self._awaiting_imei = False
            position = IMEI_FRAME_SIZE
        while position < available:
            if len(events) >= most:
                self.has_more = True
                break
            if data[position] == PING:
                count = ping_run(data, position)
                events.append(PingReceived(count))
                position += count
                continue
            size = packet_size(data, position, self._max_packet_size)
            if size is None or position + size > available:
                break
            packet = bytes(data[position : position + size])
            position += size
            try:
                events.append(FrameReceived(checked_data(packet)))
            except CrcMismatchError as error:
                events.append(CrcFailed(error.failure))
        return position
