"""Findings as a person reads them."""

from rich.console import Console
from rich.text import Text

from teltonika.cli.finding_text import describe
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
from teltonika.codecs.packet_finder import Sender

_SENDERS = {
    **dict.fromkeys(
        (FoundImei, FoundAvlPacket, FoundResponse, FoundNack, FoundPing), Sender.DEVICE
    ),
    **dict.fromkeys((FoundHandshakeAnswer, FoundAck, FoundCommand), Sender.SERVER),
}
"""Who says it; of an error that is not known."""


def console_for_findings() -> Console:
    """Standard output, as wide as it is now; a long line is the terminal's to fold."""
    return Console(highlight=False, soft_wrap=True)


def print_finding(console: Console, finding: Finding) -> None:
    """A line of where and what."""
    sender = _SENDERS.get(type(finding))
    said_by = f", from {sender}" if sender else ""
    where = f"byte {finding.offset}, {finding.length} long{said_by}: "
    what, colour = describe(finding)
    console.print(Text.assemble((where, "dim"), (what, f"bold {colour}")))


def print_cause(console: Console, cause: str) -> None:
    """What likely happened to what is broken, if anything is likely."""
    if cause:
        console.print(Text(f"likely: {cause}", "yellow"))
