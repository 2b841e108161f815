"""The IO dictionary: what the IO elements of Teltonika's models are called and mean.

Source: the pages "Teltonika Data Sending Parameters ID" of 75 models, in `avl_ids.csv` beside this
file. One id can mean one thing on one model and another on another; a row holds for its models.
"""

from collections.abc import Iterator, Sequence
from enum import StrEnum
from functools import cache
from pkgutil import get_data

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

    @property
    def labels(self) -> dict[int, str]:
        """``values``, by value."""
        return _labels(self.values)


class IoCatalog:
    """All rows, found by id or name. `io_catalog` has the one that there is."""

    def __init__(self, rows: list[IoDescription]) -> None:
        self.rows = rows
        self.models = frozenset().union(*{row.models for row in rows})
        self._by_id: dict[int, list[IoDescription]] = {}
        self._by_name: dict[str, list[IoDescription]] = {}
        for row in sorted(rows, key=lambda row: -len(row.models)):
            self._by_id.setdefault(row.id, []).append(row)
            self._by_name.setdefault(row.name.lower(), []).append(row)

    def meanings(self, io_id: int) -> Sequence[IoDescription]:
        """All that ``io_id`` means, on whatever model; what most models mean by it first."""
        return self._by_id.get(io_id, ())

    def by_id(self, io_id: int, model: str) -> IoDescription | None:
        """What ``io_id`` means on ``model``, such as FMB920; None if nothing is known."""
        return next((row for row in self.meanings(io_id) if model in row.models), None)

    def by_name(self, name: str, model: str) -> IoDescription | None:
        """The element of that name on ``model``, in whatever case; of several the lowest id."""
        rows = [row for row in self._by_name.get(name.lower(), ()) if model in row.models]
        return min(rows, key=lambda row: row.id, default=None)

    def names(self, model: str) -> list[str]:
        """Of all elements of ``model``."""
        return [row.name for row in self.rows if model in row.models]

    def known_model(self, model: str) -> str:
        """``model`` as the dictionary writes it, from whatever case.

        Raises ValueError, with the names nearest to it, where the dictionary has no such model.
        """
        if (known := model.upper()) in self.models:
            return known
        from difflib import get_close_matches  # noqa: PLC0415 - only for a mistake

        near = ", ".join(get_close_matches(known, sorted(self.models), cutoff=0.5))
        raise ValueError(
            f"the IO dictionary has no model {model!r}"
            + (f"; the nearest names are {near}" if near else "")
        )


@cache
def io_catalog() -> IoCatalog:
    """The dictionary, read when it is first wanted."""
    return IoCatalog(list(_rows()))


def _rows() -> Iterator[IoDescription]:
    import csv  # noqa: PLC0415 - who only decodes needs no dictionary

    source = get_data("teltonika.codecs", "avl_ids.csv")
    assert source is not None
    lines = csv.reader(source.decode().splitlines(keepends=True))
    next(lines)  # the names of the columns, which are those of IoDescription
    for id_, name, width, type_, minimum, maximum, multiplier, unit, values, models in lines:
        yield IoDescription(
            id=int(id_),
            name=name,
            width=int(width) if width else None,
            type=_TYPES[type_],
            minimum=minimum,
            maximum=maximum,
            multiplier=multiplier,
            unit=unit,
            values=values,
            models=_models(models),
        )


_TYPES = {type_.value: type_ for type_ in IoType}


@cache
def _models(names: str) -> frozenset[str]:
    """Most rows hold for one of 37 groups of models."""
    return frozenset(names.split())


@cache
def _labels(values: str) -> dict[int, str]:
    """There are 120 different ones."""
    pairs = (pair.split("=", 1) for pair in values.split("; ") if pair)
    return {int(value): label for value, label in pairs}
