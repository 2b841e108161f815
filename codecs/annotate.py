"""The annotated reading: every byte of a packet with its field's name, value and meaning.

A second reading, independent of the fast decoders: fields are defined one by one, as Teltonika Data
Sending Protocols lists them, and read one after the other with `bitstring`. The tests hold both
readings against each other: they find the same records, or an error at the same byte.
"""

from collections.abc import Callable
from contextlib import suppress
from enum import Enum, auto
from functools import partial

import msgspec

from teltonika.codecs.annotation_reader import (
    AnnotationReader,
    Fault,
    Field,
    Stopped,
)
from teltonika.codecs.commands import CommandMessage, MessageType
from teltonika.codecs.crc import crc16_ibm
from teltonika.codecs.errors import ErrorCode
from teltonika.codecs.framing import ping_run
from teltonika.codecs.records import (
    AvlPacket,
    AvlRecord,
    GenerationType,
    IoElements,
    Priority,
)
from teltonika.codecs.timestamps import format_timestamp


class Form(Enum):
    """What bytes are to be read as."""

    HANDSHAKE = auto()
    HANDSHAKE_ANSWER = auto()
    PACKET = auto()
    ACK = auto()
    PING = auto()
    DATAGRAM = auto()
    DATAGRAM_ANSWER = auto()
    UNKNOWN = auto()


class Annotation(msgspec.Struct, frozen=True):
    """One thing, read to its end or to where that is impossible."""

    fields: tuple[Field, ...]
    """In order, covering every byte once."""
    content: AvlPacket | CommandMessage | None
    """What was read before a fault: of an AVL packet the records that are whole."""
    fault: Fault | None


def annotate(data: bytes, form: Form, offset: int = 0) -> Annotation:
    """Read ``data``, which is one thing of that form, or the beginning of a broken one.

    ``offset`` is added to the places of fields and faults. Never raises for what the bytes are.
    """
    reader = AnnotationReader(data, offset)
    content = _Content()
    with suppress(Stopped):
        _READERS[form](reader, content)
    reader.rest()
    return Annotation(tuple(reader.fields), content.of_packet(), reader.fault)


class _Content:
    """What a packet turned out to hold so far."""

    def __init__(self) -> None:
        self.message: CommandMessage | None = None
        self.codec_id: int | None = None
        self.records: list[AvlRecord] = []

    def of_packet(self) -> AvlPacket | CommandMessage | None:
        if self.codec_id is not None:
            return AvlPacket(self.codec_id, tuple(self.records))
        return self.message


def _read_handshake(reader: AnnotationReader, _: _Content) -> None:
    _read_imei(reader)


def _read_imei(reader: AnnotationReader) -> None:
    start = reader.position
    if reader.number(2, "IMEI length") != _IMEI_DIGITS:
        reader.stop(ErrorCode.IMEI_LENGTH, start)
    start = reader.position
    digits = reader.text(_IMEI_DIGITS, "IMEI")
    wrong = [at for at, byte in enumerate(digits) if byte not in b"0123456789"]
    if wrong:
        reader.stop(ErrorCode.IMEI_DIGITS, start + wrong[0])


def _read_handshake_answer(reader: AnnotationReader, _: _Content) -> None:
    reader.number(1, "answer", lambda answer: "accepted" if answer else "rejected")


def _read_ack(reader: AnnotationReader, _: _Content) -> None:
    reader.number(4, "accepted records")


def _read_ping(reader: AnnotationReader, _: _Content) -> None:
    run = ping_run(reader.window(0, reader.end), 0)
    if run > 1:
        reader.skip_to(run, "pings")
    else:
        reader.number(1, "ping")


def _read_unknown(reader: AnnotationReader, _: _Content) -> None:
    reader.stop(ErrorCode.UNRECOGNISED, 0)


def _read_packet(reader: AnnotationReader, content: _Content) -> None:
    wrong = [at for at, byte in enumerate(reader.window(0, 4)) if byte]
    if wrong:
        reader.blame(ErrorCode.BAD_PREAMBLE, wrong[0])
    if reader.number(4, "preamble"):
        raise Stopped
    start = reader.position
    length = reader.number(4, "data field length")
    if length < _MIN_DATA_SIZE:
        reader.stop(ErrorCode.BAD_LENGTH, start)
    data_start = reader.position
    data_end = data_start + length
    if data_end + 4 > reader.end:  # as far as it goes
        reader.blame(ErrorCode.TRUNCATED, reader.end)
        reader.end = min(data_end, reader.end)
        _read_data_field(reader, content)
        return
    if data_end + 4 < reader.end:
        reader.blame(ErrorCode.TRAILING_BYTES, data_end + 4)
    declared = int.from_bytes(reader.window(data_end, data_end + 4))
    computed = crc16_ibm(reader.window(data_start, data_end))
    if declared != computed:
        reader.blame(ErrorCode.CRC_MISMATCH, data_end)
    packet_end, reader.end = data_end + 4, data_end
    try:
        _read_data_field(reader, content)
    except Stopped:
        reader.skip_to(data_end, "not read")
    reader.end = packet_end
    reader.number(
        4, "CRC", lambda crc: "right" if crc == computed else f"wrong: the data give {computed:04X}"
    )


