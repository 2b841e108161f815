"""What the value of an IO element means: its name, its unit, and what a single value says.

The telemetry keeps values as they came; this is for people who read them.
"""

from collections.abc import Iterable

import msgspec

from teltonika.codecs.io_catalog import IoDescription, IoType, io_catalog
from teltonika.codecs.io_corrections import multiplier_of, sentinels_of, type_of, unit_of
from teltonika.codecs.records import IoElement


class IoMeaning(msgspec.Struct, frozen=True):
    """The value of an IO element, read by the dictionary."""

    id: int
    name: str
    value: int | str
    """Signed where the element is; text of ASCII; hex of hex and of what has a variable length."""
    scaled: float | int | str
    """``value`` times the element's multiplier: in ``unit``."""
    unit: str
    """Empty where there is none, or the dictionary's source does not say how a value becomes it."""
    label: str
    """What this single value says, such as "Ignition On" or "not connected"; empty for a count.

    It begins with "or" where the value may as well be a measurement, and holds the whole ICCID
    for the halves of one (`describe_record`)."""
    others: tuple[str, ...] = ()
    """What else the id is called on other models, where no model was named."""

    @property
    def text(self) -> str:
        """As a person reads it: ``24.079 V``, ``1 (Ignition On)``, ``3000 (not connected)``.

        Text that a device sent is in it as it came, control characters and all.
        """
        amount = f"{self.scaled} {self.unit}" if self.unit else str(self.scaled)
        return f"{amount} ({self.label})" if self.label else amount


def describe(
    io_id: int, value: int | bytes, width: int | None = None, model: str | None = None
) -> IoMeaning | None:
    """What ``value`` of the IO element ``io_id`` means; None where the dictionary has no such id.

    ``value`` is as it came, unsigned, and ``width`` how many bytes it took. ``model`` is such as
    FMB920; without one it is what most models mean, first of those whose width is this one.

    Raises ValueError, with the nearest names, for a model that the dictionary does not have.
    """
    row = _meant(io_id, value, width, model)
    if row is None:
        return None
    read = _read(row, value, width)
    scaled, unit, label = _scaled(row, read)
    names = {other.name: None for other in io_catalog().meanings(io_id)} if model is None else {}
    return IoMeaning(
        id=io_id,
        name=row.name,
        value=read,
        scaled=scaled,
        unit=unit,
        label=row.labels.get(value, label) if isinstance(value, int) else label,
        others=tuple(name for name in names if name.lower() != row.name.lower()),
    )


def describe_record(io: Iterable[IoElement], model: str | None = None) -> list[IoMeaning | None]:
    """`describe` for each element of a record, in order; both halves of an ICCID have it whole.

    A width of 0 is one that is not known.

    Raises ValueError as `describe` does.
    """
    meanings = [describe(element.id, element.value, element.width or None, model) for element in io]
    iccid = _iccid(meaning for meaning in meanings if meaning is not None)
    if not iccid:
        return meanings
    return [
        msgspec.structs.replace(meaning, label=f"ICCID {iccid}")
        if meaning is not None and meaning.name in _ICCID_HALVES
        else meaning
        for meaning in meanings
    ]


_ICCID_HALVES = ("ICCID1", "ICCID2")
_ICCID_HALF = 10
"""Digits. The published packet of codec 8 Extended has 893700218 and 500686954: only as
893700218 0500686954 is the check digit of the whole right."""


def _iccid(meanings: Iterable[IoMeaning]) -> str:
    """The halves joined, each a number that lost its leading zeros; empty if it is no ICCID."""
    halves = {one.name: str(one.value) for one in meanings if isinstance(one.value, int)}
    first, second = (halves.get(name, "") for name in _ICCID_HALVES)
    if not first.startswith("89") or not second or max(len(first), len(second)) > _ICCID_HALF:
        return ""
    return first + second.zfill(_ICCID_HALF)


def _meant(
    io_id: int, value: int | bytes, width: int | None, model: str | None
) -> IoDescription | None:
    """The row of the model, or of most models."""
    catalog = io_catalog()
    if model is not None:
        return catalog.by_id(io_id, catalog.known_model(model))
    rows = catalog.meanings(io_id)
    fitting = (row for row in rows if _fits(row, value, width))
    return next(fitting, rows[0] if rows else None)


def _fits(row: IoDescription, value: int | bytes, width: int | None) -> bool:
    if isinstance(value, bytes):
        return row.width is None
    return row.width is not None if width is None else row.width == width


def _read(row: IoDescription, value: int | bytes, width: int | None) -> int | str:
    """``value`` as its type has it."""
    width = width or row.width
    if isinstance(value, int) and row.type in {IoType.HEX, IoType.ASCII}:
        value = value.to_bytes(max(width or 1, (value.bit_length() + 7) // 8))
    if isinstance(value, bytes):
        text = value.rstrip(b"\0")
        is_text = row.type is IoType.ASCII and text.isascii()
        return text.decode() if is_text else value.hex()
    if type_of(row) is IoType.SIGNED and width and value >> (8 * width - 1) == 1:
        return value - (1 << 8 * width)
    return value


def _scaled(row: IoDescription, read: int | str) -> tuple[float | int | str, str, str]:
    """The amount, its unit, and what a sensor says by such a value."""
    if isinstance(read, str):
        return read, "", ""
    sentinel = sentinels_of(row).get(read, "")
    if sentinel and not _is_in_range(row, read):
        return read, "", sentinel
    label = f"or {sentinel}" if sentinel else ""
    multiplier = multiplier_of(row)
    if not multiplier:
        return read, "", label
    decimals = len(multiplier.partition(".")[2])
    amount = round(read * float(multiplier), decimals) if decimals else read * int(multiplier)
    return amount, unit_of(row), label


def _is_in_range(row: IoDescription, value: int) -> bool:
    return bool(row.minimum and row.maximum) and (float(row.minimum) <= value <= float(row.maximum))
