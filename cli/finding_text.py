"""What was found, in a line, and the colour it has on a terminal."""

import typer

from teltonika.codecs.finding_text import summarise
from teltonika.codecs.findings import (
    Finding,
    FoundAvlPacket,
    FoundError,
    FoundImei,
    FoundMessage,
)

PACKET_COLOUR = typer.colors.GREEN
ACK_COLOUR = typer.colors.CYAN


def describe(finding: Finding) -> tuple[str, str]:
    """The line, and its colour."""
    colour = ACK_COLOUR
    match finding:
        case FoundAvlPacket():
            colour = PACKET_COLOUR
        case FoundImei():
            colour = typer.colors.GREEN
        case FoundMessage():
            colour = typer.colors.MAGENTA
        case FoundError():
            colour = typer.colors.RED
    return summarise(finding), colour
