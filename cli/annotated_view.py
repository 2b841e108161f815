"""A packet as a dump: each field's bytes in brackets, and beside them what they are."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from teltonika.cli.output import printable
from teltonika.codecs.annotation_reader import Field
from teltonika.codecs.findings import FoundError

_BYTES_IN_ROW = 8
_MOST_BYTES = 512
"""Of one field: more are counted, and not shown."""
_NAME_WIDTH = 17
"""Characters of the longest name."""
_BROKEN, _FAINT = "bold red", "dim"
_COLOURS = ("green", "bright_blue")
"""Of fields in turn, so that one is told from the next by more than its brackets."""


def print_fields(console: Console, fields: Sequence[Field], error: FoundError | None) -> None:
    """The dump. The field in which ``error`` is, if there is one, stands out."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(justify="right", style=_FAINT, no_wrap=True)
    table.add_column(no_wrap=True, min_width=2 * _BYTES_IN_ROW + 2)
    table.add_column()
    record = 0
    for number, field in enumerate(fields):
        if field.record > record:
            record = field.record
            table.add_row("", Text(f"record {record}", "bold"))
        broken = error is not None and field.offset <= error.offset < field.offset + field.length
        colour = _COLOURS[number % 2] if field.value is not None else _FAINT
        table.add_row(
            f"  {field.offset:04X}",
            _bytes(field, _BROKEN if broken else colour),
            Text(_said(field) + (" <- here" if broken else ""), _BROKEN if broken else ""),
        )
    if error is not None and fields and error.offset >= fields[-1].offset + fields[-1].length:
        table.add_row(f"  {error.offset:04X}", "", Text("<- here the bytes end", _BROKEN))
    console.print(table)


def _bytes(field: Field, colour: str) -> Text:
    """In brackets; the id of an IO element apart from its value."""
    digits = field.hex[: 2 * _MOST_BYTES].upper()
    head = 0 if field.element is None else len(field.hex) - 2 * field.element.width
    size = 2 * _BYTES_IN_ROW
    rows = [digits[at : at + size] for at in range(head, len(digits), size)]
    indent = " " * (head + 2 if head else 1)
    more = field.length - _MOST_BYTES
    return Text.assemble(
        ("[", _FAINT),
        (digits[:head] + " " * (head > 0) + f"\n{indent}".join(rows), colour),
        (f"\n {more} more bytes" if more > 0 else "", _FAINT),
        ("]", _FAINT),
    )


def _said(field: Field) -> str:
    """The field's name, its value as it is to be read, and what that means."""
    value = "" if field.value is None else printable(str(field.value))
    meaning = printable(field.meaning)
    if field.element is not None:
        return f"{field.name} {meaning or f'= {value}'}"
    said = f"{value} = {meaning}" if meaning else value
    return f"{field.name:<{_NAME_WIDTH}}  {said}".rstrip()
