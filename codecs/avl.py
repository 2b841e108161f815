"""The three AVL codecs' common machinery: a record's layout, read and written.

Codecs 8, 8 Extended and 16 differ in four facts only: the width of an IO id, the width of a
count, whether a record says why it was made, and whether values may have a variable length.
The files `codec8`, `codec8e` and `codec16` state those facts.
"""

import struct
from collections.abc import Sequence

from teltonika.codecs.errors import EncodeError, ErrorCode, RecordError
from teltonika.codecs.record_layout import RecordLayout, RecordLayouts
from teltonika.codecs.records import AvlPacket, AvlRecord, IoElements

_VARIABLE_HEAD = struct.Struct(">HH")  # id, length

_RANGES = {  # of the fields of a record that are the same in every codec
    "timestamp_ms": (0, 2**64 - 1),
    "priority": (0, 255),
    "longitude_e7": (-(2**31), 2**31 - 1),
    "latitude_e7": (-(2**31), 2**31 - 1),
    "altitude": (-(2**15), 2**15 - 1),
    "angle": (0, 65_535),
    "satellites": (0, 255),
    "speed": (0, 65_535),
}


class AvlCodec:
    """One of the AVL codecs: the data field of a packet to records, and back.

    The *data field* is what a packet's length counts and its CRC covers: codec id, number of
    data 1, records, number of data 2 (Teltonika Data Sending Protocols, "AVL Data Packet").
    """

    def __init__(
        self,
        codec_id: int,
        name: str,
        *,
        id_width: int,
        count_width: int,
        generation_type: bool = False,
        variable_length: bool = False,
    ) -> None:
        self.codec_id = codec_id
        self.name = name
        self._id_byte = bytes((codec_id,))
        self._id_width = id_width
        self._count_width = count_width
        self.has_generation_type = generation_type
        """Whether records say why they were made, as codec 16 has it."""
        self.has_variable_length = variable_length
        """Whether values may have a variable length, as in codec 8 Extended."""

        self._layouts = RecordLayouts(
            id_width, count_width, generation_type=generation_type, variable_length=variable_length
        )
        self._read_fixed_part = self._layouts.fixed_part.unpack_from
        self._likely = self._layouts.likely
        self._first_count = self._layouts.fixed_part.size + count_width

    def __repr__(self) -> str:
        return f"<AvlCodec {self.name} (0x{self.codec_id:02X})>"

    def decode_data(self, data: bytes, offset: int = 0) -> AvlPacket:
        """The records of a data field, 0 to 255 of them.

        ``data`` begins with the codec id, whose value is not looked at again; ``offset`` is added
        to the offset of an error. Raises RecordError: ``truncated``, ``record_count_mismatch``,
        ``io_count_mismatch`` or ``trailing_bytes``.
        """
        if len(data) < 3:
            raise _truncated(offset + len(data), "the number of data")
        end = len(data) - 1
        count = data[1]
        position = 2
        likely, read_fixed_part = self._likely, self._read_fixed_part
        first_count = self._first_count
        total_at = first_count - 1  # its low byte
        reason = None
        records: list[AvlRecord] = []
        encoded: list[bytes] = []
        for _ in range(count):
            start = position
            if start + first_count > end:
                raise _truncated(offset + end, "a record")
            layout = likely[data[start + total_at]]
            position = start + layout.size
            if position > end or layout.read_numbers(data, start) != layout.numbers:
                layout = self._layout_at(data, start, end, offset)
                position = start + layout.size
            fields = read_fixed_part(data, start)  # by name: x1.07 beside AvlRecord(*fields, ...)
            if self.has_generation_type:
                ts, priority, lon, lat, altitude, angle, sats, speed, event, reason = fields
            else:
                ts, priority, lon, lat, altitude, angle, sats, speed, event = fields
            variable: tuple[tuple[int, bytes], ...] = ()
            if layout.variable_count:
                variable, position = _decode_variable(
                    data, position, layout.variable_count, end, offset
                )
            record = data[start:position]
            io = IoElements(layout.counts, record, variable, layout.read_pairs)
            records.append(
                AvlRecord(ts, priority, lon, lat, altitude, angle, sats, speed, event, reason, io)
            )
            encoded.append(record)
        if position != end or data[end] != count:
            raise _miscounted(data, position, offset)
        return AvlPacket(self.codec_id, tuple(records), tuple(encoded))

    def encode_data(self, records: Sequence[AvlRecord]) -> bytes:
        """The data field that holds ``records``, at most 255. Raises EncodeError."""
        if len(records) > 255:
            raise EncodeError("records", f"a packet holds at most 255 records, not {len(records)}")
        count = bytes((len(records),))
        return b"".join((self._id_byte, count, *map(self._encode_record, records), count))

    def _layout_at(self, data: bytes, start: int, end: int, offset: int) -> RecordLayout:
        """The layout of the record at ``start``, found by walking its groups up to ``end``."""
        position = start + self._first_count
        count_width = self._count_width
        wide_counts = count_width == 2
        counts = []
        for stride in self._layouts.strides:
            after_count = position + count_width
            if after_count > end:
                raise _truncated(offset + end, "a record")
            count = data[position]
            if wide_counts:
                count = count << 8 | data[position + 1]
            counts.append(count)
            position = after_count + count * stride
        if position > end:
            raise _truncated(offset + end, "a group of IO elements")
        n1, n2, n4, n8 = counts
        elements = n1 + n2 + n4 + n8
        variable_count = 0
        if self.has_variable_length:
            after_count = position + count_width
            if after_count > end:
                raise _truncated(offset + end, "the NX count")
            variable_count = int.from_bytes(data[position:after_count])
            position = after_count
            elements += variable_count
        at = start + self._first_count - count_width
        total = int.from_bytes(data[at : at + count_width])
        if total != elements:
            # What is cut off is told before what is miscounted.
            _decode_variable(data, position, variable_count, end, offset)
            at += offset
            raise RecordError(
                ErrorCode.IO_COUNT_MISMATCH,
                at,
                f"number of IO elements at byte {at}: it says {total}, the groups hold {elements}",
                expected=total,
                found=elements,
            )
        return self._layouts.layout((n1, n2, n4, n8), variable_count)

    def _encode_record(self, record: AvlRecord) -> bytes:
        io = record.io
        counts = n1, n2, n4, n8 = io.counts
        pairs, variable = io.pairs, io.variable
        if variable and not self.has_variable_length:
            raise EncodeError("io", f"codec {self.name} has no variable-length IO elements")
        if (record.generation_type is not None) != self.has_generation_type:
            needs = "needs a" if self.has_generation_type else "has no"
            raise EncodeError("generation_type", f"codec {self.name} {needs} generation type")
        elements = len(pairs) // 2
        end1 = 2 * n1
        end2 = end1 + 2 * n2
        end4 = end2 + 2 * n4
        try:
            encoded = self._layouts.writer(counts, elements)(
                record.timestamp_ms,
                record.priority,
                record.longitude_e7,
                record.latitude_e7,
                record.altitude,
                record.angle,
                record.satellites,
                record.speed,
                record.event_io_id,
                *((record.generation_type,) if self.has_generation_type else ()),
                elements + len(variable),
                n1,
                *pairs[:end1],
                n2,
                *pairs[end1:end2],
                n4,
                *pairs[end2:end4],
                n8,
                *pairs[end4:],
                *((len(variable),) if self.has_variable_length else ()),
            )
            return encoded + _encode_variable(variable) if variable else encoded
        except struct.error:
            raise self._misfit(record) from None

    def _misfit(self, record: AvlRecord) -> EncodeError:
        """Which value of ``record``, that `struct` would not pack, is out of its range."""
        id_limit = 256**self._id_width - 1
        count_limit = 256**self._count_width - 1
        fields = [(name, getattr(record, name), *limits) for name, limits in _RANGES.items()]
        fields += [
            ("event_io_id", record.event_io_id, 0, id_limit),
            ("generation_type", record.generation_type or 0, 0, 255),
            ("io", len(record.io), 0, count_limit),
        ]
        for element in record.io:
            fields.append((f"id of IO element {element.id}", element.id, 0, id_limit))
            if isinstance(element.value, bytes):
                length = len(element.value)
                fields.append((f"length of IO element {element.id}", length, 0, 65_535))
            else:
                limit = 256**element.width - 1
                fields.append((f"IO element {element.id}", element.value, 0, limit))
        for name, value, low, high in fields:
            if not (isinstance(value, int) and low <= value <= high):
                return EncodeError(
                    name, f"{name} is {value!r}; codec {self.name} holds {low} to {high}"
                )
        raise AssertionError(f"struct refused a record whose fields all fit: {record!r}")


