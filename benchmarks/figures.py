"""What a round measures, and what several rounds say together."""

from collections.abc import Iterable
from statistics import median

import msgspec


class Figure(msgspec.Struct, frozen=True):
    """One measurement of one round."""

    name: str
    value: float
    unit: str
    beside: tuple[str, ...] = ()
    """Names of figures of the same part and round: it is shown as so many times each of them."""


class Absent(msgspec.Struct, frozen=True):
    """What could not be measured here, and why."""

    name: str
    why: str


class Ratio(msgspec.Struct, frozen=True):
    beside: str
    median: float
    """Of the rounds' own ratios."""


class Line(msgspec.Struct, frozen=True):
    """A figure over all rounds."""

    part: str
    name: str
    unit: str
    median: float
    spread: float
    """From the least to the greatest, as a share of the median."""
    ratios: list[Ratio]
    rounds: list[float]

    @property
    def subject(self) -> str:
        """What the name begins with, as those of the figures that it belongs to do."""
        return self.name.rpartition(", ")[0]

    def ratio_to(self, name: str) -> float:
        return next(ratio.median for ratio in self.ratios if ratio.beside == name)


def lines(part: str, rounds: Iterable[Iterable[Figure]]) -> list[Line]:
    """The figures of one part, in the order in which they were measured."""
    tables = [{figure.name: figure for figure in figures} for figures in rounds]
    always = set.intersection(*map(set, tables))
    values = {name: [table[name].value for table in tables] for name in always}
    return [
        Line(
            part=part,
            name=figure.name,
            unit=figure.unit,
            median=median(values[figure.name]),
            spread=_spread(values[figure.name]),
            ratios=[
                Ratio(other, _ratio(values[figure.name], values[other]))
                for other in figure.beside
                if other in always
            ],
            rounds=values[figure.name],
        )
        for figure in tables[0].values()
        if figure.name in always
    ]


def _ratio(ours: list[float], theirs: list[float]) -> float:
    return median(our / their for our, their in zip(ours, theirs, strict=True))


def _spread(values: list[float]) -> float:
    middle = median(values)
    return (max(values) - min(values)) / middle if middle else 0.0
