"""Growth as a picture: one panel for each kind of work."""

import math
from pathlib import Path

import matplotlib
import msgspec
from matplotlib.figure import Figure

COLUMNS = 3
PANEL_INCHES = (4.2, 2.9)


class Panel(msgspec.Struct, frozen=True):
    title: str
    x: str
    y: str
    is_logarithmic: bool = True
    """Of the sizes; what they cost is never drawn so."""


class Curve(msgspec.Struct, frozen=True):
    name: str
    sizes: list[float]
    values: list[float]


class Growth(msgspec.Struct, frozen=True):
    machine: str
    versions: dict[str, str]
    seed: int
    rounds: int
    minutes: float
    panels: list[tuple[Panel, list[Curve]]]


def draw(growth: Growth, folder: Path) -> None:
    """Writes growth.png and growth.svg."""
    rows = math.ceil(len(growth.panels) / COLUMNS)
    size = (COLUMNS * PANEL_INCHES[0], rows * PANEL_INCHES[1])
    with matplotlib.rc_context({"svg.hashsalt": "growth", "font.size": 8}):
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots(rows, COLUMNS)
        for axis in axes.flat[len(growth.panels) :]:
            axis.set_visible(False)
        for axis, (panel, curves) in zip(axes.flat, growth.panels, strict=False):
            for curve in curves:
                style = "--" if curve.name.endswith("ceiling") else "-"
                axis.plot(curve.sizes, curve.values, style, marker=".", label=curve.name)
            axis.set(title=panel.title, xlabel=panel.x, ylabel=panel.y)
            if panel.is_logarithmic:
                axis.set_xscale("log")
            axis.set_xticks(curves[0].sizes, [f"{size:,.0f}" for size in curves[0].sizes])
            axis.minorticks_off()
            axis.margins(y=0.15)
            axis.set_ylim(bottom=0)
            axis.grid(alpha=0.3)
            if len(curves) > 1:
                axis.legend(fontsize=6.5, framealpha=0.8)
        figure.savefig(folder / "growth.png", dpi=110, metadata={"Software": None})
        figure.savefig(folder / "growth.svg", metadata={"Date": None})
