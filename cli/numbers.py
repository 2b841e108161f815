"""Numbers on the command line."""

import math
import re
from typing import TypeVar

import typer

MOST_BYTES = 2**63 - 1
NumberT = TypeVar("NumberT", float, float | None)


def a_number(value: NumberT) -> NumberT:
    """An option's value, unless it is "nan", which no minimum and no maximum keeps out."""
    if value is not None and math.isnan(value):
        raise typer.BadParameter("nan is no number")
    return value


def a_size(text: str) -> int:
    """Bytes, as ``536870912`` or ``512MiB``."""
    match = _SIZE.fullmatch(text)
    size = -1 if match is None else int(match[1]) << _SHIFTS[match[2]]
    if not 0 <= size <= MOST_BYTES:
        raise typer.BadParameter(f"{text!r}: expected bytes, such as 536870912 or 512MiB")
    return size


_SIZE = re.compile(r"([0-9]{1,19}) ?(?:([KMGT])iB)?")
_SHIFTS = {None: 0, "K": 10, "M": 20, "G": 30, "T": 40}
