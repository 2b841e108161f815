"""Findings as a person reads them."""

import sys

import typer

from teltonika.cli.finding_text import describe
from teltonika.cli.output import shows_colours
from teltonika.codecs.findings import (
    Finding,
    FoundAck,
    FoundAvlPacket,
    FoundCommand,
    FoundHandshakeAnswer,
    FoundImei,
    FoundNack,
    FoundPing,
    FoundResponse,
)
from teltonika.codecs.transport import Side

_SENDERS = {
    **dict.fromkeys((FoundImei, FoundAvlPacket, FoundResponse, FoundNack, FoundPing), Side.DEVICE),
    **dict.fromkeys((FoundHandshakeAnswer, FoundAck, FoundCommand), Side.SERVER),
}
"""Who says it; of an error that is not known."""


class FindingLines:
    """Findings to standard output, a line each."""

    def __init__(self) -> None:
        self._coloured = shows_colours()

    def show(self, finding: Finding) -> None:
        """Where it is, who says it, and what."""
        sender = _SENDERS.get(type(finding))
        said_by = f", from {sender}" if sender else ""
        where = f"byte {finding.offset}, {finding.length} long{said_by}: "
        what, colour = describe(finding)
        if self._coloured:
            where, what = typer.style(where, dim=True), typer.style(what, colour, bold=True)
        sys.stdout.write(f"{where}{what}\n")

    def show_cause(self, cause: str) -> None:
        """What likely happened to what is broken, if anything is likely."""
        if cause:
            line = f"likely: {cause}"
            line = typer.style(line, typer.colors.YELLOW) if self._coloured else line
            sys.stdout.write(f"{line}\n")
