"""Where the numbers of a record's IO elements stand, by the counts of its groups.

A record is a fixed part, then groups of elements, each headed by its count. What the counts are
decides where everything stands, so one precompiled `struct.Struct` for each combination of counts
reads all ids and values of a record in one call. Devices send few combinations.
"""

import struct
from collections.abc import Callable
from functools import lru_cache

import msgspec

from teltonika.codecs.records import FIXED_WIDTHS

_UNSIGNED = {1: "B", 2: "H", 4: "I", 8: "Q"}
_FIXED_PART = (
    "QBiihHBH"  # timestamp, priority, longitude, latitude, altitude, angle, satellites, speed
)

# Layouts are kept by their counts. The bounds are against a device that makes up counts to
# fill the memory: at most 256 layouts that were used last and 256 likely ones, each of at most
# 128 elements, about 4 MB a codec.
_KEPT_LAYOUTS = 256
_KEPT_ELEMENTS = 128

Counts = tuple[int, int, int, int]
Writer = Callable[..., bytes]
Reader = Callable[[bytes, int], tuple[int, ...]]


class RecordLayout(msgspec.Struct, frozen=True):
    """How a codec's records with the same counts are read."""

    counts: Counts
    """N1, N2, N4 and N8."""
    variable_count: int
    """NX; 0 in a codec without."""
    size: int
    """Bytes of a record up to its variable-length elements."""
    numbers: tuple[int, ...]
    """What `read_numbers` gives where a record has this layout, and only there."""
    read_numbers: Reader
    """The record's number of IO elements, then the count of each group."""
    read_pairs: Callable[[bytes], tuple[int, ...]]
    """Id and value of each fixed-width element in turn, of a record's own bytes."""


class RecordLayouts:
    """The layouts of one codec's records, made when they are first asked for."""

    def __init__(
        self, id_width: int, count_width: int, *, generation_type: bool, variable_length: bool
    ) -> None:
        self._id_format = _UNSIGNED[id_width]
        self._count_format = _UNSIGNED[count_width]
        self._count_width = count_width
        self._variable_count_format = self._count_format if variable_length else ""
        self.strides = tuple(id_width + width for width in FIXED_WIDTHS)
        """Bytes of an element of each group."""
        self.fixed_part = struct.Struct(
            f">{_FIXED_PART}{self._id_format}{'B' if generation_type else ''}"
        )
        """What stands before the number of IO elements."""
        self._cached_layout = lru_cache(_KEPT_LAYOUTS)(self._make_layout)
        self._cached_writer = lru_cache(_KEPT_LAYOUTS)(self._make_writer)
        self.likely = [self._make_layout((0, 0, 0, 0), 0)] * 256
        """By the low byte of the number of IO elements, the layout that came last. It is a guess,
        to be held against `RecordLayout.numbers`: x1.8 beside walking the groups of every record,
        and right for event records and many models in turn, as the layout before is not (x0.6)."""

    def layout(self, counts: Counts, variable_count: int) -> RecordLayout:
        """The layout of records with these counts."""
        n1, n2, n4, n8 = counts
        elements = n1 + n2 + n4 + n8
        if elements > _KEPT_ELEMENTS:
            return self._make_layout(counts, variable_count)
        layout = self._cached_layout(counts, variable_count)
        self.likely[(elements + variable_count) & 0xFF] = layout
        return layout

    def writer(self, counts: Counts, elements: int) -> Writer:
        """A record with these counts from its fields, up to its variable-length elements."""
        if elements > _KEPT_ELEMENTS:
            return self._make_writer(counts)
        return self._cached_writer(counts)

    def _make_layout(self, counts: Counts, variable_count: int) -> RecordLayout:
        n1, n2, n4, n8 = counts
        stride1, stride2, stride4, stride8 = self.strides
        number, pad = self._count_format, f"{self._count_width}x"
        before = f">{self.fixed_part.size}x"
        numbers = struct.Struct(
            f"{before}{number}{number}{n1 * stride1}x{number}{n2 * stride2}x"
            f"{number}{n4 * stride4}x{number}{n8 * stride8}x{self._variable_count_format}"
        )
        values: tuple[int, ...] = (n1 + n2 + n4 + n8 + variable_count, n1, n2, n4, n8)
        if self._variable_count_format:
            values += (variable_count,)
        return RecordLayout(
            counts,
            variable_count,
            numbers.size,
            values,
            numbers.unpack_from,
            struct.Struct(f"{before}{pad}{self._groups(counts, pad)}").unpack_from,
        )

    def _make_writer(self, counts: Counts) -> Writer:
        number = self._count_format
        groups = self._groups(counts, number)
        return struct.Struct(
            f"{self.fixed_part.format}{number}{groups}{self._variable_count_format}"
        ).pack

    def _groups(self, counts: Counts, number: str) -> str:
        n1, n2, n4, n8 = counts
        element = self._id_format
        return (
            f"{number}{f'{element}B' * n1}{number}{f'{element}H' * n2}"
            f"{number}{f'{element}I' * n4}{number}{f'{element}Q' * n8}"
        )
