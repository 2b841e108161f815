"""The three AVL codecs' common machinery: a record's layout, read and written.

Codecs 8, 8 Extended and 16 differ in four facts only: the width of an IO id, the width of a
count, whether a record says why it was made, and whether values may have a variable length.
The files `codec8`, `codec8e` and `codec16` state those facts.

A record is a fixed part, then groups of elements, each headed by its count. What the counts
are decides where every field of the record stands, so one precompiled `struct.Struct` for each
combination of counts reads a whole record in one call. Devices send few combinations.
"""

import struct
from collections.abc import Sequence
from functools import lru_cache

from teltonika.codecs.errors import EncodeError, ErrorCode, RecordError
from teltonika.codecs.records import FIXED_WIDTHS, AvlPacket, AvlRecord, IoElements

_FIXED_PART = (
    "QBiihHBH"  # timestamp, priority, longitude, latitude, altitude, angle, satellites, speed
)
_FIXED_SIZE = struct.calcsize(f">{_FIXED_PART}")
_UNSIGNED = {1: "B", 2: "H", 4: "I", 8: "Q"}
_VARIABLE_HEAD = struct.Struct(">HH")  # id, length

# Layouts are kept by their counts. Both bounds are against a device that makes up counts to
# fill the memory: at most 512 layouts of at most 128 elements, about 4 MB a codec.
_KEPT_LAYOUTS = 512
_KEPT_ELEMENTS = 128

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

