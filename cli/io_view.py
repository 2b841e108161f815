"""Rows of the IO dictionary as a person reads them, and as NDJSON."""

from typing import Self

import msgspec
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from teltonika.codecs.io_catalog import IoDescription, IoType
from teltonika.codecs.io_corrections import multiplier_of, sentinels_of, type_of, unit_of

console = Console(highlight=False)

_VALUES_WIDTH = 24
"""Characters of a table's line; `teltonika io ID` has them all."""


class IoRow(msgspec.Struct, frozen=True):
    """What an id means on some models. ``null`` is what the dictionary does not say."""

    id: int
    name: str
    bytes: int | None
    """None where the length is variable, too."""
    type: IoType
    min: float | int | None
    """Of the value on the wire, as ``max``."""
    max: float | int | None
    multiplier: float | int | None
    unit: str
    values: dict[int, str]
    models: list[str]

    @classmethod
    def of(cls, row: IoDescription) -> Self:
        return cls(
            id=row.id,
            name=row.name,
            bytes=row.width,
            type=type_of(row),
            min=_number(row.minimum),
            max=_number(row.maximum),
            multiplier=_number(multiplier_of(row)),
            unit=unit_of(row),
            values=_values(row),
            models=sorted(row.models),
        )


def _number(text: str) -> float | int | None:
    return msgspec.convert(text, float | int, strict=False) if text else None


def print_table(rows: list[IoDescription]) -> None:
    """A line for each meaning, in the width of the terminal."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    table.add_column("id", justify="right", no_wrap=True)
    table.add_column("bytes", justify="right", no_wrap=True)
    table.add_column("name", min_width=16)
    table.add_column("unit", no_wrap=True)
    table.add_column("values", no_wrap=True, max_width=_VALUES_WIDTH, overflow="ellipsis")
    table.add_column("models", justify="right", no_wrap=True)
    for row in rows:
        table.add_row(
            str(row.id),
            "any" if row.width is None else str(row.width),
            Text(row.name),
            Text(_unit(row)),
            Text(row.values or _range(row)),
            str(len(row.models)),
        )
    console.print(table)


def print_meanings(rows: list[IoDescription]) -> None:
    """All that is known of an id, a paragraph for each meaning."""
    for row in rows:
        console.print(Text.assemble(f"{row.id} ", (row.name, "bold")))
        facts = Table.grid(padding=(0, 2))
        facts.add_column(no_wrap=True)
        facts.add_column()
        facts.add_row("  bytes", f"{row.width or 'variable'}, {type_of(row)}")
        if row.minimum or row.maximum:
            facts.add_row("  range", f"{_range(row)} on the wire")
        if unit := _unit(row):
            facts.add_row("  unit", unit)
        for value, label in _values(row).items():
            facts.add_row(f"  {value}", Text(label))
        facts.add_row("  models", f"{len(row.models)}: {' '.join(sorted(row.models))}")
        console.print(facts)


def _range(row: IoDescription) -> str:
    return f"{row.minimum} to {row.maximum}" if row.minimum or row.maximum else ""


def _unit(row: IoDescription) -> str:
    """What the wire counts in, such as ``0.001 V``; with ``?`` where nobody says how many."""
    multiplier, unit = multiplier_of(row), unit_of(row)
    if multiplier == "1" or not (multiplier or unit):
        multiplier = ""
    elif not multiplier:
        multiplier = "?"
    return " ".join([multiplier, *unit.split()]).strip()


def _values(row: IoDescription) -> dict[int, str]:
    """What single values say, a sensor's codes among them."""
    return row.labels | sentinels_of(row)
