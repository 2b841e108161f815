"""What an AVL packet holds: records, and their IO elements."""

from collections.abc import Callable, Iterable, Iterator
from enum import IntEnum
from typing import overload

import msgspec
from msgspec.structs import force_setattr

FIXED_WIDTHS = (1, 2, 4, 8)


class Priority(IntEnum):
    """The documented priorities. A record keeps the byte as it came: another value is no error."""

    LOW = 0
    HIGH = 1
    PANIC = 2


class GenerationType(IntEnum):
    """Why codec 16 made a record (Teltonika Data Sending Protocols, "Codec 16")."""

    ON_EXIT = 0
    ON_ENTRANCE = 1
    ON_BOTH = 2
    RESERVED = 3
    HYSTERESIS = 4
    ON_CHANGE = 5
    EVENTUAL = 6
    PERIODICAL = 7


class IoElement(msgspec.Struct, frozen=True, gc=False):
    """One IO element: its id, its value, and how many bytes the value took on the wire.

    A fixed-width value (1, 2, 4 or 8 bytes) is an unsigned ``int``; a variable-length one
    (codec 8 Extended, NX) is ``bytes`` and its width is its length.
    """

    id: int
    value: int | bytes
    width: int

    @classmethod
    def variable(cls, id: int, value: bytes) -> "IoElement":  # noqa: A002 - the field's word
        """A variable-length element of codec 8 Extended: 0 to 65,535 bytes."""
        return cls(id, value, len(value))

    @property
    def is_variable(self) -> bool:
        return isinstance(self.value, bytes)


def _wire_group(element: IoElement) -> int:
    """The place of an element's group on the wire: N1, N2, N4, N8, NX."""
    if element.is_variable:
        return len(FIXED_WIDTHS)
    try:
        return FIXED_WIDTHS.index(element.width)
    except ValueError:
        raise ValueError(
            f"IO element {element.id}: a value is 1, 2, 4 or 8 bytes wide, not {element.width}"
        ) from None


class IoElements(msgspec.Struct, frozen=True, gc=False, eq=False):
    """The IO elements of one record, in wire order: 1-, 2-, 4-, 8-byte values, then variable.

    A sequence of `IoElement`, made when it is read: most users want only `by_id`, and making 20
    objects costs more than decoding them. Nor does a decoder read the numbers before somebody asks.

    ``counts`` are N1, N2, N4 and N8; ``kept`` is `pairs`, or the record that ``read_pairs`` reads
    them from; ``variable`` holds id and bytes of each variable-length one. `IoElements.of` makes
    one from elements in any order.
    """

    counts: tuple[int, int, int, int] = (0, 0, 0, 0)
    kept: tuple[int, ...] | bytes = ()
    variable: tuple[tuple[int, bytes], ...] = ()
    read_pairs: Callable[[bytes], tuple[int, ...]] | None = None
    """A method of a `struct.Struct`, which holds nothing: the collector need not look at it."""

    @property
    def pairs(self) -> tuple[int, ...]:
        """Id and value of each fixed-width element in turn."""
        kept = self.kept
        if isinstance(kept, tuple):
            return kept
        assert self.read_pairs is not None
        pairs = self.read_pairs(kept)
        force_setattr(self, "kept", pairs)
        return pairs

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, IoElements):
            return NotImplemented
        return (
            self.counts == other.counts
            and self.pairs == other.pairs
            and self.variable == other.variable
        )

    def __hash__(self) -> int:
        return hash((self.counts, self.pairs, self.variable))

    @classmethod
    def of(cls, elements: Iterable[IoElement]) -> "IoElements":
        """Sort ``elements`` into wire groups; inside a group their order stays.

        Raises ValueError for a width that the wire does not have.
        """
        counts = [0, 0, 0, 0]
        pairs: list[int] = []
        variable: list[tuple[int, bytes]] = []
        for element in sorted(elements, key=_wire_group):
            if isinstance(element.value, bytes):
                variable.append((element.id, element.value))
            else:
                counts[FIXED_WIDTHS.index(element.width)] += 1
                pairs += (element.id, element.value)
        n1, n2, n4, n8 = counts
        return cls((n1, n2, n4, n8), tuple(pairs), tuple(variable))

    def __len__(self) -> int:
        return sum(self.counts) + len(self.variable)

    def __iter__(self) -> Iterator[IoElement]:
        pairs = iter(self.pairs)
        for width, count in zip(FIXED_WIDTHS, self.counts, strict=True):
            for _ in range(count):
                yield IoElement(next(pairs), next(pairs), width)
        for id_, value in self.variable:
            yield IoElement.variable(id_, value)

    @overload
    def __getitem__(self, index: int) -> IoElement: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[IoElement, ...]: ...
    def __getitem__(self, index: int | slice) -> IoElement | tuple[IoElement, ...]:
        return tuple(self)[index]

    def __repr__(self) -> str:
        return f"IoElements.of({list(self)!r})"

    def by_id(self) -> dict[int, int | bytes]:
        """IO id to value. Where an id stands twice the last value wins."""
        read = self.pairs
        if len(read) % 2:
            raise ValueError("the last id of the pairs has no value")
        pairs = iter(read)
        # Checked above: zip's own `strict` takes longer than ten more elements (x1.1).
        values: dict[int, int | bytes] = dict(zip(pairs, pairs))  # noqa: B905
        if self.variable:
            values.update(self.variable)
        return values

    def get(self, io_id: int) -> int | bytes | None:
        """The value of an IO id, None where the record has no such element."""
        return self.by_id().get(io_id)


class AvlRecord(msgspec.Struct, frozen=True, gc=False):
    """One AVL record: where a device was at a moment, and what its inputs said.

    Source: Teltonika Data Sending Protocols, "AVL Data". On the wire all fields but the
    longitude, the latitude and the altitude are unsigned.
    """

    timestamp_ms: int
    """GNSS time: milliseconds since 1970-01-01 UTC; 0 to 2^64 - 1."""
    priority: int
    """0 low, 1 high, 2 panic (`Priority`); any byte is kept."""
    longitude_e7: int
    """Degrees times 10^7, east positive; any int32 is kept."""
    latitude_e7: int
    """Degrees times 10^7, north positive; any int32 is kept."""
    altitude: int
    """Metres above sea level, two's complement: a device below it says -4 as FFFC."""
    angle: int
    """Degrees clockwise from north: 0 to 359; any uint16 is kept."""
    satellites: int
    """Satellites in use; 0 is no fix."""
    speed: int
    """km/h; 0 where the position is invalid."""
    event_io_id: int = 0
    """The IO element that caused the record; 0 is none. It need not be among ``io``."""
    generation_type: int | None = None
    """Codec 16 only (`GenerationType`); None for the other codecs."""
    io: IoElements = IoElements()

    @property
    def longitude(self) -> float:
        """Degrees, east positive."""
        return self.longitude_e7 / 1e7

    @property
    def latitude(self) -> float:
        """Degrees, north positive."""
        return self.latitude_e7 / 1e7


class AvlPacket(msgspec.Struct, frozen=True, gc=False):
    """The records of one packet, and the codec they came in."""

    codec_id: int
    records: tuple[AvlRecord, ...]
    encoded: tuple[bytes, ...] = ()
    """Each record's own bytes as they came; empty in a packet that did not come as bytes."""
