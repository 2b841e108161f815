"""What was found, in a line, and the colour it has on a terminal."""

from functools import lru_cache

import typer

from teltonika.cli.output import printable
from teltonika.codecs import luhn_valid
from teltonika.codecs.findings import (
    Finding,
    FoundAck,
    FoundAvlPacket,
    FoundError,
    FoundHandshakeAnswer,
    FoundImei,
    FoundMessage,
)

PACKET_COLOUR = typer.colors.GREEN
ACK_COLOUR = typer.colors.CYAN


def describe(finding: Finding) -> tuple[str, str]:
    """The line, and its colour."""
    text, colour = "ping", ACK_COLOUR
    match finding:
        case FoundAck():
            text = ack_text(finding)
        case FoundHandshakeAnswer():
            text = f"IMEI {'accepted' if finding.imei_accepted else 'rejected'}"
        case FoundAvlPacket():
            times = [record.timestamp for record in finding.records]
            imei = f"IMEI {finding.imei}, " if finding.imei else ""
            text = imei + describe_packet(finding.codec, len(times), *(times[:1] + times[-1:]))
            colour = PACKET_COLOUR
        case FoundImei():
            check = "" if luhn_valid(finding.imei) else ", check digit wrong"
            text, colour = f"IMEI {finding.imei}{check}", typer.colors.GREEN
        case FoundMessage():
            kind = type(finding).__struct_config__.tag
            imei = f", IMEI {finding.imei}" if finding.imei else ""
            said = f": {printable(finding.text)}" if finding.hex else ""
            when = f", {finding.timestamp}" if finding.timestamp else ""
            text, colour = f"{kind}, codec {finding.codec}{imei}{when}{said}", typer.colors.MAGENTA
        case FoundError():
            text, colour = f"error {finding.error}: {finding.message}", typer.colors.RED
    return text, colour


def ack_text(ack: FoundAck) -> str:
    return f"ACK of {record_count(ack.accepted)}"


def describe_packet(codec: str, records: int, first: str = "", last: str = "") -> str:
    """An AVL packet by its codec, how many records it has, and the times of two of them."""
    text = f"AVL packet, codec {codec}, {record_count(records)}"
    if not records:
        return text
    return f"{text}, {first}" if records == 1 else f"{text}, {first} to {last}"


@lru_cache(maxsize=256)
def record_count(count: int) -> str:
    return f"{count} record{'' if count == 1 else 's'}"
