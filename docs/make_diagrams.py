"""Draws way-in.svg and way-out.svg of the page on architecture: `python docs/make_diagrams.py`."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

HERE = Path(__file__).parent
BOX_WIDTH, BOX_HEIGHT, GAP, MARGIN = 138, 58, 120, 16
HEIGHT = BOX_HEIGHT + 24
STYLE = (
    "text{font-family:sans-serif;font-size:12px;fill:#223}"
    ".name{font-weight:bold;text-anchor:middle}.note{text-anchor:middle;font-size:11px}"
    "rect{fill:#eef3fb;stroke:#4a6fa5;rx:6px}path{stroke:#4a6fa5;fill:none;marker-end:url(#head)}"
)
HEAD = (
    '<marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
    'orient="auto"><path d="M0 0 8 4 0 8z" style="fill:#4a6fa5;stroke:none;marker-end:none"/>'
    "</marker>"
)


@dataclass(frozen=True)
class Box:
    name: str
    note: str
    there: str = ""
    """What goes to the next box."""
    back: str = ""
    """What comes from it."""


WAY_IN = (
    Box("device", "TCP, TLS, UDP", "bytes", "ACK"),
    Box("Session", "framer, state machine", "packet", "confirmed"),
    Box("Publisher", "batches, in order", "one script a packet", "stored, on disk"),
    Box("Redis", "stream, digests"),
)
WAY_OUT = (
    Box("Redis", "commands:outbound", "entries", "status"),
    Box("CommandConsumer", "of one instance", "command", "its end"),
    Box("CommandQueue", "one in flight", "whole frame", "answer, nACK"),
    Box("device", "through its Session"),
)


def drawing(boxes: Sequence[Box], title: str) -> str:
    """Boxes in a row; arrows there above the middle, back below it."""
    width = 2 * MARGIN + len(boxes) * BOX_WIDTH + (len(boxes) - 1) * GAP
    middle = HEIGHT / 2
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {HEIGHT}" role="img">',
        f"<title>{escape(title)}</title><style>{STYLE}</style><defs>{HEAD}</defs>",
    ]
    for place, box in enumerate(boxes):
        left = MARGIN + place * (BOX_WIDTH + GAP)
        center, right = left + BOX_WIDTH / 2, left + BOX_WIDTH
        top = middle - BOX_HEIGHT / 2
        parts += [
            f'<rect x="{left}" y="{top}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}"/>',
            f'<text class="name" x="{center}" y="{middle - 5}">{escape(box.name)}</text>',
            f'<text class="note" x="{center}" y="{middle + 14}">{escape(box.note)}</text>',
        ]
        between = right + GAP / 2
        if box.there:
            parts += _arrow(
                right + 4, right + GAP - 4, middle - 12, box.there, middle - 20, between
            )
        if box.back:
            parts += _arrow(right + GAP - 4, right + 4, middle + 12, box.back, middle + 29, between)
    return "\n".join([*parts, "</svg>\n"])


def _arrow(start: float, end: float, y: float, said: str, said_y: float, x: float) -> list[str]:
    return [
        f'<path d="M{start} {y} H{end}"/>',
        f'<text class="note" x="{x}" y="{said_y}">{escape(said)}</text>',
    ]


def drawings() -> dict[Path, str]:
    return {
        HERE / "way-in.svg": drawing(WAY_IN, "The way in"),
        HERE / "way-out.svg": drawing(WAY_OUT, "The way out"),
    }


if __name__ == "__main__":
    for file, text in drawings().items():
        file.write_text(text, encoding="utf-8")
