"""Bytes read field by field, each kept with its place, its name and what it says."""

from collections.abc import Callable

import msgspec
from bitstring import Bits

from teltonika.codecs.errors import ErrorCode
from teltonika.codecs.records import IoElement


class Field(msgspec.Struct, frozen=True, gc=False):
    """Some bytes in a row, and what they are."""

    offset: int
    length: int
    name: str
    hex: str
    value: int | str | None
    """A number as it is to be read, or text; None for bytes that were not read."""
    meaning: str
    """For a person: unit, label, date. Empty where the value says all."""
    record: int = 0
    """The AVL record that it is in, from 1; 0 outside of records."""
    element: IoElement | None = None
    """What an IO element's bytes, its id, its length if that varies, and its value, hold."""


class Fault(msgspec.Struct, frozen=True):
    """Where bytes contradict themselves first, and how."""

    code: ErrorCode
    offset: int


class Stopped(Exception):  # noqa: N818 - never leaves the annotated reading
    """There is no reading on."""


class AnnotationReader:
    """The bytes that are read, and the fields found in them so far."""

    def __init__(self, data: bytes, offset: int) -> None:
        self.fields: list[Field] = []
        self.fault: Fault | None = None
        self.position = 0
        self.end = len(data)
        """Where what is read now must end."""
        self.record = 0
        """The record that fields are in."""
        self._data = data
        self._bits = Bits(data)
        self._offset = offset

    def number(
        self,
        width: int,
        name: str,
        meaning: Callable[[int], str] | None = None,
        *,
        signed: bool = False,
    ) -> int:
        """The next field: an integer of ``width`` bytes."""
        start = self.position
        bits = self._take(width)
        value = int(bits.int if signed else bits.uint)
        self._add(start, name, value, "" if meaning is None else meaning(value))
        return value

    def text(self, length: int, name: str) -> bytes:
        """The next field: text of so many bytes; none if there are none."""
        start = self.position
        content = bytes(self._take(length).bytes)
        if content:
            self._add(start, name, content.decode("utf-8", "backslashreplace"))
        return content

    def packed_imei(self) -> str:
        """The next field: 8 bytes, a zero and 15 digits, two in a byte."""
        start = self.position
        digits = str(self._take(8).hex)
        self._add(start, "IMEI", digits[1:])
        if digits[0] != "0" or not digits.isdigit():
            self.stop(ErrorCode.IMEI_DIGITS, start)
        return digits[1:]

    def element(self, id_width: int, width: int) -> IoElement:
        """The next IO element: its id and its value in one field."""
        start = self.position
        self._room(id_width + width)
        io_id = int(self._take(id_width).uint)
        element = IoElement(io_id, int(self._take(width).uint), width)
        return self._add_element(start, element)

    def variable_element(self, id_width: int) -> IoElement:
        """The next IO element of variable length: its id, the length and the value in one field."""
        start = self.position
        self._room(id_width + 2)
        io_id = int(self._take(id_width).uint)
        length = int(self._take(2).uint)
        if self.position + length > self.end:
            self.position = start
            self.stop(ErrorCode.TRUNCATED, self.end)
        element = IoElement.variable(io_id, bytes(self._take(length).bytes))
        return self._add_element(start, element)

    def window(self, start: int, end: int) -> bytes:
        """Bytes wherever they stand."""
        return self._data[start:end]

    def skip_to(self, end: int, name: str) -> None:
        """What stands before ``end``, as one field that was not read."""
        start, self.position = self.position, end
        if start < end:
            self._add(start, name, None)

    def rest(self) -> None:
        """All that was not read: bytes too many, if nothing was wrong before them."""
        end = len(self._data)
        if self.position < end:
            name = "not read" if self.fault else "bytes too many"
            self.blame(ErrorCode.TRAILING_BYTES, self.position)
            self.skip_to(end, name)

    def blame(self, code: ErrorCode, at: int) -> None:
        """The byte at ``at`` is wrong; the first thing that is counts."""
        if self.fault is None:
            self.fault = Fault(code, self._offset + at)

    def stop(self, code: ErrorCode, at: int) -> None:
        """As `blame`, and nothing behind it can be read."""
        self.blame(code, at)
        raise Stopped

    def _room(self, width: int) -> None:
        if self.position + width > self.end:
            self.stop(ErrorCode.TRUNCATED, self.end)

    def _take(self, width: int) -> Bits:
        self._room(width)
        start, self.position = self.position, self.position + width
        return self._bits[8 * start : 8 * self.position]

    def _add(
        self,
        start: int,
        name: str,
        value: int | str | None,
        meaning: str = "",
        element: IoElement | None = None,
    ) -> None:
        own = self._data[start : self.position]
        self.fields.append(
            Field(
                self._offset + start,
                len(own),
                name,
                own.hex(),
                value,
                meaning,
                self.record,
                element,
            )
        )

    def _add_element(self, start: int, element: IoElement) -> IoElement:
        value = element.value.hex() if isinstance(element.value, bytes) else element.value
        self._add(start, f"IO {element.id}", value, element=element)
        return element