def _decode_variable(
    data: bytes, position: int, count: int, end: int, offset: int
) -> tuple[tuple[tuple[int, bytes], ...], int]:
    """The elements of the NX group: id and value of each, and the position behind."""
    elements = []
    for _ in range(count):
        if position + 4 > end:
            raise _truncated(offset + end, "a variable-length IO element")
        io_id, length = _VARIABLE_HEAD.unpack_from(data, position)
        position += 4
        if position + length > end:
            raise _truncated(offset + end, f"the {length} bytes of IO element {io_id}")
        elements.append((io_id, data[position : position + length]))
        position += length
    return tuple(elements), position


def _encode_variable(elements: tuple[tuple[int, bytes], ...]) -> bytes:
    parts: list[bytes] = []
    for io_id, value in elements:
        parts += (_VARIABLE_HEAD.pack(io_id, len(value)), value)
    return b"".join(parts)


def _miscounted(data: bytes, position: int, offset: int) -> RecordError:
    """The error for a data field whose records end at ``position``, which is not where or how
    their number says."""
    end, count = len(data) - 1, data[1]
    if position != end:
        return RecordError(
            ErrorCode.TRAILING_BYTES,
            offset + position,
            f"{end - position} bytes too many at byte {offset + position}: "
            f"number of data 1 says {count} records, and they end here",
            expected=end,
            found=position,
        )
    return RecordError(
        ErrorCode.RECORD_COUNT_MISMATCH,
        offset + end,
        f"number of data 2 at byte {offset + end}: number of data 1 says {count}, "
        f"this one {data[end]}",
        expected=count,
        found=data[end],
    )


def _truncated(at: int, what: str) -> RecordError:
    return RecordError(
        ErrorCode.TRUNCATED, at, f"the records' bytes end at byte {at}, inside {what}", found=at
    )