def _read_datagram(reader: AnnotationReader, content: _Content) -> None:
    if reader.end < _DATAGRAM_HEAD_SIZE:
        reader.blame(ErrorCode.TRUNCATED, reader.end)
    length = reader.number(2, "length")
    if length < _MIN_BEHIND_LENGTH or length != reader.end - reader.position:
        reader.blame(ErrorCode.BAD_LENGTH, 0)
    reader.number(2, "packet id")
    start = reader.position
    if reader.number(1, "not usable byte") != 1:
        reader.blame(ErrorCode.UNRECOGNISED, start)
    reader.number(1, "AVL packet id")
    _read_imei(reader)
    _read_data_field(reader, content)


def _read_datagram_answer(reader: AnnotationReader, _: _Content) -> None:
    reader.number(2, "length")
    reader.number(2, "packet id")
    reader.number(1, "not usable byte")
    reader.number(1, "AVL packet id")
    reader.number(1, "accepted records")


_READERS: dict[Form, Callable[[AnnotationReader, _Content], None]] = {
    Form.HANDSHAKE: _read_handshake,
    Form.HANDSHAKE_ANSWER: _read_handshake_answer,
    Form.PACKET: _read_packet,
    Form.ACK: _read_ack,
    Form.PING: _read_ping,
    Form.DATAGRAM: _read_datagram,
    Form.DATAGRAM_ANSWER: _read_datagram_answer,
    Form.UNKNOWN: _read_unknown,
}

_IMEI_DIGITS = 15
_MIN_DATA_SIZE = 3
_DATAGRAM_HEAD_SIZE = 2 + 2 + 1 + 1
_MIN_BEHIND_LENGTH = 2 + 1 + 1 + 2 + _IMEI_DIGITS + _MIN_DATA_SIZE


class _AvlLayout(msgspec.Struct, frozen=True):
    """In what the AVL codecs differ: widths in bytes, and what a record has."""

    id_width: int
    count_width: int
    generation_type: bool = False
    variable_length: bool = False


_AVL_LAYOUTS = {
    0x08: _AvlLayout(id_width=1, count_width=1),
    0x8E: _AvlLayout(id_width=2, count_width=2, variable_length=True),
    0x10: _AvlLayout(id_width=2, count_width=1, generation_type=True),
}


class _MessageLayout(msgspec.Struct, frozen=True):
    """In what the message codecs differ: the types they know, and what stands before the text."""

    types: tuple[MessageType, ...]
    timestamp: bool = False
    imei: bool = False


_MESSAGE_LAYOUTS = {
    0x0C: _MessageLayout((MessageType.COMMAND, MessageType.RESPONSE)),
    0x0D: _MessageLayout((MessageType.RESPONSE,), timestamp=True),
    0x0E: _MessageLayout((MessageType.COMMAND, MessageType.RESPONSE, MessageType.NACK), imei=True),
    0x0F: _MessageLayout((MessageType.SERIAL,), timestamp=True, imei=True),
}
_CODEC_NAMES = {
    0x07: "codec 7",
    0x08: "codec 8",
    0x0C: "codec 12",
    0x0D: "codec 13",
    0x0E: "codec 14",
    0x0F: "codec 15",
    0x10: "codec 16",
    0x8E: "codec 8 Extended",
}
_TYPE_NAMES: dict[int, str] = {
    MessageType.COMMAND: "command",
    MessageType.RESPONSE: "response",
    MessageType.SERIAL: "from RS-232",
    MessageType.NACK: "nACK: for another device",
}


def _read_data_field(reader: AnnotationReader, content: _Content) -> None:
    start = reader.position
    codec_id = reader.number(1, "codec id", lambda codec: _CODEC_NAMES.get(codec, "unknown"))
    if codec_id in _AVL_LAYOUTS:
        content.codec_id = codec_id
        _read_records(reader, _AVL_LAYOUTS[codec_id], content.records)
    elif codec_id in _MESSAGE_LAYOUTS:
        content.message = _read_message(reader, codec_id)
    else:
        reader.stop(ErrorCode.UNKNOWN_CODEC, start)


