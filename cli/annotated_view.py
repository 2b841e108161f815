"""A packet as a dump: each field's bytes in brackets, and beside them what they are."""

import shutil
import sys
import textwrap
from collections.abc import Sequence
from itertools import zip_longest

import typer

from teltonika.cli.output import shows_colours
from teltonika.codecs.annotation_reader import Field
from teltonika.codecs.findings import FoundError
from teltonika.codecs.printable import printable

_BYTES_IN_ROW = 8
_MOST_BYTES = 512
"""Of one field: more are counted, and not shown."""
_NAME_WIDTH = 17
"""Characters of the longest name."""
_OFFSET_WIDTH = 6
_NARROWEST = 20
"""Characters of a line for what bytes are, however narrow the terminal is."""
_COLOURS = (typer.colors.GREEN, typer.colors.BRIGHT_BLUE)
"""Of fields in turn, so that one is told from the next by more than its brackets."""


def print_fields(fields: Sequence[Field], error: FoundError | None) -> None:
    """The dump. The field in which ``error`` is, if there is one, stands out."""
    rows = [_bytes(field) for field in fields]
    width = max((len(line) for row in rows for line in row), default=0)
    width = max(width, 2 * _BYTES_IN_ROW + 2)
    columns = _Columns(width)
    record = 0
    for number, (field, row) in enumerate(zip(fields, rows, strict=True)):
        if field.record > record:
            record = field.record
            columns.head(f"record {record}")
        broken = error is not None and field.offset <= error.offset < field.offset + field.length
        colour = None if field.value is None else _COLOURS[number % 2]
        said = _said(field)
        if broken:
            colour, said = typer.colors.RED, f"{said} <- here"
        columns.print(f"{field.offset:04X}", row, said, colour=colour, bold=broken)
    if error is not None and fields and error.offset >= fields[-1].offset + fields[-1].length:
        red = typer.colors.RED
        columns.print(f"{error.offset:04X}", [], "<- here the bytes end", colour=red, bold=True)


class _Columns:
    """Offset, bytes and what they are, the last in as many lines as the terminal's width wants."""

    def __init__(self, bytes_width: int) -> None:
        self._bytes_width = bytes_width
        start = _OFFSET_WIDTH + 2 + bytes_width + 2
        room = max(_NARROWEST, shutil.get_terminal_size().columns - start)
        self._wrapper = textwrap.TextWrapper(room, break_on_hyphens=False)
        self._coloured = shows_colours()

    def head(self, text: str) -> None:
        """A line above fields."""
        text = typer.style(text, bold=True) if self._coloured else text
        sys.stdout.write(f"{'':{_OFFSET_WIDTH}}  {text}\n")

    def print(
        self,
        offset: str,
        digits: list[str],
        said: str,
        *,
        colour: str | None = None,
        bold: bool = False,
    ) -> None:
        offset = f"{offset:>{_OFFSET_WIDTH}}"
        for left, right in zip_longest(digits, self._wrapper.wrap(said), fillvalue=""):
            shown = f"{left:<{self._bytes_width}}"
            if self._coloured:
                offset = typer.style(offset, dim=True)
                shown = typer.style(shown, colour, dim=colour is None)
                right = typer.style(right, colour, bold=True) if bold else right  # noqa: PLW2901
            sys.stdout.write(f"{offset}  {shown}  {right}".rstrip() + "\n")
            offset = " " * _OFFSET_WIDTH


def _bytes(field: Field) -> list[str]:
    """In brackets; the id of an IO element apart from its value."""
    digits = field.hex[: 2 * _MOST_BYTES].upper()
    head = 0 if field.element is None else len(field.hex) - 2 * field.element.width
    size = 2 * _BYTES_IN_ROW
    rows = [digits[at : at + size] for at in range(head, len(digits), size)] or [""]
    if field.length > _MOST_BYTES:
        rows.append(f"{field.length - _MOST_BYTES} more bytes")
    first = f"[{digits[:head]} " if head else "["
    lines = [first + rows[0], *(" " * len(first) + row for row in rows[1:])]
    lines[-1] += "]"
    return lines


def _said(field: Field) -> str:
    """The field's name, its value as it is to be read, and what that means."""
    value = "" if field.value is None else printable(str(field.value))
    meaning = printable(field.meaning)
    if field.element is not None:
        return f"{field.name} {meaning or f'= {value}'}"
    said = f"{value} = {meaning}" if meaning else value
    return f"{field.name:<{_NAME_WIDTH}}  {said}".rstrip()