Counts = tuple[int, int, int, int]


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
        self._id_width = id_width
        self._count_width = count_width
        self.has_generation_type = generation_type
        """Whether records say why they were made, as codec 16 has it."""
        self.has_variable_length = variable_length
        """Whether values may have a variable length, as in codec 8 Extended."""

        self._head = (
            f">{_FIXED_PART}{_UNSIGNED[id_width]}"
            f"{'B' if generation_type else ''}{_UNSIGNED[count_width]}"
        )
        self._head_size = struct.calcsize(self._head)
        self._strides = tuple(id_width + width for width in FIXED_WIDTHS)
        self._cached_layout = lru_cache(_KEPT_LAYOUTS)(self._make_layout)

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
        records: list[AvlRecord] = []
        encoded: list[bytes] = []
        for _ in range(count):
            start = position
            record, position = self._decode_record(data, start, end, offset)
            records.append(record)
            encoded.append(data[start:position])
        if position != end:
            raise RecordError(
                ErrorCode.TRAILING_BYTES,
                offset + position,
                f"{end - position} bytes too many at byte {offset + position}: "
                f"number of data 1 says {count} records, and they end here",
                expected=end,
                found=position,
            )
        if data[end] != count:
            raise RecordError(
                ErrorCode.RECORD_COUNT_MISMATCH,
                offset + end,
                f"number of data 2 at byte {offset + end}: number of data 1 says {count}, "
                f"this one {data[end]}",
                expected=count,
                found=data[end],
            )
        return AvlPacket(self.codec_id, tuple(records), tuple(encoded))

    def encode_data(self, records: Sequence[AvlRecord]) -> bytes:
        """The data field that holds ``records``, at most 255. Raises EncodeError."""
        if len(records) > 255:
            raise EncodeError("records", f"a packet holds at most 255 records, not {len(records)}")
        count = bytes((len(records),))
        body = b"".join(map(self._encode_record, records))
        return bytes((self.codec_id,)) + count + body + count

    def _decode_record(
        self, data: bytes, start: int, end: int, offset: int
    ) -> tuple[AvlRecord, int]:
        """The record at ``start`` and the position behind it; nothing past ``end`` is read."""
        count_width = self._count_width
        wide_counts = count_width == 2
        position = start + self._head_size
        counts = []
        for stride in self._strides:
            after_count = position + count_width
            if after_count > end:
                raise _truncated(offset + end, "a record")
            group = data[position]
            if wide_counts:
                group = group << 8 | data[position + 1]
            counts.append(group)
            position = after_count + group * stride
        if position > end:
            raise _truncated(offset + end, "a group of IO elements")
        n1, n2, n4, n8 = key = (counts[0], counts[1], counts[2], counts[3])

        elements = n1 + n2 + n4 + n8
        fields = self._layout(key, elements, "x").unpack_from(data, start)
        variable: tuple[tuple[int, bytes], ...] = ()
        if self.has_variable_length:
            variable, position = _decode_variable(data, position, end, offset)
            elements += len(variable)

        if self.has_generation_type:
            ts, priority, lon, lat, altitude, angle, sats, speed, event, reason, total = fields[:11]
            pairs = fields[11:]
        else:
            ts, priority, lon, lat, altitude, angle, sats, speed, event, total = fields[:10]
            reason = None
            pairs = fields[10:]
        if total != elements:
            at = offset + start + self._head_size - count_width
            raise RecordError(
                ErrorCode.IO_COUNT_MISMATCH,
                at,
                f"number of IO elements at byte {at}: it says {total}, the groups hold {elements}",
                expected=total,
                found=elements,
            )
        io = IoElements(key, pairs, variable)
        record = AvlRecord(ts, priority, lon, lat, altitude, angle, sats, speed, event, reason, io)
        return record, position

    def _encode_record(self, record: AvlRecord) -> bytes:
        io = record.io
        counts = n1, n2, n4, _ = io.counts
        if io.variable and not self.has_variable_length:
            raise EncodeError("io", f"codec {self.name} has no variable-length IO elements")
        if (record.generation_type is not None) != self.has_generation_type:
            needs = "needs a" if self.has_generation_type else "has no"
            raise EncodeError("generation_type", f"codec {self.name} {needs} generation type")
        reason = (record.generation_type,) if self.has_generation_type else ()
        ends = [0, 2 * n1, 2 * (n1 + n2), 2 * (n1 + n2 + n4), len(io.pairs)]
        groups: list[int] = []
        for count, first, last in zip(counts, ends, ends[1:], strict=False):
            groups += (count, *io.pairs[first:last])
        try:
            fixed = self._layout(counts, sum(counts), _UNSIGNED[self._count_width]).pack(
                record.timestamp_ms,
                record.priority,
                record.longitude_e7,
                record.latitude_e7,
                record.altitude,
                record.angle,
                record.satellites,
                record.speed,
                record.event_io_id,
                *reason,
                len(io),
                *groups,
            )
            if not self.has_variable_length:
                return fixed
            return fixed + _encode_variable(io.variable)
        except struct.error:
            raise self._misfit(record) from None

    def _layout(self, counts: Counts, elements: int, count_format: str) -> struct.Struct:
        if elements > _KEPT_ELEMENTS:
            return self._make_layout(counts, count_format)
        return self._cached_layout(counts, count_format)

    def _make_layout(self, counts: Counts, count_format: str) -> struct.Struct:
        """A record with these counts: to write it, or, with ``x`` for the counts, to read it."""
        if count_format == "x":
            count_format *= self._count_width
        id_format = _UNSIGNED[self._id_width]
        groups = (
            count_format + (id_format + _UNSIGNED[width]) * count
            for width, count in zip(FIXED_WIDTHS, counts, strict=True)
        )
        return struct.Struct(self._head + "".join(groups))

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
    data: bytes, position: int, end: int, offset: int
) -> tuple[tuple[tuple[int, bytes], ...], int]:
    """The NX group at ``position``: id and value of each element, and the position behind."""
    if position + 2 > end:
        raise _truncated(offset + end, "the NX count")
    count = data[position] << 8 | data[position + 1]
    position += 2
    if not count:
        return (), position
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
    parts = [struct.pack(">H", len(elements))]
    for io_id, value in elements:
        parts += (_VARIABLE_HEAD.pack(io_id, len(value)), value)
    return b"".join(parts)


def _truncated(at: int, what: str) -> RecordError:
    return RecordError(
        ErrorCode.TRUNCATED, at, f"the records' bytes end at byte {at}, inside {what}", found=at
    )