def _read_records(reader: AnnotationReader, layout: _AvlLayout, records: list[AvlRecord]) -> None:
    count = reader.number(1, "number of data 1", _records)
    data_end = reader.end
    reader.end -= 1  # a record never takes the second count's byte
    for number in range(1, count + 1):
        reader.record = number
        records.append(_read_record(reader, layout))
    reader.record = 0
    if reader.position < reader.end:
        reader.blame(ErrorCode.TRAILING_BYTES, reader.position)
        reader.skip_to(reader.end, "bytes too many")
    reader.end = data_end
    start = reader.position
    if reader.number(1, "number of data 2", _records) != count:
        reader.stop(ErrorCode.RECORD_COUNT_MISMATCH, start)


def _read_record(reader: AnnotationReader, layout: _AvlLayout) -> AvlRecord:
    timestamp_ms = reader.number(8, "timestamp", _time)
    priority = reader.number(1, "priority", _priority)
    longitude = reader.number(4, "longitude", _degrees, signed=True)
    latitude = reader.number(4, "latitude", _degrees, signed=True)
    altitude = reader.number(2, "altitude", lambda metres: f"{metres} m", signed=True)
    angle = reader.number(2, "angle", lambda degrees: f"{degrees}°")
    satellites = reader.number(1, "satellites", lambda count: "" if count else "no fix")
    speed = reader.number(2, "speed", lambda speed: f"{speed} km/h")
    event = reader.number(layout.id_width, "event IO id", lambda io_id: "" if io_id else "none")
    reason = None
    if layout.generation_type:
        reason = reader.number(1, "generation type", _generation)
    total_at = reader.position
    total = reader.number(layout.count_width, "N", lambda n: f"{n} IO elements")
    elements = []
    for width in (1, 2, 4, 8):
        count = reader.number(layout.count_width, f"N{width}", partial(_of_width, width))
        elements += [reader.element(layout.id_width, width) for _ in range(count)]
    if layout.variable_length:
        count = reader.number(2, "NX", lambda n: f"{n} of variable length")
        elements += [reader.variable_element(layout.id_width) for _ in range(count)]
    if total != len(elements):
        reader.stop(ErrorCode.IO_COUNT_MISMATCH, total_at)
    return AvlRecord(
        timestamp_ms,
        priority,
        longitude,
        latitude,
        altitude,
        angle,
        satellites,
        speed,
        event,
        reason,
        IoElements.of(elements),
    )


def _read_message(reader: AnnotationReader, codec_id: int) -> CommandMessage:
    layout = _MESSAGE_LAYOUTS[codec_id]
    data_end = reader.end
    if data_end - reader.position < 1 + 1 + 4 + 1:
        reader.blame(ErrorCode.TRUNCATED, data_end)
    reader.number(1, "quantity 1")
    start = reader.position
    type_number = reader.number(1, "type", _message_type)
    if type_number not in layout.types:
        reader.stop(ErrorCode.UNKNOWN_TYPE, start)
    start = reader.position
    size = reader.number(4, "size")
    if size != data_end - 1 - reader.position:
        reader.stop(ErrorCode.SIZE_MISMATCH, start)
    reader.end -= 1  # the content never takes the second quantity's byte
    timestamp_s = (
        reader.number(4, "timestamp", lambda s: _time(1000 * s)) if layout.timestamp else None
    )
    imei = reader.packed_imei() if layout.imei else None
    content = reader.text(reader.end - reader.position, "text")
    reader.end = data_end
    reader.number(1, "quantity 2")
    return CommandMessage(codec_id, MessageType(type_number), content, imei, timestamp_s)


def _message_type(number: int) -> str:
    return _TYPE_NAMES.get(number, "unknown")


def _records(count: int) -> str:
    return f"{count} record{'' if count == 1 else 's'}"


def _of_width(width: int, count: int) -> str:
    return f"{count} of {width} byte{'' if width == 1 else 's'}"


def _time(timestamp_ms: int) -> str:
    return format_timestamp(timestamp_ms).replace("T", " ").replace("Z", " UTC")


def _degrees(value_e7: int) -> str:
    return f"{value_e7 / 1e7:.7f}°"


def _priority(value: int) -> str:
    return _label(value, Priority)


def _generation(value: int) -> str:
    return _label(value, GenerationType)


def _label(value: int, names: type[Priority] | type[GenerationType]) -> str:
    try:
        return names(value).name.lower().replace("_", " ")
    except ValueError:
        return "undocumented"
