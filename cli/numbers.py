"""Numbers on the command line."""

import math
from typing import TypeVar

import typer

NumberT = TypeVar("NumberT", float, float | None)


def a_number(value: NumberT) -> NumberT:
    """An option's value, unless it is "nan", which no minimum and no maximum keeps out."""
    if value is not None and math.isnan(value):
        raise typer.BadParameter("nan is no number")
    return value
