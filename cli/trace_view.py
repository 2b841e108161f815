"""What is told of a traced device, as a person reads it: each frame with its bytes annotated."""

import sys

import typer

from teltonika.cli.annotated_view import print_fields
from teltonika.cli.finding_text import describe
from teltonika.cli.output import shows_colours
from teltonika.codecs.annotated_findings import annotate_found
from teltonika.codecs.findings import FoundError
from teltonika.codecs.packet_finder import find_in_pieces
from teltonika.codecs.printable import printable
from teltonika.codecs.transport import Side
from teltonika.server.traced_frame import FramesLeftOut, FrameTold, SentFrameTold, TraceMessage

_ARROWS = {Side.DEVICE: "device >", Side.SERVER: "server <"}


class TraceView:
    """A line for each frame, and its dump below."""

    def __init__(self) -> None:
        self._coloured = shows_colours()

    def show(self, message: TraceMessage) -> None:
        if isinstance(message, FramesLeftOut):
            text = f"{message.ts}  {message.frames} frames left out: too many in a second"
            sys.stdout.write(f"{self._style(printable(text), typer.colors.YELLOW)}\n")
        else:
            self._show_frame(message)
        sys.stdout.flush()

    def _show_frame(self, told: FrameTold) -> None:
        sender = Side.SERVER if isinstance(told, SentFrameTold) else Side.DEVICE
        where = printable(f"{told.ts}  {told.peer}  {_ARROWS[sender]} {_bytes(told.size)}: ")
        frame = bytes.fromhex(told.hex)
        found = next(
            find_in_pieces((frame,), max(told.size, 12), transport=told.transport, sender=sender)
        )
        colour = "" if told.cut else describe(found.finding)[1]
        what = self._style(printable(told.summary), colour, bold=True)
        sys.stdout.write(f"{self._style(where, dim=True)}{what}\n")
        error = found.finding if isinstance(found.finding, FoundError) and not told.cut else None
        print_fields(annotate_found(found).fields, error)
        if told.cut:
            sys.stdout.write(f"        {_bytes(told.size - len(frame), 'more ')}\n")

    def _style(self, text: str, colour: str = "", *, bold: bool = False, dim: bool = False) -> str:
        if not self._coloured:
            return text
        return typer.style(text, colour or None, bold=bold or None, dim=dim or None)


def _bytes(count: int, which: str = "") -> str:
    return f"{count} {which}byte{'' if count == 1 else 's'}"
