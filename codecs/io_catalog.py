"""The IO dictionary: what the IO elements of Teltonika's models are called and mean.

Source: the pages "Teltonika Data Sending Parameters ID" of 75 models, in `avl_ids.csv` beside this
file. One id can mean one thing on one model and another on another; a row holds for its models.
"""

import csv
from enum import StrEnum
from functools import cache
from importlib.resources import files

import msgspec


class IoType(StrEnum):
    """How the bytes of a value are to be read."""

    UNSIGNED = "unsigned"
    SIGNED = "signed"
    HEX = "hex"
    ASCII = "ascii"


class IoDescription(msgspec.Struct, frozen=True):
    """One row: what an id means on some models."""

    id: int
    name: str
    width: int | None
    """Bytes: 1, 2, 4 or 8; None for a variable length, or where the source says none."""
    type: IoType
    minimum: str
    """As the source has it; empty where it has none. So are the next two."""
    maximum: str
    multiplier: str
    unit: str
    values: str
    """What single values mean: ``0=GNSS OFF; 1=GNSS ON with fix``; empty where they are counts."""
    models: frozenset[str]


class IoCatalog:
    """All rows, found by id or name. `io_catalog` has the one that there is."""

    def __init__(self, rows: list[IoDescription]) -> None:
        self.rows = rows
        self.models = frozenset().union(*(row.models for row in rows))
        self._by_id = {(model, row.id): row for row in rows for model in row.models}
        self._by_name = {
            (model, row.name.lower()): row
            for row in sorted(rows, key=lambda row: row.id, reverse=True)
            for model in row.models
        }

    def by_id(self, io_id: int, model: str) -> IoDescription | None:
        """What ``io_id`` means on ``model``, such as FMB920; None if nothing is known."""
        return self._by_id.get((model, io_id))

    def by_name(self, name: str, model: str) -> IoDescription | None:
        """The element of that name on ``model``, in whatever case; of several the lowest id."""
        return self._by_name.get((model, name.lower()))

    def names(self, model: str) -> list[str]:
        """Of all elements of ``model``."""
        return [row.name for row in self.rows if model in row.models]


@cache
def io_catalog() -> IoCatalog:
    """The dictionary, read when it is first wanted."""
    source = files("teltonika.codecs").joinpath("avl_ids.csv")
    with source.open(encoding="utf-8") as file:
        return IoCatalog(
            [
                IoDescription(
                    id=int(row["id"]),
                    name=row["name"],
                    width=int(row["bytes"]) if row["bytes"] else None,
                    type=IoType(row["type"]),
                    minimum=row["min"],
                    maximum=row["max"],
                    multiplier=row["multiplier"],
                    unit=row["unit"],
                    values=row["values"],
                    models=frozenset(row["models"].split()),
                )
                for row in csv.DictReader(file)
            ]
        )
