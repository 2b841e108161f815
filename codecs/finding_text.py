"""What was found, in a line for a person."""

from functools import lru_cache

from teltonika.codecs.findings import (
    Finding,
    FoundAck,
    FoundAvlPacket,
    FoundError,
    FoundHandshakeAnswer,
    FoundImei,
    FoundMessage,
)
from teltonika.codecs.handshake import luhn_valid
from teltonika.codecs.printable import printable


def summarise(finding: Finding) -> str:
    """Harmless for a terminal, whatever a device has put in."""
    text = "ping" if finding.length == 1 else f"{finding.length} pings"
    match finding:
        case FoundAck():
            text = ack_text(finding)
        case FoundHandshakeAnswer():
            text = f"IMEI {'accepted' if finding.imei_accepted else 'rejected'}"
        case FoundAvlPacket():
            times = [record.timestamp for record in finding.records]
            imei = f"IMEI {finding.imei}, " if finding.imei else ""
            text = imei + describe_packet(finding.codec, len(times), *(times[:1] + times[-1:]))
        case FoundImei():
            check = "" if luhn_valid(finding.imei) else ", check digit wrong"
            text = f"IMEI {finding.imei}{check}"
        case FoundMessage():
            kind = type(finding).__struct_config__.tag
            imei = f", IMEI {finding.imei}" if finding.imei else ""
            said = f": {printable(finding.text)}" if finding.hex else ""
            when = f", {finding.timestamp}" if finding.timestamp else ""
            text = f"{kind}, codec {finding.codec}{imei}{when}{said}"
        case FoundError():
            text = f"error {finding.error}: {finding.message}"
    return text


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
